"""How late schedules are, and what many of them cost a worker that has nothing to do.

    python -m benchmarks.schedules [idle] [busy] [many] [cost]

Lateness is from the tick to the moment at which its job was put in, both on the server's clock: idle, with as many jobs
as a worker can run, and right after a thousand schedules fall due in the same second. Cost is counted by the server
(commands, CPU) over a quiet stretch, without schedules and with ten thousand that are not due.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Sequence
from datetime import datetime

import redis.asyncio

from jobqueue import Job, Keep, NewJob, Queue, Registry, Schedule, Worker
from jobqueue.backends import RedisBackend
from tests.servers import server, valkey_binary

SECONDS = 20
QUIET = 30.0
MANY = 10_000
FEW = 20


def _late(created: datetime, job_id: str) -> float:
    tick = datetime.fromisoformat(job_id.partition(":")[2].replace("Z", "+00:00"))
    return (created - tick).total_seconds() * 1000


def _tell(what: str, late: Sequence[float]) -> None:
    ordered = sorted(late)
    p50, p99 = statistics.median(ordered), ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what:<44} {len(ordered):>6} runs   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   most {ordered[-1]:6.1f} ms")


def _registry(late: list[float]) -> Registry:
    registry = Registry()

    @registry.processor("tick", keep=Keep(completed=0))
    async def tick(job: Job) -> None:
        late.append(_late(job.created_at, job.id))

    @registry.processor("load", keep=Keep(completed=0))
    async def load(_: Job) -> None: ...

    @registry.processor("io", keep=Keep(completed=0))
    async def io(_: Job) -> None:
        await asyncio.sleep(0.01)

    return registry


async def _lateness(client: redis.asyncio.Redis, *, workers: int, load: str | None = None) -> list[float]:
    await client.flushall()
    late: list[float] = []
    backends = [RedisBackend(client) for _ in range(workers + 1)]
    queues = [Queue("bench", backend=backend) for backend in backends]
    registry = _registry(late)
    running = [Worker(queue, registry=registry, concurrency=50, grace=2) for queue in queues[1:]]
    for worker in running:
        await worker.start()
    for number in range(FEW):
        schedule = Schedule(f"s{number}", every=1, job=NewJob("tick", priority=1))
        await queues[0].schedules.put(schedule)
        await asyncio.sleep(1 / FEW)
    end = asyncio.get_running_loop().time() + SECONDS
    while asyncio.get_running_loop().time() < end:
        if load and (await queues[0].counts()).waiting < 2000:
            await queues[0].enqueue_many([NewJob(load)] * 1000)
        else:
            await asyncio.sleep(0.05)
    for schedule in await queues[0].schedules.list(limit=1000):
        await queues[0].schedules.remove(schedule.id)
    for worker in running:
        await worker.stop()
    for backend in backends:
        await backend.close()
    return late


async def _at_once(client: redis.asyncio.Redis, number: int, *, workers: int) -> list[float]:
    await client.flushall()
    late: list[float] = []
    backends = [RedisBackend(client) for _ in range(workers)]
    queues = [Queue("bench", backend=backend) for backend in backends]
    registry = _registry(late)
    for place in range(number):
        await queues[0].schedules.put(Schedule(f"s{place}", cron="*/10 * * * * *", job=NewJob("tick")))
    running = [Worker(queue, registry=registry, concurrency=50, grace=2) for queue in queues]
    for worker in running:
        await worker.start()
    late.clear()
    await asyncio.sleep(SECONDS)
    for worker in running:
        await worker.stop()
    for backend in backends:
        await backend.close()
    return late


async def _cost(client: redis.asyncio.Redis, schedules: int) -> None:
    await client.flushall()
    backend = RedisBackend(client)
    queue = Queue("bench", backend=backend)
    for start in range(0, schedules, 100):
        batch = range(start, start + 100)
        await asyncio.gather(
            *(queue.schedules.put(Schedule(f"s{number}", cron="@yearly", job=NewJob("tick"))) for number in batch)
        )
    async with Worker(queue, registry=_registry([]), concurrency=50):
        await asyncio.sleep(3)
        before = await client.info()
        await asyncio.sleep(QUIET)
        after = await client.info()
    calls = (after["total_commands_processed"] - before["total_commands_processed"] - 1) * 60 / QUIET
    cpu = sum(after[name] - before[name] for name in ("used_cpu_sys", "used_cpu_user"))
    memory = after["used_memory"] / 1e6
    print(
        f"{schedules:>6} schedules, one idle worker: {calls:5.0f} commands a minute (those in scripts included), "
        f"{cpu / QUIET * 100:.3f} % of a core, {memory:.1f} MB"
    )
    await backend.close()


async def main(wanted: Sequence[str]) -> None:
    """Those of the four measures that are ``wanted``, or all."""
    with server(valkey_binary()) as url:
        async with redis.asyncio.Redis.from_url(url) as client:
            if not wanted or "idle" in wanted:
                _tell("one idle worker", await _lateness(client, workers=1))
                _tell("three idle workers", await _lateness(client, workers=3))
            if not wanted or "busy" in wanted:
                _tell("one worker, busy with jobs of 10 ms", await _lateness(client, workers=1, load="io"))
                _tell("one worker, busy with empty jobs", await _lateness(client, workers=1, load="load"))
            if not wanted or "many" in wanted:
                _tell("1000 at the same second, one worker", await _at_once(client, 1000, workers=1))
                _tell("1000 at the same second, three workers", await _at_once(client, 1000, workers=3))
            for schedules in (0, MANY) if not wanted or "cost" in wanted else ():
                await _cost(client, schedules)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
