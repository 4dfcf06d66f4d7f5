"""queue.claim(): one job by hand; how its block ends is its outcome."""

from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from pydantic import BaseModel

from jobqueue import (
    DeadLetters,
    InvalidData,
    InvalidOption,
    Job,
    JobCancelled,
    JobFailed,
    JobQueueError,
    JobState,
    JobTimeout,
    JobType,
    LeaseLost,
    NewJob,
    Queue,
    Registry,
    Retry,
    Snooze,
    Unrecoverable,
    Worker,
    processor,
)
from jobqueue.backends import Backend
from jobqueue.backends.protocol import Exchange, NewRecord, Settlement
from jobqueue.model.outcome import Released


class Visit(BaseModel):
    street: str


async def test_a_block_that_ends_well_completes_the_job(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created", {"number": 21})
    async with tickets.claim() as mine:
        assert (mine.id, mine.data, mine.attempt) == (job.id, {"number": 21}, 1)
        mine.log("seen")
        await mine.set_progress(50)
        mine.set_result(42)
    assert await job.result(timeout=10) == 42
    assert [line.message for line in await job.logs()] == ["seen"]


async def test_jobs_are_waited_for(tickets: Queue) -> None:
    async def consumer() -> str:
        async with tickets.claim(timeout=20) as mine:
            return mine.id

    waiting = asyncio.create_task(consumer())
    job = await tickets.enqueue("ticket.created")
    assert await waiting == job.id


async def test_nothing_comes(tickets: Queue) -> None:
    with pytest.raises(TimeoutError, match="no job came to queue 'tickets' within"):
        async with tickets.claim(timeout=0.05):
            raise AssertionError("nothing was there")
    # The next job is nobody's yet.
    await tickets.enqueue("ticket.created")
    assert (await tickets.counts()).waiting == 1


async def test_an_exception_goes_on_and_the_job_is_retried(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created", retry=Retry(attempts=2, delay=0))
    with pytest.raises(RuntimeError, match="no paper"):
        async with tickets.claim():
            raise RuntimeError("no paper")
    async with tickets.claim() as mine:
        assert (mine.attempt, mine.max_attempts) == (2, 2)
        with pytest.raises(ZeroDivisionError):
            _ = 1 / 0
    await job.refresh()
    assert job.state is JobState.COMPLETED


class Ticket(BaseModel):
    number: int


@processor("claim.ticket")
async def ticket(job: Job[Ticket]) -> None:
    """The claim knows the type's model by it."""


async def test_an_unfit_job_fails_with_a_letter(tickets: Queue, backend: Backend) -> None:
    await backend.enqueue("tickets", [NewRecord(id="unfit", type="claim.ticket", data=b'{"number":"x"}')])
    with pytest.raises(InvalidData):
        async with tickets.claim() as mine:
            _ = mine.data
    job = await tickets.get("unfit")
    assert job is not None
    assert (job.state, job.attempt) == (JobState.FAILED, 0)
    (letter,) = await DeadLetters(backend=backend).letters()
    assert letter.content.job_id == "unfit"


async def test_a_job_may_fail_at_once(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created")
    async with tickets.claim():
        raise Unrecoverable("no such ticket")
    with pytest.raises(JobFailed, match="Unrecoverable"):
        await job.result(timeout=10)


async def test_a_signal_is_carried_out_and_goes_no_further(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created")
    async with tickets.claim():
        raise Snooze(3600)
    await job.refresh()
    assert (job.state, job.attempt) == (JobState.DELAYED, 0)


async def test_a_job_s_timeout_ends_its_block(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created", timeout=0.05, retry=False)
    with pytest.raises(JobTimeout, match=r"longer than its timeout of 0\.05 s"):
        async with tickets.claim():
            await asyncio.Event().wait()
    await job.refresh()
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.type == "JobTimeout"


async def test_a_claim_serves_once(tickets: Queue) -> None:
    await tickets.enqueue_many([NewJob("ticket.created"), NewJob("ticket.created")])
    claim = tickets.claim()
    async with claim:
        pass
    with pytest.raises(JobQueueError, match=r"call queue\.claim\(\) for each"):
        async with claim:
            raise AssertionError("there was a job for another claim")
    assert (await tickets.counts()).waiting == 1


async def test_a_stopped_consumer_hands_its_job_back(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created")
    inside = asyncio.Event()

    async def consumer() -> None:
        async with tickets.claim():
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(consumer())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await job.refresh()
    assert (job.state, job.attempt, job.stalls) == (JobState.WAITING, 0, 0)


async def test_a_consumer_stopped_while_it_waits_takes_no_wake_up_with_it(tickets: Queue, registry: Registry) -> None:
    @registry.processor("ticket.created")
    async def run(job: Any) -> None: ...

    async def consumer() -> None:
        async with tickets.claim():
            raise AssertionError("it was stopped before")

    for _ in range(5):
        task = asyncio.create_task(consumer())
        await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            # Not when its look of ten seconds would be over.
            await asyncio.gather(task, return_exceptions=True)
    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created")
        await job.result(timeout=5)


async def test_a_cancelled_job_ends_its_block(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created")

    async def consumer() -> None:
        async with tickets.claim(lease=0.3):
            await job.cancel("changed my mind")
            await asyncio.Event().wait()

    with pytest.raises(JobCancelled, match="was cancelled"):
        await consumer()
    await job.refresh()
    assert (job.state, job.reason) == (JobState.CANCELLED, "changed my mind")


async def test_a_lease_that_was_lost_is_told(tickets: Queue, backend: Backend) -> None:
    job = await tickets.enqueue("ticket.created")

    async def consumer() -> None:
        async with tickets.claim(lease=0.3) as mine:
            # Somebody takes the job away, as recovery would.
            taken = Settlement(mine.id, mine.record.token or 0, Released("taken away"))
            await backend.exchange("tickets", Exchange("other", "other/0", 1, settlements=(taken,)))
            await asyncio.Event().wait()

    with pytest.raises(LeaseLost):
        await consumer()
    await job.refresh()
    assert job.state is JobState.WAITING


async def test_the_lease_is_kept(tickets: Queue, backend: Backend) -> None:
    await tickets.enqueue("ticket.created")
    async with tickets.claim(lease=3) as mine:
        began = (await backend.exchange("tickets", Exchange("look", "look/0", 0))).now_ms
        (before,) = await backend.find("tickets", JobState.ACTIVE)
        while (await backend.exchange("tickets", Exchange("look", "look/0", 0))).now_ms < began + 4000:
            await backend.wait("elsewhere", 0.2)
        (after,) = await backend.find("tickets", JobState.ACTIVE)
        assert before.token == after.token == mine.record.token


async def test_a_type_that_is_asked_for_is_the_only_one_that_comes(tickets: Queue) -> None:
    visit = JobType("visit.planned", Visit, result=str)
    other = await tickets.enqueue("ticket.created", {"number": 21})
    wanted = await tickets.enqueue(visit, Visit(street="Grand Avenue"))
    async with tickets.claim(visit, timeout=20) as mine:
        assert mine.id == wanted.id
        assert mine.data.street == "Grand Avenue"
        with pytest.raises(InvalidData):
            mine.set_result(5)  # pyright: ignore[reportArgumentType]
        mine.set_result("at nine")
    assert await wanted.result(timeout=10) == "at nine"
    await other.refresh()
    assert (other.state, other.attempt) == (JobState.DELAYED, 0)
    with pytest.raises(InvalidOption, match="claim takes a JobType"):
        tickets.claim("visit.planned")  # pyright: ignore[reportArgumentType, reportCallIssue]


async def test_a_claim_may_be_left_in_another_task(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created")
    claim = tickets.claim()
    mine = await asyncio.create_task(claim.__aenter__())
    mine.set_result(7)
    await asyncio.create_task(claim.__aexit__(None, None, None))
    assert await job.result(timeout=10) == 7


async def test_one_that_is_left_in_another_task_is_told_of_its_end_all_the_same(tickets: Queue) -> None:
    job = await tickets.enqueue("ticket.created", timeout=0.05, retry=1)
    claim = tickets.claim()

    async def enter_and_stay() -> None:
        await claim.__aenter__()
        await asyncio.Event().wait()

    inside = asyncio.create_task(enter_and_stay())
    with pytest.raises(asyncio.CancelledError):
        await inside
    with pytest.raises(JobTimeout):
        await claim.__aexit__(None, None, None)
    with pytest.raises(JobFailed, match="JobTimeout"):
        await job.result(timeout=10)


async def test_a_claim_that_is_entered_in_two_children_of_a_fork_is_two(tickets: Queue) -> None:
    await tickets.enqueue("ticket.created", 1)
    await tickets.enqueue("ticket.created", 2)
    here = tickets.claim()
    there = copy.copy(here)
    async with here as one, there as other:
        assert {one.data, other.data} == {1, 2}
