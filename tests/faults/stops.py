"""F11: stops that jobs resist."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Sequence

from jobqueue import Queue
from tests.faults.ledger import Entry
from tests.faults.manners import told
from tests.faults.odd import odd, odd_jobs, seen, started
from tests.faults.scene import Scene
from tests.faults.worker_process import SLOTS

_PICKUP, _HURRY = 1.0, 1.0
"""Seconds: from a release to the next start; from a second signal to the end."""


async def resisted_stops(scene: Scene) -> int:
    """F11: SIGTERM while jobs run that outlast the grace period, with and without a second signal, and while one
    swallows its cancellation.
    """
    pickups: list[float] = []
    exits: list[float] = []
    for number in range(scene.plan.times):
        await scene.pause()
        await scene.workers.all_ready()
        twice, stubborn = number % 2 == 1, number % 4 in {0, 3}
        long = await odd_jobs(scene, f"long-{number}", f"long {3 * scene.plan.grace + 4}", SLOTS // 2)
        deaf = await odd_jobs(scene, f"deaf-{number}", "stubborn 60", 1) if stubborn else []
        last = (await started(scene, deaf or long))[-1]
        place = next(at for at, each in enumerate(scene.workers.processes) if each.pid == last.process)
        leaver = scene.workers.processes[place]
        theirs = [entry.job for entry in await started(scene, [*long, *deaf]) if entry.process == leaver.pid]
        scene.workers.processes.remove(leaver)
        began = _told_to_stop(scene, leaver)
        if twice:
            await asyncio.sleep(0.2)
        elif stubborn:
            await _reported(scene, leaver.pid)
        if twice or stubborn:
            began = _told_to_stop(scene, leaver)
        limit = (_HURRY if twice or stubborn else scene.plan.grace + 1) * scene.plan.slack
        took = await _ended(leaver, began, scene, limit)
        exits.append(took)
        allowed = {0, -signal.SIGTERM} if stubborn else {0}
        if leaver.returncode not in allowed:
            scene.complaints.append(f"a worker that was told to stop ended with {leaver.returncode}")
        scene.workers.add()
        await started(scene, theirs, times=2)
        pickups += _pickups(scene, [job_id for job_id in theirs if job_id not in deaf])
    late = [seconds for seconds in pickups if seconds > _PICKUP * scene.plan.slack]
    if late:
        scene.complaints.append(f"released jobs started again only after {max(late):.1f} s")
    scene.count("jobs released", len(pickups))
    scene.most("a released job started elsewhere after, s", max(pickups, default=0))
    scene.most("a worker ended after the signal that counts, s", max(exits))
    return scene.plan.times


def _told_to_stop(scene: Scene, leaver: subprocess.Popen[bytes]) -> float:
    """SIGTERM; when (monotonic)."""
    # Whoever resists, or is handed back, starts elsewhere for this reason.
    scene.ledger.write("disturbed", process=leaver.pid)
    began = time.monotonic()
    leaver.send_signal(signal.SIGTERM)
    scene.ledger.write("disturbed", process=leaver.pid)
    return began


async def _reported(scene: Scene, process: int) -> None:
    deadline = time.monotonic() + 30
    while not any(line.process == process for line in told(scene.workers.folder, "job.stubborn")):
        if time.monotonic() > deadline:
            scene.complaints.append("nobody was told of a stubborn job")
            return
        await asyncio.sleep(0.02)


async def _ended(leaver: subprocess.Popen[bytes], began: float, scene: Scene, limit: float) -> float:
    try:
        await asyncio.to_thread(leaver.wait, 30)
    except subprocess.TimeoutExpired:
        leaver.kill()
        leaver.wait()
    took = time.monotonic() - began
    if took > limit:
        scene.complaints.append(f"a worker took {took:.1f} s to end, {limit:.1f} s are allowed")
    return took


def _pickups(scene: Scene, ids: Sequence[str]) -> list[float]:
    """From each cancellation to the job's next start."""
    found: list[float] = []
    log = seen(scene)
    for job_id in ids:
        cancelled = [entry.at for entry in log if entry.deed == "cancelled" and entry.job == job_id]
        if not cancelled:
            scene.complaints.append(f"{job_id} was never cancelled")
            continue
        found += [
            min(
                entry.at for entry in log if entry.deed == "started" and entry.job == job_id and entry.at > cancelled[0]
            )
            - cancelled[0]
        ]
    return found


async def no_attempt_was_spent(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Whoever was handed back, or left to a lease, is in its first attempt; only the latter has lost a worker."""
    for job in await odd(queue, found):
        if job.attempt != 1:
            scene.complaints.append(f"{job.id} is in attempt {job.attempt}")
        if job.stalls and not job.id.startswith("deaf"):
            scene.complaints.append(f"{job.id} was not handed back: it lost {job.stalls} workers")
