"""A job that takes its workers with it is buried alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobqueue import EventType, Job, NewJob, Queue, Registry, Worker
from jobqueue.backends.protocol import Backend, Exchange, Upkeep
from jobqueue.model.record import JobRecord
from jobqueue.worker.quarantine import Dock, Quarantine

STALLS = 2


def record(job_id: str, stalls: int = 0) -> JobRecord:
    return JobRecord(job_id, "tickets", "look", stalls=stalls)


def ids(sifted: tuple[Sequence[JobRecord], Sequence[JobRecord]]) -> tuple[list[str], list[str]]:
    others, turned_away = sifted
    return [one.id for one in others], [one.id for one in turned_away]


def test_only_suspects_are_kept() -> None:
    quarantine = Quarantine(STALLS, Dock())
    others = [record("a"), record("b", 1)]
    assert quarantine.sift(others) == (others, ())
    assert not quarantine.closed
    assert ids(quarantine.sift([record("a"), record("s", 2), record("b", 1)])) == (["a", "b"], [])
    assert quarantine.closed


def test_it_is_open_again_when_its_suspect_is_through() -> None:
    quarantine = Quarantine(STALLS, Dock())
    quarantine.sift([record("s", 2)])
    suspect = quarantine.enter()
    assert suspect is not None
    assert quarantine.enter() is None
    quarantine.left("another")
    assert quarantine.closed
    quarantine.left("s")
    assert not quarantine.closed


def test_a_second_suspect_is_not_for_this_lane() -> None:
    quarantine = Quarantine(STALLS, Dock())
    quarantine.sift([record("s", 2)])
    assert ids(quarantine.sift([record("t", 3)])) == (["t"], [])
    quarantine.enter()
    assert ids(quarantine.sift([record("t", 3)])) == (["t"], [])


def test_a_worker_has_one_suspect_at_a_time() -> None:
    dock = Dock()
    one, other = Quarantine(STALLS, dock), Quarantine(STALLS, dock)
    one.sift([record("s", 2)])
    assert ids(other.sift([record("a"), record("t", 2)])) == (["a"], ["t"])
    assert not other.closed
    one.enter()
    assert ids(other.sift([record("t", 2)])) == ([], ["t"])
    other.left("s")
    assert ids(other.sift([record("t", 2)])) == ([], ["t"])
    one.left("s")
    assert ids(other.sift([record("t", 2)])) == ([], [])
    assert other.closed
    assert ids(one.sift([record("s", 2)])) == ([], ["s"])
    other.drop()
    assert ids(one.sift([record("s", 2)])) == ([], [])


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
    quarantine = Quarantine(STALLS, Dock())
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


async def test_suspects_of_two_queues_wait_for_each_other_too(backend: Backend, registry: Registry) -> None:
    running = most = 0
    queues = [Queue(name, backend=backend) for name in ("tickets", "notifications")]

    @registry.processor("look")
    async def look(job: Job[int]) -> int:
        nonlocal running, most
        running += job.data >= 0
        most = max(most, running)
        await asyncio.sleep(0.1)
        running -= job.data >= 0
        return job.data

    suspects = [await queue.enqueue("look", number) for number, queue in enumerate(queues)]
    for queue in queues:
        await lose_workers(queue, 2)
    others = [await queue.enqueue("look", -1) for queue in queues for _ in range(5)]
    async with Worker(*queues, registry=registry):
        assert [await job.result(timeout=30) for job in suspects] == [0, 1]
        for job in others:
            await job.result(timeout=30)
    assert most == 1
    for job in suspects:
        await job.refresh()
        assert job.stalls == STALLS
