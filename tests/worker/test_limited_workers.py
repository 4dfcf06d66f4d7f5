"""Limits and groups as a worker lives with them, on every backend."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from jobqueue import GroupLimits, Job, Limits, NewJob, Queue, Rate, RateLimited, Registry, Worker
from jobqueue.backends import Backend, MemoryBackend
from jobqueue.backends.protocol import Exchange, Page
from jobqueue.testing import ManualClock


@dataclass
class Desk:
    """A processor that notes what runs at the same time; each job runs until the next turn of the loop or longer."""

    registry: Registry = field(default_factory=Registry)
    running: Counter[str] = field(default_factory=Counter[str])
    most: Counter[str] = field(default_factory=Counter[str])
    order: list[str] = field(default_factory=list[str])

    async def work(self, job: Job) -> None:
        for name in ("all", job.type, job.group or ""):
            self.running[name] += 1
            self.most[name] = max(self.most[name], self.running[name])
        self.order.append(job.id)
        await asyncio.sleep(0.002)
        for name in ("all", job.type, job.group or ""):
            self.running[name] -= 1


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.registry.processor("mail.send")(desk.work)
    desk.registry.processor("sms.send", concurrency=2)(desk.work)
    return desk


async def test_concurrency_over_two_workers(backend: Backend, desk: Desk) -> None:
    queue = Queue("mail", backend=backend, limits=Limits(concurrency=3))
    await queue.enqueue_many([NewJob("mail.send") for _ in range(40)])
    async with Worker(queue, registry=desk.registry) as one, Worker(queue, registry=desk.registry):
        await one.drain()
    assert desk.most["all"] == 3
    assert (await queue.counts()).completed == 40


async def test_a_type_s_limit_in_one_worker_holds_no_lease_idle(backend: Backend, desk: Desk) -> None:
    queue = Queue("mixed", backend=backend)
    await queue.enqueue_many([NewJob("sms.send", job_id=f"s{number}") for number in range(20)])
    await queue.enqueue_many([NewJob("mail.send", job_id=f"m{number}") for number in range(20)])
    async with Worker(queue, registry=desk.registry) as worker:
        await worker.drain()
    assert desk.most["sms.send"] == 2
    # The others did not have to wait behind it.
    assert desk.order.index("m19") < desk.order.index("s19")
    assert (await queue.counts()).completed == 40


async def test_two_workers_share_a_type_that_each_limits(backend: Backend, desk: Desk) -> None:
    queue = Queue("mixed", backend=backend)
    await queue.enqueue_many([NewJob("sms.send") for _ in range(40)])
    async with Worker(queue, registry=desk.registry) as one, Worker(queue, registry=desk.registry):
        await one.drain()
    assert 2 < desk.most["sms.send"] <= 4


async def test_a_type_s_limit_over_all_workers(backend: Backend, desk: Desk) -> None:
    queue = Queue("mixed", backend=backend, limits=Limits(types={"mail.send": 3}))
    await queue.enqueue_many([NewJob("mail.send") for _ in range(30)])
    async with Worker(queue, registry=desk.registry) as one, Worker(queue, registry=desk.registry):
        await one.drain()
    assert desk.most["mail.send"] == 3


async def test_each_group_one_at_a_time(backend: Backend, desk: Desk) -> None:
    queue = Queue("mail", backend=backend, limits=Limits(groups=GroupLimits(concurrency=1)))
    await queue.enqueue_many([NewJob("mail.send", group=f"g{number % 4}") for number in range(40)])
    async with Worker(queue, registry=desk.registry) as one, Worker(queue, registry=desk.registry):
        await one.drain()
    assert [desk.most[f"g{number}"] for number in range(4)] == [1, 1, 1, 1]
    assert desk.most["all"] > 1
    assert await queue.groups() == []


async def test_a_rate_in_real_time(backend: Backend, desk: Desk) -> None:
    queue = Queue("mail", backend=backend, limits=Limits(rate=Rate(5, per=0.2)))
    await queue.enqueue_many([NewJob("mail.send") for _ in range(16)])
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with Worker(queue, registry=desk.registry) as worker:
        await worker.drain()
    # Three whole periods must pass before the sixteenth may start.
    assert loop.time() - began >= 0.6
    assert (await queue.counts()).completed == 16


async def test_a_limited_worker_sleeps_until_it_may_go_on(desk: Desk) -> None:
    clock = ManualClock()
    calls: list[int] = []

    class Counting(MemoryBackend):
        async def exchange(self, queue: str, request: Exchange) -> Page:
            calls.append(request.claim)
            return await super().exchange(queue, request)

    queue = Queue("mail", backend=Counting(clock=clock), limits=Limits(rate=Rate(2, per=60)))
    await queue.enqueue_many([NewJob("mail.send") for _ in range(6)])
    async with Worker(queue, registry=desk.registry, clock=clock, prefetch=False):
        await _until(queue, 2)
        settled = len(calls)
        await clock.advance(seconds=59.9)
        assert (await queue.counts()).completed == 2
        assert len(calls) == settled
        await clock.advance(seconds=0.1)
        await _until(queue, 4)
        await clock.advance(seconds=60)
        await _until(queue, 6)


async def test_rate_limited_by_a_processor_stops_the_group_without_spending_an_attempt() -> None:
    clock = ManualClock()
    queue = Queue("sms", backend=MemoryBackend(clock=clock))
    registry = Registry()
    attempts: list[tuple[str, int]] = []

    @registry.processor("sms.send", retry=False)
    async def send(job: Job) -> None:
        attempts.append((job.id, job.attempt))
        if job.id == "a0" and len(attempts) == 1:
            raise RateLimited(30)

    for group in "ab":
        await queue.enqueue_many([NewJob("sms.send", group=group, job_id=f"{group}{number}") for number in range(2)])
    async with Worker(queue, registry=registry, concurrency=1, clock=clock):
        await _until(queue, 2)
        assert attempts == [("a0", 1), ("b0", 1), ("b1", 1)]
        await clock.advance(seconds=30)
        await _until(queue, 4)
    assert attempts[3:] == [("a0", 1), ("a1", 1)]


@pytest.mark.parametrize("group", [None, "a"])
async def test_resuming_ends_the_hold_of_a_rate_limit(backend: Backend, desk: Desk, group: str | None) -> None:
    queue = Queue("calls", backend=backend)
    runs: list[str] = []

    @desk.registry.processor("call.place")
    async def place(job: Job) -> None:
        runs.append(job.id)
        if len(runs) == 1:
            raise RateLimited(3600)

    job = await queue.enqueue("call.place", group=group)
    async with Worker(queue, registry=desk.registry):
        await _until(queue, 1, "released")
        await (queue if group is None else queue.group(group)).resume()
        await job.result(timeout=20)


async def test_drain_leaves_paused_groups_alone(backend: Backend, desk: Desk) -> None:
    queue = Queue("mail", backend=backend)
    await queue.group("a").pause()
    await queue.enqueue_many([NewJob("mail.send", group=group) for group in "aabb"])
    async with Worker(queue, registry=desk.registry) as worker:
        await worker.drain()
        counts = await queue.counts()
        assert (counts.waiting, counts.completed) == (2, 2)
        await queue.group("a").resume()
        await worker.drain()
    assert (await queue.counts()).completed == 4


async def test_a_limit_raised_live_wakes_idle_workers(backend: Backend, desk: Desk) -> None:
    queue = Queue("mail", backend=backend, limits=Limits(rate=Rate(1, per=3600)))
    await queue.enqueue_many([NewJob("mail.send") for _ in range(5)])
    async with Worker(queue, registry=desk.registry):
        await _until(queue, 1)
        await queue.limit(rate=None)
        await _until(queue, 5)


async def test_producers_and_workers_under_back_pressure(backend: Backend, desk: Desk) -> None:
    queue = Queue("mail", backend=backend, limits=Limits(max_waiting=5))

    async def produce() -> None:
        for _ in range(15):
            await queue.enqueue("mail.send", wait=30)

    async with Worker(queue, registry=desk.registry, concurrency=2) as worker:
        await asyncio.gather(*(produce() for _ in range(3)))
        await worker.drain()
    assert (await queue.counts()).completed == 45


async def _until(queue: Queue, count: int, what: str = "completed") -> None:
    seen = 0
    async with asyncio.timeout(20):
        async for event in queue.events("0"):
            seen += event.type == what
            if seen == count:
                return
