"""F27: many producers race for the same job ids."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

import redis.asyncio

from jobqueue import Job, JobState, Keep, Queue, Registry, Worker, connect
from jobqueue.backends import RedisBackend
from jobqueue.backends.redis import keys
from tests.faults.ledger import entries
from tests.faults.parts import ROOT
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_PROCESSES, _RIVALS = 4, 16
_LOOKED_AT = 20


async def racing_producers(scene: Scene) -> int:
    """F27: 64 producers in four processes enqueue the same ids; one process is killed in the middle, and its successor
    begins again.
    """
    count = scene.plan.jobs // 2
    ids = [f"raced-{number}" for number in range(count)]
    scene.attempted.update(ids)
    racers = [await _racers(scene, count) for _ in range(_PROCESSES)]
    # Told to end, not cancelled: under Python 3.11 redis-py can swallow a cancellation, and it would go on for ever.
    over = asyncio.Event()
    looking = asyncio.create_task(_never_two(scene, ids, over))
    await _has_begun(scene, racers[0])
    # On a busy machine it may be through before this process is asked again.
    with contextlib.suppress(ProcessLookupError):
        racers[0].kill()
    scene.count("producers killed in the middle", await racers[0].wait() == -signal.SIGKILL)
    racers[0] = await _racers(scene, count)
    for racer in racers:
        if await racer.wait():
            scene.complaints.append(f"a producer ended with {racer.returncode}")
    over.set()
    await looking
    await _free_again(scene)
    return scene.plan.times


async def _racers(scene: Scene, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.producer_process",
        scene.url, str(scene.workers.path), "raced", str(count), str(_RIVALS),
        cwd=ROOT,
    )  # fmt: skip


async def _has_begun(scene: Scene, racer: asyncio.subprocess.Process) -> None:
    # Another process writes the file: there is nothing here that could be waited on.
    while not any(entry.process == racer.pid for entry in entries(scene.workers.path)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def _never_two(scene: Scene, ids: list[str], over: asyncio.Event) -> None:
    """Look at some of the ids, all states of each in one step, until it is ``over``."""
    prefix, looks = keys.prefix("jobqueue", QUEUE), 0
    once: set[str] = set()
    async with redis.asyncio.Redis.from_url(scene.url) as client:  # pyright: ignore[reportUnknownMemberType]
        while not over.is_set():
            some = scene.chance.sample(ids, min(_LOOKED_AT, len(ids)))
            async with client.pipeline(transaction=True) as step:
                for job_id in some:
                    for state in JobState:
                        step.zscore(prefix + state, job_id)
                scores = await step.execute()
            states = len(JobState)
            for place, job_id in enumerate(some):
                found = sum(score is not None for score in scores[place * states : (place + 1) * states])
                if found > 1 or (found == 0 and job_id in once):
                    scene.complaints.append(f"{job_id} was in {found} states at once")
                if found:
                    once.add(job_id)
            looks += 1
            await asyncio.sleep(0.02)
    scene.figures["ids looked at"], scene.figures["looks"] = len(once), looks


async def _free_again(scene: Scene) -> None:
    """An id whose job has ended and is not kept is free: round after round it is won once, by all who race for it."""
    registry, runs = Registry(), list[str]()

    @registry.processor("again")
    async def again(job: Job[int]) -> None:
        runs.append(job.id)

    backends = [RedisBackend.from_url(scene.url) for _ in range(_PROCESSES * _RIVALS)]
    queues = [Queue("again", backend=backend) for backend in backends]
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue("again", backend=backend)
        async with Worker(queue, registry=registry, lease=scene.plan.lease):
            for number in range(scene.plan.times):
                await queue.pause()
                jobs = [rival.enqueue("again", 0, job_id="again", keep=Keep(completed=0)) for rival in queues]
                await asyncio.gather(*jobs)
                counts = await queue.counts()
                if counts.total != 1:
                    scene.complaints.append(f"{len(queues)} producers made {counts.total} jobs of one id")
                await queue.resume()
                while counts.total:
                    counts = await queue.counts()
                if len(runs) != number + 1:
                    scene.complaints.append(f"{len(runs)} runs in {number + 1} rounds")
    for backend in backends:
        await backend.close()
    scene.figures["producers for an id that was free again"] = len(queues)
