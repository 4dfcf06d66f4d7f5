"""F13: jobs that block their worker's event loop."""

from __future__ import annotations

from collections.abc import Sequence

from jobqueue import Queue
from jobqueue.worker.leases import BLOCKED_LEASES
from tests.faults.ledger import Entry
from tests.faults.manners import told
from tests.faults.odd import odd, odd_jobs, started
from tests.faults.scene import Scene
from tests.faults.worker_process import SLOTS

_WARNED = 1.0
"""Seconds: from the end of a block to its warning, at the most."""


async def blocked_loops(scene: Scene) -> int:
    """F13: jobs block their worker's event loop, for twice a lease; every fourth time, and the last, for longer than a
    worker keeps leases for a loop that does not answer.
    """
    lease = scene.plan.lease
    for number in range(scene.plan.times):
        await scene.pause()
        # Neighbours that are held while the loop is blocked.
        held = await odd_jobs(scene, f"held-{number}", f"wait {lease / 2}", SLOTS)
        if number % 4 == 3 or number == scene.plan.times - 1:
            blocking = await odd_jobs(scene, f"hog-{number}", f"hog {(BLOCKED_LEASES + 2) * lease}", 1)
        else:
            blocking = await odd_jobs(scene, f"block-{number}", f"block {2 * lease}", 1)
        await started(scene, [*held, *blocking])
    return scene.plan.times


async def blocks_are_told_of_and_results_fenced(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Each block was in a warning that names its type; of each job's runs, the last one's result is stored."""
    warnings = told(scene.workers.folder, "worker.blocked")
    ends = {(entry.job, entry.process): entry.at for entry in found if entry.deed == "ended"}
    delays: list[float] = []
    for job in await odd(queue, found):
        runs = [entry for entry in found if entry.deed == "started" and entry.job == job.id]
        if job.result_value != runs[-1].process:
            scene.complaints.append(
                f"{job.id}: the result is {job.result_value}'s, the last run was {runs[-1].process}'s"
            )
        if not job.id.startswith(("block", "hog")):
            continue
        end = ends[job.id, runs[0].process]
        naming = [
            line
            for line in warnings
            if line.process == runs[0].process
            and runs[0].at < line.at < end + _WARNED * scene.plan.slack
            and (line.fields.get("job_id"), line.fields.get("type")) == (job.id, "odd")
        ]
        if not naming:
            scene.complaints.append(f"no warning names {job.id}: {[line.fields for line in warnings]}")
        else:
            delays.append(naming[0].at - end)
        if job.id.startswith("hog") and len(runs) < 2:
            scene.complaints.append(f"{job.id} blocked its loop beyond the bound, and was not given to another")
    if delays:
        scene.count("blocks named", len(delays))
        scene.figures["a block named before its end by at least, s"] = round(-max(delays), 1)
