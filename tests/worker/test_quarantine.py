"""A job that takes its workers with it is buried alone."""

from __future__ import annotations

import asyncio

import pytest

from jobqueue import EventType, Job, NewJob, Queue, Registry, Worker
from jobqueue.backends.protocol import Exchange, Upkeep
from jobqueue.model.record import JobRecord
from jobqueue.worker.quarantine import Quarantine

STALLS = 2


def record(job_id: str, stalls: int = 0) -> JobRecord:
    return JobRecord(job_id, "tickets", "look", stalls=stalls)


def test_only_suspects_are_kept() -> None:
    quarantine = Quarantine(STALLS)
    others = [record("a"), record("b", 1)]
    assert list(quarantine.sift(others)) == others
    assert not quarantine.closed
    assert [other.id for other in quarantine.sift([record("a"), record("s", 2), record("b", 1)])] == ["a", "b"]
    assert quarantine.closed


def test_it_is_open_again_when_its_suspect_is_through() -> None:
    quarantine = Quarantine(STALLS)
    quarantine.sift([record("s", 2)])
    suspect = quarantine.enter()
    assert suspect is not None
    assert quarantine.enter() is None
    quarantine.left("another")
    assert quarantine.closed
    quarantine.left("s")
    assert not quarantine.closed


def test_a_second_suspect_is_not_for_this_lane() -> None:
    quarantine = Quarantine(STALLS)
    quarantine.sift([record("s", 2)])
    assert [other.id for other in quarantine.sift([record("t", 3)])] == ["t"]
    quarantine.enter()
    assert [other.id for other in quarantine.sift([record("t", 3)])] == ["t"]


async def lose_workers(queue: Queue, count: int) -> None:
    """All that waits is claimed by workers that are never heard of again."""
    backend = await queue.backend()
    for number in range(count):
        lost = await backend.exchange(queue.name, Exchange(f"lost{number}", f"lost{number}/0", 1, claim=10, lease_ms=0))
        assert lost.leases
        await backend.upkeep(queue.name, Upkeep())


@pytest.mark.parametrize("prefetch", [True, False])
async def test_a_suspect_runs_alone_and_the_others_after_it(
    tickets: Queue, registry: Registry, prefetch: bool, caplog: pytest.LogCaptureFixture
) -> None:
    running, beside = 0, dict[int, int]()

    @registry.processor("look")
    async def look(job: Job[int]) -> None:
        nonlocal running
        running += 1
        beside[job.data] = max(beside.get(job.data, 0), running - 1)
        for _ in range(20):
            await asyncio.sleep(0)
            beside[job.data] = max(beside[job.data], running - 1)
        running -= 1

    suspect = await tickets.enqueue("look", 0)
    await lose_workers(tickets, 2)
    jobs = await tickets.enqueue_many([NewJob("look", number) for number in range(1, 200)])
    async with asyncio.timeout(30), Worker(tickets, registry=registry, concurrency=8, prefetch=prefetch):
        for job in (suspect, *jobs):
            await job.result(timeout=30)
    assert beside[0] == 0
    assert max(beside.values()) > 0
    assert len(beside) == 200
    told = [record for record in caplog.records if record.message == "job.suspect"]
    assert [(record.__dict__["job_id"], record.__dict__["workers_lost"]) for record in told] == [(suspect.id, 2)]


def test_none_is_asked_for_while_there_is_one_or_may_be() -> None:
    quarantine = Quarantine(STALLS)
    assert [quarantine.ask(), quarantine.ask()] == [1, 0]
    quarantine.answered(0)
    assert quarantine.ask() == 0
    quarantine.answered(1)
    assert quarantine.ask() == 1
    quarantine.answered(1)
    quarantine.sift([record("s", 2)])
    assert quarantine.ask() == 0


async def test_the_suspects_of_a_worker_wait_for_each_other(tickets: Queue, registry: Registry) -> None:
    running = most = 0

    @registry.processor("look")
    async def look(job: Job[int]) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return job.data

    jobs = await tickets.enqueue_many([NewJob("look", number) for number in range(3)])
    await lose_workers(tickets, 2)
    async with Worker(tickets, registry=registry):
        assert [await job.result(timeout=30) for job in jobs] == [0, 1, 2]
    assert most == 1


async def test_a_suspect_waits_for_what_runs_and_goes_back_when_the_worker_stops(
    tickets: Queue, registry: Registry
) -> None:
    started = asyncio.Event()

    @registry.processor("long")
    async def long(job: Job) -> None:
        started.set()
        await asyncio.Event().wait()

    @registry.processor("look")
    async def look(job: Job) -> None: ...

    suspect = await tickets.enqueue("look")
    await lose_workers(tickets, 2)
    await tickets.reschedule(suspect.id, delay=3600)
    await tickets.enqueue("long")
    async with asyncio.timeout(30), Worker(tickets, registry=registry, grace=0):
        await started.wait()
        await tickets.promote(suspect.id)
        claims = 0
        async for event in tickets.events(after="0"):
            claims += event.type is EventType.STARTED and event.job_id == suspect.id
            if claims == 3:
                break
    counts = await tickets.counts()
    assert (counts.active, counts.waiting, counts.completed) == (0, 2, 0)
