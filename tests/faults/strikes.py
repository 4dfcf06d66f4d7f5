"""The plainest faults: each strikes a running scene, and says how often it did."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobqueue import Queue, connect
from tests.faults.ledger import Entry
from tests.faults.scene import Scene
from tests.faults.storm import storm
from tests.faults.worker_process import POISONOUS, POISONS, QUEUE

MOST_STARTS = 3
"""Of a job that kills its worker every time: the default of ``Worker(max_stalls=)``."""


async def killed_workers(scene: Scene) -> int:
    """F2: SIGKILL one worker after the other, in the middle of their jobs."""
    for _ in range(scene.plan.times):
        # On a busy machine a process takes seconds to start: killed before that, it would have had no jobs. And a
        # worker recovers jobs when it starts: without a pause after it the blow falls on whoever has just claimed them.
        await scene.workers.all_ready()
        await scene.pause()
        scene.workers.kill(_anyone(scene))
    return scene.plan.times


async def killed_server(scene: Scene) -> int:
    """F3: SIGKILL the server and start it again on its append-only file."""
    for _ in range(scene.plan.times):
        await scene.pause()
        await asyncio.to_thread(scene.server.kill)
        await asyncio.sleep(scene.chance.uniform(0, 0.3))
        await asyncio.to_thread(scene.server.start)
    return scene.plan.times


async def stalled_server(scene: Scene) -> int:
    """F4: SIGSTOP the server, sometimes for longer than a lease, and wake it; its connections stay open meanwhile."""
    for _ in range(scene.plan.times):
        await scene.pause()
        scene.server.stop()
        await asyncio.sleep(scene.chance.uniform(0.1, 1.5) * scene.plan.lease)
        scene.server.wake()
    return scene.plan.times


async def dropped_replies(scene: Scene) -> int:
    """F6: requests go through, and their replies are lost."""
    assert scene.proxy is not None
    scene.proxy.share = 0.02
    await scene.proxy.until(scene.plan.times)
    scene.proxy.share = 0
    return scene.proxy.dropped


async def stopped_workers(scene: Scene) -> int:
    """F7: SIGSTOP a worker until its leases have run out and its jobs run elsewhere, then wake it."""
    for _ in range(scene.plan.times):
        await scene.pause()
        place = _anyone(scene)
        scene.workers.stop(place)
        await asyncio.sleep(2.5 * scene.plan.lease)
        scene.workers.wake(place)
    return scene.plan.times


async def reset_connections(scene: Scene) -> int:
    """F8: reset every connection at once, again and again."""
    assert scene.proxy is not None
    for _ in range(scene.plan.times):
        await scene.pause()
        scene.proxy.reset()
    return scene.plan.times


async def rolling_stops(scene: Scene) -> int:
    """F10: SIGTERM one worker after the other, and start another in its place, as a deployment does."""
    for _ in range(scene.plan.times):
        await scene.pause()
        # Until it is ready a process has no handler for the signal, and a deployment waits for it too.
        await scene.workers.all_ready()
        code, seconds = await asyncio.to_thread(scene.workers.terminate, _anyone(scene))
        if code != 0:
            scene.complaints.append(f"a worker that was told to stop ended with {code}")
        if seconds > scene.plan.grace + 1:
            scene.complaints.append(f"a worker took {seconds:.1f} s to stop; its grace period is {scene.plan.grace} s")
    return scene.plan.times


async def poison(scene: Scene) -> int:
    """F12: jobs that take their worker with them (exit, SIGSEGV, SIGKILL), whenever they are started."""
    scene.workers.supervise()
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for number in range(scene.plan.times):
            await scene.pause()
            await queue.enqueue("work", POISONS[number % len(POISONS)], job_id=f"{POISONOUS}{number}")
    return scene.plan.times


async def all_poison_is_buried(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Each poisonous job lost so many workers and not more, and failed for it. It was started as often, or less: of two
    that are claimed together the first takes the other with it.
    """
    for number in range(scene.plan.times):
        job_id = f"{POISONOUS}{number}"
        starts = sum(entry.deed == "started" and entry.job == job_id for entry in found)
        if not 1 <= starts <= MOST_STARTS:
            scene.complaints.append(f"{job_id} was started {starts} times")
        job = await queue.get(job_id)
        if job is None or job.state != "failed" or job.error is None or job.error.type != "WorkerLost":
            scene.complaints.append(f"{job_id} is {job and job.state}: {job and job.error}")
        elif job.stalls != MOST_STARTS:
            scene.complaints.append(f"{job_id} lost {job.stalls} workers")


async def cancelled_callers(scene: Scene) -> int:
    """F21: callers that give up at any moment, while others go on over the same connections."""
    async with connect(scene.url, fallback="never") as backend:
        return await storm(scene, Queue(QUEUE, backend=backend))


def _anyone(scene: Scene) -> int:
    return scene.chance.randrange(len(scene.workers.processes))
