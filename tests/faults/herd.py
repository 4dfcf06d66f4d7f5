"""F25: two hundred idle lanes, to which jobs come one by one, then all at once; and leases that end all together."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import redis

from jobqueue import NewJob, Queue, connect
from jobqueue.backends.protocol import MAX_BATCH, Backend, Exchange
from jobqueue.backends.redis.scripts import script
from jobqueue.worker.upkeep import ORPHANS
from tests.faults.crew import Outfit
from tests.faults.ledger import entries
from tests.faults.scene import Plan, Scene
from tests.faults.worker_process import QUEUE

_MOST_WOKEN = 2.0
"""By one job that comes alone."""
_MOST_CPU = 0.05
"""Of one core, that the server spends on lanes that are nearly idle."""
_MOST_MS = 25.0
"""For a batch of expired leases the server stands still no longer, half of the time: a loaded machine adds to some."""
_EXPIRING = 0.4
"""Of the plan's jobs, those whose leases end at once."""
_LEASE_MS = 2000


def many_lanes(_: Plan, __: Path) -> Sequence[Outfit]:
    """Fifty lanes a process."""
    return [Outfit(module="tests.faults.herd_process")]


async def thundering_herd(scene: Scene) -> int:
    """F25: 200 idle lanes, a job every second, then a burst; and 20 000 leases that end at the same moment."""
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        await _one_by_one(scene, queue)
        await _burst(scene, queue)
        await _all_leases_end(scene, queue, backend)
    return scene.plan.times


async def _one_by_one(scene: Scene, queue: Queue) -> None:
    before, cpu, began = _woken(scene), await _cpu(scene), time.monotonic()
    for number in range(scene.plan.times):
        await _enqueue(scene, queue, [f"alone-{number}"])
        await asyncio.sleep(scene.plan.every)
    used = (await _cpu(scene) - cpu) / (time.monotonic() - began)
    woken = (_woken(scene) - before) / scene.plan.times
    scene.figures["lanes woken by a job"] = round(woken, 2)
    scene.figures["share of a core the server used"] = round(used, 4)
    if woken > _MOST_WOKEN:
        scene.complaints.append(f"a job that came alone woke {woken:.1f} lanes")
    if used > _MOST_CPU:
        scene.complaints.append(f"lanes that were nearly idle cost the server {used:.1%} of a core")


async def _burst(scene: Scene, queue: Queue) -> None:
    before, began = _woken(scene), time.monotonic()
    await _enqueue(scene, queue, [f"burst-{number}" for number in range(scene.plan.jobs)])
    await _quiet(queue)
    woken = _woken(scene) - before
    scene.figures["jobs/s in a burst"] = round(scene.plan.jobs / (time.monotonic() - began))
    scene.figures["lanes woken by a burst"] = woken
    if woken > scene.plan.jobs:
        scene.complaints.append(f"{scene.plan.jobs} jobs at once woke lanes {woken} times")


async def _all_leases_end(scene: Scene, queue: Queue, backend: Backend) -> None:
    """While the lanes are stopped, somebody claims everything and dies."""
    count = round(scene.plan.jobs * _EXPIRING)
    for place in range(scene.plan.workers):
        scene.workers.stop(place)
    await _enqueue(scene, queue, [f"orphan-{number}" for number in range(count)])
    # Each lane was waiting when it was stopped, and gets one job, which it runs when it goes on.
    for sequence in range(1, -(-count // MAX_BATCH) + 1):
        request = Exchange("dead", "dead/0", sequence, claim=MAX_BATCH, lease_ms=_LEASE_MS)
        await backend.exchange(QUEUE, request)
    await asyncio.to_thread(scene.server.configure, slowlog_log_slower_than=0, slowlog_max_len=1_000_000)
    for place in range(scene.plan.workers):
        scene.workers.wake(place)
    began = time.monotonic()
    while (await queue.counts()).active >= count * 0.9:  # noqa: ASYNC110  (leases end by the server's clock)
        await asyncio.sleep(0.05)
    await _quiet(queue)
    scene.figures["orphans done after, s"] = round(time.monotonic() - began, 1)
    rounds = await asyncio.to_thread(_upkeep_ms, scene.server.url)
    await asyncio.to_thread(scene.server.configure, slowlog_log_slower_than=-1)
    # The longest are those that had something to recover.
    batches = sorted(rounds)[-max(1, count // ORPHANS) :]
    scene.figures["ms for a batch of orphans, median"] = round(statistics.median(batches), 2)
    scene.figures["ms for a batch of orphans, most"] = round(batches[-1], 2)
    if statistics.median(batches) > _MOST_MS:
        scene.complaints.append(
            f"the server stood still for {statistics.median(batches):.1f} ms for each batch of orphans"
        )


def _upkeep_ms(url: str) -> list[float]:
    with redis.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        slow = client.slowlog_get(1_000_000)  # pyright: ignore[reportUnknownMemberType]
    return [call["duration"] / 1000 for call in slow if script("upkeep").sha.encode() in call["command"]]


async def _enqueue(scene: Scene, queue: Queue, ids: list[str]) -> None:
    scene.attempted.update(ids)
    for start in range(0, len(ids), MAX_BATCH):
        await queue.enqueue_many([NewJob("work", 0, job_id=job_id) for job_id in ids[start : start + MAX_BATCH]])
    for job_id in ids:
        scene.ledger.write("acknowledged", job_id)


async def _quiet(queue: Queue) -> None:
    while (counts := await queue.counts()).waiting or counts.active:  # noqa: ASYNC110  (other processes do it)
        await asyncio.sleep(0.05)


async def _cpu(scene: Scene) -> float:
    facts = await asyncio.to_thread(scene.server.facts)
    return float(facts["used_cpu_sys"]) + float(facts["used_cpu_user"])


def _woken(scene: Scene) -> int:
    return sum(entry.deed == "woken" for entry in entries(scene.ledger.path))
