"""Schedules on a real server: ten workers, replies that are lost, workers that die between two steps."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import redis.asyncio

from jobqueue import EventType, Job, Keep, NewJob, Queue, Registry, Schedule, Worker
from jobqueue.backends import RedisBackend
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.scheduling import ScheduleRecord
from jobqueue.errors import BackendUnavailable
from jobqueue.model.plan import tick_id

RUNS, EVERY = 25, 0.2
SCHEDULES = [f"s{number}" for number in range(4)]
LONG_LEASE = 600.0
"""So long that upkeep comes every 200 s: what happens sooner was not found by it."""


@pytest.fixture
async def client(valkey_url: str) -> AsyncGenerator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        yield client


class Ledger:
    """Who has run, and a bell for when that is enough."""

    def __init__(self, enough: int) -> None:
        self.registry = Registry()
        self.ran: Counter[str] = Counter()
        self.done = asyncio.Event()

        @self.registry.processor("count")
        async def count(job: Job) -> None:
            self.ran[job.id] += 1
            if len(self.ran) >= enough:
                self.done.set()


@pytest.mark.timeout(120)
async def test_ten_workers_put_one_job_in_for_each_tick_though_replies_are_lost(
    client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw, real, lost = random.Random(5), Calls.run, Counter[str]()

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if draw.random() < 0.1:
            lost[f"{name} before"] += 1
            raise BackendUnavailable("it never arrived")
        reply = await real(calls, name, prefix, *words)
        if draw.random() < 0.2:
            lost[f"{name} after"] += 1
            raise BackendUnavailable("the reply was lost")
        return reply

    ledger = Ledger(RUNS * len(SCHEDULES))
    producer = Queue("reports", backend=RedisBackend(client))
    # What is not kept leaves nothing behind by which a second job of the same tick would be recognised.
    job = NewJob("count", keep=Keep(completed=0))
    async with AsyncExitStack() as stack:
        backends = [RedisBackend(client) for _ in range(10)]
        for backend in backends:
            stack.push_async_callback(backend.close)
            queue = Queue("reports", backend=backend)
            await stack.enter_async_context(Worker(queue, registry=ledger.registry, concurrency=5, grace=5))
        monkeypatch.setattr(Calls, "run", run)
        for schedule in SCHEDULES:
            await producer.schedules.put(Schedule(schedule, every=EVERY, limit=RUNS, catch_up="all", job=job))
        await asyncio.wait_for(ledger.done.wait(), 90)
        monkeypatch.setattr(Calls, "run", real)
        found = await backends[0].find_schedules("reports")
        events = await backends[0].events("reports", "0", 0)
        put_in: Counter[str] = Counter()
        while events.events:
            put_in.update(event.job_id for event in events.events if event.type is EventType.ENQUEUED)
            events = await backends[0].events("reports", events.cursor, 0)
    await (await producer.backend()).close()

    assert put_in == Counter(_expected(found.records))
    assert set(ledger.ran) == set(put_in)
    assert all(record.runs == RUNS and record.tick_ms is None for record in found.records)
    assert lost["fire_schedules after"] > 0
    assert lost["due_schedules after"] > 0


def _expected(records: tuple[ScheduleRecord, ...]) -> list[str]:
    step = round(EVERY * 1000)
    return [tick_id(record.id, record.anchor_ms + number * step) for record in records for number in range(1, RUNS + 1)]


@pytest.mark.timeout(60)
async def test_a_worker_that_dies_between_asking_and_firing_costs_no_tick(
    client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(4)
    backend = RedisBackend(client)
    queue = Queue("reports", backend=backend)
    await queue.schedules.put(Schedule("s", every=0.3, catch_up="all", limit=4, job=NewJob("count")))
    real, died = Calls.run, 0

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        nonlocal died
        if name == "fire_schedules" and died < 6:
            # As if the process had ended here: whoever comes next knows nothing of it.
            died += 1
            raise BackendUnavailable("gone")
        return await real(calls, name, prefix, *words)

    monkeypatch.setattr(Calls, "run", run)
    monkeypatch.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
    async with Worker(queue, registry=ledger.registry, lease=LONG_LEASE):
        await asyncio.wait_for(ledger.done.wait(), 30)
    (record,) = (await backend.find_schedules("reports")).records
    await backend.close()
    assert died == 6
    assert ledger.ran == Counter(tick_id("s", record.anchor_ms + 300 * number) for number in range(1, 5))


@pytest.mark.timeout(60)
async def test_workers_that_sleep_hear_of_a_schedule_put_by_another_process(client: redis.asyncio.Redis) -> None:
    ledger = Ledger(1)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            backend = RedisBackend(client)
            stack.push_async_callback(backend.close)
            queue = Queue("reports", backend=backend)
            worker = Worker(queue, registry=ledger.registry, lease=LONG_LEASE)
            await stack.enter_async_context(worker)
            await _registered(backend, worker)
        other = RedisBackend(client)
        stack.push_async_callback(other.close)
        await Queue("reports", backend=other).schedules.put(Schedule("far", cron="@yearly", job=NewJob("count")))
        await Queue("reports", backend=other).schedules.put(Schedule("soon", every=1, limit=1, job=NewJob("count")))
        # Upkeep would find it in 200 s.
        await asyncio.wait_for(ledger.done.wait(), 30)
        assert [job.split(":")[0] for job in ledger.ran] == ["soon"]


async def _registered(backend: RedisBackend, worker: Worker) -> None:
    """Once the worker's first upkeep is through: from then on it learns of schedules by orders alone."""
    for _ in range(10_000):
        if any(presence.worker == worker.id for presence in await backend.workers("reports")):
            return
    raise AssertionError("the worker never told that it is there")
