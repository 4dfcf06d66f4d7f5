"""Idle lanes wake for what comes, whatever else the lane is at, and wait in no way that others can feel."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import fakeredis
import pytest
import redis.asyncio

from jobqueue import Batch, EventType, Job, Queue, Registry, Worker
from jobqueue.backends import Backend, MemoryBackend, RedisBackend
from jobqueue.backends.protocol import Exchange, Page
from jobqueue.model.record import JobRecord, JobState
from jobqueue.worker.lane import Lane

SOON = 8
"""Seconds: less than an idle lane waits by itself before it looks again."""


def lane_of(worker: Worker) -> Lane:
    (lane,) = worker._lanes  # pyright: ignore[reportPrivateUsage]
    return lane


@asynccontextmanager
async def starts(queue: Queue) -> AsyncGenerator[Callable[[], Any]]:
    """What is returned waits for the next job to be claimed."""
    cursor = (await (await queue.backend()).events(queue.name, None, 0)).cursor
    events = queue.events(after=cursor)

    async def next_start() -> None:
        async for event in events:
            if event.type is EventType.STARTED:
                return

    yield next_start


@pytest.mark.parametrize("slots", [1, 2])
async def test_a_lane_that_gathers_goes_on_waiting(tickets: Queue, registry: Registry, slots: int) -> None:
    sizes: list[int] = []
    gathered, busy, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @registry.processor("mail", batch=Batch(size=3, wait=60))
    async def mail(jobs: list[Job[Any]]) -> None:
        sizes.append(len(jobs))
        gathered.set()

    @registry.processor("long")
    async def long(job: Job[Any]) -> None:
        busy.set()
        await over.wait()

    async with Worker(tickets, registry=registry, concurrency=slots, grace=0), starts(tickets) as next_start:
        if slots > 1:
            await tickets.enqueue("long")
            await asyncio.wait_for(busy.wait(), SOON)
            await asyncio.wait_for(next_start(), SOON)
        for _ in range(3):
            await tickets.enqueue("mail")
            await asyncio.wait_for(next_start(), SOON)
        await asyncio.wait_for(gathered.wait(), SOON)
        over.set()
    assert sizes == [3]


async def test_an_older_answer_does_not_stop_the_alarm_of_a_newer_one(
    valkey_url: str, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, settled, waited, go_on = (asyncio.Event() for _ in range(4))
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        backend = RedisBackend(client)
        await backend.open()
        exchange, await_jobs = backend.exchange, backend.await_jobs

        async def slow(queue: str, request: Exchange) -> Page:
            page = await exchange(queue, request)
            if request.settlements and not settled.is_set():
                settled.set()
                await go_on.wait()
            return page

        async def waiting(queue: str, seconds: float, request: Exchange) -> Page:
            page = await await_jobs(queue, seconds, request)
            if settled.is_set():
                waited.set()
            return page

        monkeypatch.setattr(backend, "exchange", slow)
        monkeypatch.setattr(backend, "await_jobs", waiting)

        @registry.processor("n")
        async def note(job: Job[str]) -> None:
            if job.data == "late":
                ran.set()

        tickets = Queue("tickets", backend=backend)
        async with Worker(tickets, registry=registry):
            await tickets.enqueue("n", "first")
            await asyncio.wait_for(settled.wait(), SOON)
            await tickets.enqueue("n", "late", delay=0.5)
            await asyncio.wait_for(waited.wait(), SOON)
            # The lane takes the newer answer in, and then the older one.
            await asyncio.sleep(0)
            go_on.set()
            await asyncio.wait_for(ran.wait(), SOON)
        await backend.close()


async def test_a_single_slot_asks_for_nothing_while_an_answer_is_on_its_way(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = MemoryBackend()
    tickets, order = Queue("tickets", backend=backend), list[int]()
    over, answered, go_on = (asyncio.Event() for _ in range(3))
    exchange = backend.exchange

    async def slow(queue: str, request: Exchange) -> Page:
        page = await exchange(queue, request)
        if request.repeated and page.leases and not answered.is_set():
            answered.set()
            await go_on.wait()
        return page

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        order.append(job.data)
        if len(order) == 2:
            over.set()

    async with Worker(tickets, registry=registry, concurrency=1, grace=0) as worker:
        lane = lane_of(worker)
        monkeypatch.setattr(backend, "exchange", slow)
        await tickets.enqueue("n", 1)
        lane.look_now()
        await asyncio.wait_for(answered.wait(), SOON)
        await tickets.enqueue("n", 2)
        lane.look = True
        lane.nudge()
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        await asyncio.wait_for(over.wait(), SOON)
    assert order == [1, 2]


async def test_a_suspect_waits_until_nobody_waits_for_another_job(registry: Registry) -> None:
    suspect = JobRecord("s", "tickets", "n", state=JobState.ACTIVE, stalls=2, token=1, worker="w")
    async with Worker(Queue("tickets", backend=MemoryBackend()), registry=registry) as worker:
        lane = lane_of(worker)
        with lane.vigil.waiting():
            lane.take_in(Page([suspect], frozenset(), 0), claim=1, hints=lane.hints, asked_at=0, repeated=False)
            assert lane.lone_suspect is None
            await asyncio.sleep(60)
        assert lane.lone_suspect is None, "it is not known yet what has come of it"
        lane.vigil.over()
        assert lane.lone_suspect is suspect


async def test_draining_beside_another_worker_makes_no_connections(valkey_url: str, registry: Registry) -> None:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        one, other = RedisBackend(client), RedisBackend(client)
        await one.open()
        await other.open()
        begun, over, looked = asyncio.Event(), asyncio.Event(), asyncio.Event()

        @registry.processor("n")
        async def long(job: Job[Any]) -> None:
            begun.set()
            await over.wait()

        async def connections() -> int:
            facts: Any = await client.info("stats")  # pyright: ignore[reportUnknownMemberType]
            return int(facts["total_connections_received"])

        status, looks = other.status, 0

        async def counted(queue: str) -> Any:
            nonlocal looks
            looks += 1
            if looks == 20:
                looked.set()
            return await status(queue)

        other.status = counted
        async with Worker(Queue("tickets", backend=one), registry=registry):
            await Queue("tickets", backend=one).enqueue("n")
            await asyncio.wait_for(begun.wait(), SOON)
            drainer = Worker(Queue("tickets", backend=other), registry=registry, concurrency=1)
            await drainer.start()
            draining = asyncio.create_task(drainer.drain())
            before = await connections()
            await asyncio.wait_for(looked.wait(), SOON)
            assert await connections() - before < 10
            over.set()
            await asyncio.wait_for(draining, SOON)
            await drainer.stop()
        await one.close()
        await other.close()


async def test_an_imitated_server_that_goes_on_waiting_takes_nobody_s_marker(registry: Registry) -> None:
    ran = asyncio.Event()

    @registry.processor("n")
    async def note(job: Job[Any]) -> None:
        ran.set()

    backend = RedisBackend(fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer()))
    await backend.open()
    tickets = Queue("tickets", backend=backend)
    async with Worker(tickets, registry=registry, concurrency=1, grace=0) as worker:
        for _ in range(3):
            lane_of(worker).look_now()
            await asyncio.sleep(0.3)
        await tickets.enqueue("n")
        await asyncio.wait_for(ran.wait(), SOON)
    await backend.close()


async def test_who_left_claims_nothing_and_wakes_the_next(backend: Backend) -> None:
    request = Exchange("w", "w/2", 1, claim=1)
    await backend.exchange("tickets", replace(request, claim=0, repeated=True))
    await backend.leave("tickets", "w")
    await Queue("tickets", backend=backend).enqueue("n")
    assert (await backend.await_jobs("tickets", 20, request)).leases == []
    assert await backend.wait("tickets", 20)
