"""Batch processors: what is gathered, when a batch runs, and what each of its jobs comes to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from jobqueue import (
    Batch,
    EventType,
    InvalidOption,
    Job,
    JobFailed,
    JobState,
    NewJob,
    Queue,
    Registry,
    Retry,
    Unrecoverable,
    Worker,
)
from jobqueue.backends import MemoryBackend
from jobqueue.testing import ManualClock


class Click(BaseModel):
    page: int


def _clicks(count: int) -> list[NewJob]:
    return [NewJob("click", Click(page=number), job_id=f"click-{number}") for number in range(count)]


async def test_whole_batches_run_at_once_and_each_job_gets_its_result(tickets: Queue, registry: Registry) -> None:
    sizes: list[int] = []

    @registry.processor("click", batch=Batch(size=10, wait=60))
    async def count(jobs: list[Job[Click]]) -> list[int]:
        sizes.append(len(jobs))
        return [job.data.page * 2 for job in jobs]

    jobs = await tickets.enqueue_many(_clicks(30))
    async with Worker(tickets, registry=registry, concurrency=4):
        assert [await job.result(timeout=20) for job in jobs] == [2 * number for number in range(30)]
    assert sizes == [10, 10, 10]


async def test_a_batch_that_does_not_fill_up_runs_after_its_wait() -> None:
    clock, registry = ManualClock(), Registry()
    async with asyncio.timeout(20):
        backend = MemoryBackend(clock=clock)
        await backend.open()
        tickets = Queue("tickets", backend=backend)
        ran = asyncio.Event()
        sizes: list[int] = []

        @registry.processor("click", batch=Batch(size=10, wait=5))
        async def count(jobs: list[Job[Click]]) -> None:
            sizes.append(len(jobs))
            ran.set()

        async with Worker(tickets, registry=registry, clock=clock):
            jobs = await tickets.enqueue_many(_clicks(3))
            await clock.advance(seconds=4.9)
            assert sizes == []
            assert (await tickets.counts()).active == 3
            await clock.advance(seconds=0.2)
            await ran.wait()
            await jobs[0].result()
        assert sizes == [3]
        await backend.close()


async def test_single_jobs_can_be_failed(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=3, wait=60))
    async def count(jobs: list[Job[Click]]) -> list[str | Exception]:
        return [Unrecoverable("no such page") if job.data.page == 1 else "counted" for job in jobs]

    jobs = await tickets.enqueue_many(_clicks(3))
    async with Worker(tickets, registry=registry):
        assert await jobs[0].result(timeout=10) == "counted"
        with pytest.raises(JobFailed, match="Unrecoverable"):
            await jobs[1].result(timeout=10)
        assert await jobs[2].result(timeout=10) == "counted"


async def test_an_exception_fails_all_and_each_is_retried_by_its_own_policy(tickets: Queue, registry: Registry) -> None:
    rounds: list[list[str]] = []

    @registry.processor("click", batch=Batch(size=3, wait=0.01))
    async def count(jobs: list[Job[Click]]) -> None:
        rounds.append(sorted(job.id for job in jobs))
        if len(rounds) == 1:
            raise RuntimeError("the database is away")

    wanted = _clicks(3)
    wanted[0].retry, wanted[1].retry, wanted[2].retry = False, Retry(delay=0), Retry(delay=3600)
    jobs = await tickets.enqueue_many(wanted)
    async with Worker(tickets, registry=registry):
        with pytest.raises(JobFailed, match="RuntimeError"):
            await jobs[0].result(timeout=10)
        await jobs[1].result(timeout=10)
        await jobs[2].refresh()
    assert rounds == [["click-0", "click-1", "click-2"], ["click-1"]]
    assert jobs[2].state is JobState.DELAYED
    await jobs[1].refresh()
    assert jobs[1].attempt == 2


async def test_a_job_with_unfit_data_fails_alone(tickets: Queue, registry: Registry) -> None:
    seen: list[int] = []

    @registry.processor("click", batch=Batch(size=2, wait=60))
    async def count(jobs: list[Job[Click]]) -> None:
        seen.extend(job.data.page for job in jobs)

    unfit = await tickets.enqueue("click", {"page": "not a number"})
    fit = await tickets.enqueue("click", Click(page=7))
    async with Worker(tickets, registry=registry):
        await fit.result(timeout=10)
        with pytest.raises(JobFailed, match="InvalidData"):
            await unfit.result(timeout=10)
    assert seen == [7]


@pytest.mark.parametrize("returned", [[1], "ab", 5], ids=["too few", "text", "a number"])
async def test_what_cannot_be_dealt_out_fails_the_batch(tickets: Queue, registry: Registry, returned: Any) -> None:
    @registry.processor("click", batch=Batch(size=2, wait=60), retry=False)
    async def count(jobs: list[Job[Click]]) -> Any:
        return returned

    jobs = await tickets.enqueue_many(_clicks(2))
    async with Worker(tickets, registry=registry):
        for job in jobs:
            with pytest.raises(JobFailed, match="BatchMismatch"):
                await job.result(timeout=10)


async def test_the_shortest_timeout_is_told_to_all(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=2, wait=60), retry=False)
    async def count(jobs: list[Job[Click]]) -> None:
        await asyncio.Event().wait()

    first, second = _clicks(2)
    first.timeout, second.timeout = 0.05, 30
    jobs = await tickets.enqueue_many([first, second])
    async with Worker(tickets, registry=registry):
        for job in jobs:
            with pytest.raises(JobFailed, match=r"its timeout of 0\.05 s"):
                await job.result(timeout=10)


async def test_a_timeout_ends_the_batch(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=2, wait=60), timeout=0.05, retry=False)
    async def count(jobs: list[Job[Click]]) -> None:
        await asyncio.Event().wait()

    jobs = await tickets.enqueue_many(_clicks(2))
    async with Worker(tickets, registry=registry):
        for job in jobs:
            with pytest.raises(JobFailed, match="JobTimeout"):
                await job.result(timeout=10)


async def test_a_function_of_a_thread_takes_batches_too(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=2, wait=60))
    def count(jobs: list[Job[Click]]) -> list[int]:
        return [job.data.page for job in jobs]

    jobs = await tickets.enqueue_many(_clicks(2))
    async with Worker(tickets, registry=registry):
        assert [await job.result(timeout=10) for job in jobs] == [0, 1]


async def test_leases_are_kept_while_gathering() -> None:
    """Three leases' time passes before the batch is whole, and no upkeep takes the job for a dead worker's."""
    clock, registry = ManualClock(), Registry()
    async with asyncio.timeout(20):
        backend = MemoryBackend(clock=clock)
        await backend.open()
        tickets = Queue("tickets", backend=backend)

        @registry.processor("click", batch=Batch(size=2, wait=60))
        async def count(jobs: list[Job[Click]]) -> list[int]:
            return [job.data.page for job in jobs]

        async with Worker(tickets, registry=registry, clock=clock, lease=15):
            first = await tickets.enqueue("click", Click(page=1))
            await clock.advance(seconds=50)
            await first.refresh()
            assert (first.state, first.stalls) == (JobState.ACTIVE, 0)
            second = await tickets.enqueue("click", Click(page=2))
            assert [await first.result(), await second.result()] == [1, 2]
        await backend.close()


async def test_a_stopping_worker_hands_back_what_it_has_gathered(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=10, wait=60))
    async def count(jobs: list[Job[Click]]) -> None:
        raise AssertionError("nothing was to run")

    gathered = asyncio.Event()
    async with Worker(tickets, registry=registry):
        jobs = await tickets.enqueue_many(_clicks(3))
        async for event in tickets.events("0"):
            if event.type is EventType.STARTED and event.job_id == jobs[2].id:
                gathered.set()
                break
    counts = await tickets.counts()
    assert (counts.waiting, counts.active) == (3, 0)
    await jobs[0].refresh()
    assert (jobs[0].attempt, jobs[0].stalls) == (0, 0)


async def test_a_gathered_job_can_be_cancelled(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=2, wait=60))
    async def count(jobs: list[Job[Click]]) -> list[int]:
        return [job.data.page for job in jobs]

    async with Worker(tickets, registry=registry):
        doomed = await tickets.enqueue("click", Click(page=1))
        async for event in tickets.events("0"):
            if event.type is EventType.STARTED:
                break
        await doomed.cancel("changed my mind")
        async for event in tickets.events("0"):
            if event.type is EventType.CANCELLED:
                break
        others = [await tickets.enqueue("click", Click(page=number)) for number in (2, 3)]
        assert [await job.result(timeout=10) for job in others] == [2, 3]
    await doomed.refresh()
    assert doomed.state is JobState.CANCELLED


async def test_draining_waits_for_no_further_jobs(tickets: Queue, registry: Registry) -> None:
    sizes: list[int] = []

    @registry.processor("click", batch=Batch(size=100, wait=60))
    async def count(jobs: list[Job[Click]]) -> None:
        sizes.append(len(jobs))

    await tickets.enqueue_many(_clicks(5))
    await Worker(tickets, registry=registry).drain()
    assert sum(sizes) == 5
    assert (await tickets.counts()).completed == 5


async def test_single_jobs_of_other_types_run_beside(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=10, wait=60))
    async def count(jobs: list[Job[Click]]) -> None:
        raise AssertionError("the batch was never whole")

    @registry.processor("ticket.created")
    async def single(job: Job[Any]) -> str:
        return "single"

    async with Worker(tickets, registry=registry, concurrency=1):
        await tickets.enqueue_many(_clicks(5))
        job = await tickets.enqueue("ticket.created")
        assert await job.result(timeout=10) == "single"


async def test_a_batch_may_be_of_one(tickets: Queue, registry: Registry) -> None:
    @registry.processor("click", batch=Batch(size=1, wait=60))
    async def track(jobs: list[Job]) -> list[int]:
        return [len(jobs)] * len(jobs)

    jobs = await tickets.enqueue_many([NewJob("click") for _ in range(3)])
    async with Worker(tickets, registry=registry):
        assert [await job.result(timeout=10) for job in jobs] == [1, 1, 1]


def test_a_batch_is_checked() -> None:
    for wrong in (0, 1001, True, 2.5):
        with pytest.raises(InvalidOption, match="size must be"):
            Batch(size=wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidOption, match="60 s at the most"):
        Batch(wait=61)
    with pytest.raises(InvalidOption, match="batch: wait"):
        Batch(wait=-1)
    with pytest.raises(InvalidOption, match="process"):
        Registry().processor("click", batch=Batch(), run_in="process")  # pyright: ignore[reportArgumentType]
