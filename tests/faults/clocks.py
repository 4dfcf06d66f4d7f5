"""F14: workers whose wall clocks are wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobqueue import Queue, connect
from tests.faults.crew import Outfit
from tests.faults.ledger import Entry
from tests.faults.manners import CLOCK
from tests.faults.scene import Plan, Scene
from tests.faults.shift import faketime, set_clock
from tests.faults.worker_process import QUEUE


def wrong_clocks(_: Plan, folder: Path) -> Sequence[Outfit]:
    """One clock an hour slow, one an hour fast, one that will jump; by libfaketime where the machine has it."""
    outfits: list[Outfit] = []
    for number, seconds in enumerate((-3600, 3600, 0)):
        path = folder / f"clock-{number}"
        set_clock(path, seconds)
        outfits.append(Outfit(faketime(path) or {CLOCK: str(path)}))
    return outfits


async def wrong_clocked_workers(scene: Scene) -> int:
    """F14: workers whose clocks are an hour slow, an hour fast, and jump by ten minutes; jobs that are due later."""
    due: dict[str, datetime] = {}
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for number in range(scene.plan.times):
            await scene.pause()
            set_clock(scene.workers.folder / "clock-2", scene.chance.uniform(-600, 600))
            for place in range(20):
                job_id = f"due-{number}-{place}"
                delay = scene.chance.uniform(0.1, 2)
                scene.attempted.add(job_id)
                if place % 2:
                    job = await queue.enqueue("odd", "wait 0", job_id=job_id, delay=delay)
                else:
                    moment = datetime.now(UTC) + timedelta(seconds=delay)
                    job = await queue.enqueue("odd", "wait 0", job_id=job_id, run_at=moment)
                scene.ledger.write("acknowledged", job_id)
                due[job_id] = job.run_at or datetime.now(UTC)
    _due[scene.ledger] = due
    scene.figures["clocks of whole processes"] = float(faketime(scene.workers.folder / "clock-2") is not None)
    return scene.plan.times


_due: dict[object, dict[str, datetime]] = {}


async def none_started_early(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """By the server's clock and by a right one; nobody's lease was taken for run out; none is very late."""
    due = _due.pop(scene.ledger)
    now, monotonic = datetime.now(UTC), time.monotonic()
    late: list[float] = []
    for entry in found:
        if entry.deed == "started" and entry.job in due:
            at = now - timedelta(seconds=monotonic - entry.at)
            late.append((at - due[entry.job]).total_seconds())
    for job_id, moment in due.items():
        job = await queue.get(job_id)
        if job is None or job.started_at is None or job.started_at < moment:
            scene.complaints.append(f"{job_id} was due at {moment} and started at {job and job.started_at}")
        elif job.stalls:
            scene.complaints.append(f"{job_id} lost {job.stalls} workers, though none was lost")
    late.sort()
    # A millisecond: the server's clock is cut to whole ones, ours is not.
    if late[0] < -0.001:
        scene.complaints.append(f"a job began {-late[0]:.3f} s early")
    p99 = late[int(0.99 * (len(late) - 1))]
    if p99 > scene.plan.slack:
        scene.complaints.append(f"jobs began {p99:.1f} s late (p99)")
    scene.count("jobs due later", len(late))
    scene.figures["ms late, least"], scene.figures["ms late, p99"] = round(late[0] * 1000, 1), round(p99 * 1000)
