"""A worker runs jobs, and each way an attempt can end."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from jobqueue import (
    Batch,
    CallNext,
    DeadLetters,
    InvalidOption,
    Job,
    JobCancelled,
    JobFailed,
    JobState,
    Keep,
    KeyHeld,
    NewJob,
    Queue,
    RateLimited,
    Registry,
    Retry,
    Snooze,
    Unrecoverable,
    Worker,
    workers,
)
from jobqueue.backends import Backend
from jobqueue.backends.protocol import EventPage


class Ticket(BaseModel):
    number: int


async def test_the_result_comes_back(tickets: Queue, registry: Registry) -> None:
    @registry.processor("ticket.created")
    async def double(job: Job[Ticket]) -> int:
        return job.data.number * 2

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 21})
        assert await job.result(timeout=10) == 42
    await job.refresh()
    assert (job.state, job.attempt, job.result_value) == (JobState.COMPLETED, 1, 42)


async def test_the_result_of_a_job_that_is_not_kept(tickets: Queue, registry: Registry) -> None:
    @registry.processor("ticket.created")
    async def big(job: Job[Any]) -> str:
        return "x" * job.data

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", 100, keep=Keep(completed=0))
        assert await job.result(timeout=10) == "x" * 100
        assert await tickets.get(job.id) is None
        assert await job.result(timeout=10) == "x" * 100, "its event is still there"


async def test_a_failed_job_is_tried_again(tickets: Queue, registry: Registry) -> None:
    seen: list[int] = []

    @registry.processor("ticket.created", retry=Retry(attempts=4, delay=0.01))
    async def flaky(job: Job[Ticket]) -> str:
        seen.append(job.attempt)
        assert job.max_attempts == 4
        if job.attempt < 3:
            raise ConnectionError("away")
        return "there"

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        assert await job.result(timeout=10) == "there"
    assert seen == [1, 2, 3]


async def test_a_job_fails_for_good_with_its_cause(tickets: Queue, registry: Registry, backend: Backend) -> None:
    @registry.processor("ticket.created", retry=Retry(attempts=2, delay=0))
    async def broken(job: Job[Ticket]) -> None:
        raise ValueError(f"cannot take {job.id}")

    async with Worker(tickets, registry=registry) as worker:
        job = await tickets.enqueue("ticket.created", {"number": 1}, job_id="t-1")
        with pytest.raises(JobFailed, match="ValueError: cannot take t-1") as caught:
            await job.result(timeout=10)
        await worker.drain()
    assert "in broken" in caught.value.traceback
    await job.refresh()
    assert (job.state, job.attempt) == (JobState.FAILED, 2)
    (letter,) = await DeadLetters(backend=backend).letters(origin="tickets")
    assert (letter.content.job_id, letter.content.attempts, letter.content.error.type) == ("t-1", 2, "ValueError")


async def test_unrecoverable_is_not_tried_again(tickets: Queue, registry: Registry) -> None:
    @registry.processor("ticket.created")
    async def hopeless(job: Job[Ticket]) -> None:
        raise Unrecoverable("no such landlord")

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        with pytest.raises(JobFailed, match="no such landlord"):
            await job.result(timeout=10)
    await job.refresh()
    assert job.attempt == 1


@pytest.mark.parametrize("signal", [Snooze(0.01), RateLimited(0.01)])
async def test_later_without_an_attempt(tickets: Queue, registry: Registry, signal: Exception) -> None:
    seen: list[int] = []

    @registry.processor("ticket.created", retry=False)
    async def patient(job: Job[Ticket]) -> None:
        seen.append(job.attempt)
        if len(seen) < 3:
            raise signal

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        await job.result(timeout=10)
    assert seen == [1, 1, 1]


async def test_invalid_data_is_failed_without_an_attempt(tickets: Queue, registry: Registry, backend: Backend) -> None:
    ran = False

    @registry.processor("ticket.created")
    async def strict(job: Job[Ticket]) -> None:
        nonlocal ran
        ran = True

    async with Worker(tickets, registry=registry) as worker:
        job = await tickets.enqueue("ticket.created", {"number": "many"})
        with pytest.raises(JobFailed, match="number"):
            await job.result(timeout=10)
        await worker.drain()
    await job.refresh()
    assert (ran, job.attempt, job.error and job.error.type) == (False, 0, "InvalidData")
    assert len(await DeadLetters(backend=backend).letters(error="InvalidData")) == 1


async def test_a_timeout_cancels(tickets: Queue, registry: Registry) -> None:
    cancelled = asyncio.Event()

    @registry.processor("ticket.created", retry=False)
    async def slow(job: Job[Ticket]) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1}, timeout=0.05)
        with pytest.raises(JobFailed, match="JobTimeout"):
            await job.result(timeout=10)
        assert cancelled.is_set()
        again = await tickets.enqueue("ticket.created", {"number": 1}, timeout=0.05)
        with pytest.raises(JobFailed, match="JobTimeout"):
            await again.result(timeout=10)


async def test_a_thread_runs_def_and_its_late_result_is_thrown_away(tickets: Queue, registry: Registry) -> None:
    release = threading.Event()
    names: list[str] = []

    @registry.processor("ticket.created", retry=False)
    def blocking(job: Job[Ticket]) -> str:
        names.append(threading.current_thread().name)
        release.wait(10)
        return "late"

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1}, timeout=0.05)
        with pytest.raises(JobFailed, match="JobTimeout"):
            await job.result(timeout=10)
        release.set()
    assert names != [threading.main_thread().name]
    await job.refresh()
    assert job.state is JobState.FAILED


async def test_cancelling_from_elsewhere(tickets: Queue, registry: Registry) -> None:
    started = asyncio.Event()

    @registry.processor("ticket.created")
    async def long(job: Job[Ticket]) -> None:
        started.set()
        await asyncio.sleep(60)

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        await asyncio.wait_for(started.wait(), 10)
        assert await tickets.cancel(job.id, "the tenant moved out") is JobState.ACTIVE
        with pytest.raises(JobCancelled, match="the tenant moved out"):
            await job.result(timeout=10)
    await job.refresh()
    assert (job.state, job.reason) == (JobState.CANCELLED, "the tenant moved out")


async def test_a_processor_whose_own_task_was_cancelled_has_failed(tickets: Queue, registry: Registry) -> None:
    @registry.processor("ticket.created", retry=False)
    async def confused(job: Job[Ticket]) -> None:
        task = asyncio.create_task(asyncio.sleep(60))
        task.cancel()
        await task

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        with pytest.raises(JobFailed, match="cancelled"):
            await job.result(timeout=10)


async def test_a_broken_backoff_function_does_not_take_the_worker_down(tickets: Queue, registry: Registry) -> None:
    def broken(attempt: int, error: BaseException) -> float:
        raise ZeroDivisionError

    @registry.processor("ticket.created", retry=Retry(attempts=2, backoff=broken, delay=0))
    async def flaky(job: Job[Ticket]) -> int:
        if job.attempt == 1:
            raise ValueError
        return job.attempt

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        assert await job.result(timeout=10) == 2


async def test_an_unknown_type_is_left_for_a_worker_that_knows_it(tickets: Queue, registry: Registry) -> None:
    async with Worker(tickets, registry=registry) as worker:
        job = await tickets.enqueue("ticket.new-in-this-release")
        await worker.drain()
    await job.refresh()
    assert (job.state, job.attempt) == (JobState.DELAYED, 0)


async def test_priorities_and_order_with_one_slot(tickets: Queue, registry: Registry) -> None:
    seen: list[int] = []

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        seen.append(job.data)

    await tickets.enqueue_many([NewJob("n", n, priority=[3, 1, 4, 2][n % 4]) for n in range(200)])
    await Worker(tickets, registry=registry, concurrency=1).drain()
    assert seen == sorted(range(200), key=lambda n: ([3, 1, 4, 2][n % 4], n))


async def test_every_job_runs_once_with_many_slots_and_workers(tickets: Queue, registry: Registry) -> None:
    seen: list[int] = []

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        await asyncio.sleep(0)
        seen.append(job.data)

    await tickets.enqueue_many([NewJob("n", n) for n in range(2000)])
    async with (
        Worker(tickets, registry=registry, concurrency=37) as one,
        Worker(tickets, registry=registry, concurrency=5) as other,
    ):
        await asyncio.gather(one.drain(), other.drain())
    assert sorted(seen) == list(range(2000))
    counts = await tickets.counts()
    assert (counts.completed, counts.total) == (100, 100)


async def test_concurrency_is_a_limit_and_is_reached(tickets: Queue, registry: Registry) -> None:
    running, most = 0, 0
    full = asyncio.Event()

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 7:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        running -= 1

    await tickets.enqueue_many([NewJob("n", n) for n in range(50)])
    await asyncio.wait_for(Worker(tickets, registry=registry, concurrency=7).drain(), 20)
    assert most == 7


async def test_what_a_running_job_writes_about_itself(tickets: Queue, registry: Registry) -> None:
    @registry.processor("ticket.created", retry=Retry(attempts=2, delay=0))
    async def talkative(job: Job[Ticket]) -> Any:
        if job.attempt == 1:
            await job.set_progress({"done": 1})
            await job.checkpoint([1, 2])
            job.log("first page", page=1)
            raise ConnectionError
        return job.checkpoint_value

    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("ticket.created", {"number": 1})
        assert await job.result(timeout=10) == [1, 2]
    await job.refresh()
    (line,) = await job.logs()
    assert job.progress == {"done": 1}
    assert (line.attempt, line.level, line.message, line.fields) == (1, "info", "first page", {"page": 1})


async def test_middleware_wraps_from_the_outside_in(tickets: Queue, registry: Registry) -> None:
    trail: list[str] = []

    @registry.processor("n")
    async def inner(job: Job[int]) -> int:
        trail.append("processor")
        return job.data

    async def outer_one(job: Job[Any], call_next: CallNext) -> Any:
        trail.append("outer in")
        result = await call_next(job)
        trail.append("outer out")
        return result + 1

    async def inner_one(job: Job[Any], call_next: CallNext) -> Any:
        trail.append("inner in")
        return await call_next(job)

    async with Worker(tickets, registry=registry, middleware=[outer_one, inner_one]):
        job = await tickets.enqueue("n", 1)
        assert await job.result(timeout=10) == 2
    assert trail == ["outer in", "inner in", "processor", "outer out"]


async def test_dead_letters_go_back_with_other_data(tickets: Queue, registry: Registry, backend: Backend) -> None:
    @registry.processor("ticket.created", retry=False)
    async def picky(job: Job[Ticket]) -> int:
        if job.data.number < 0:
            raise ValueError("negative")
        return job.data.number

    letters = DeadLetters(backend=backend)
    async with Worker(tickets, registry=registry) as worker:
        job = await tickets.enqueue("ticket.created", {"number": -1})
        await worker.drain()
        (letter,) = await letters.letters(type="ticket.created", error="ValueError")
        assert await letters.retry(letter.id, data={"number": 5})
        assert await job.result(timeout=10) == 5
    assert await letters.letters() == []
    assert len(await letters.letters(origin="elsewhere")) == 0


async def test_a_letter_stays_while_another_job_does_the_same(
    tickets: Queue, registry: Registry, backend: Backend
) -> None:
    @registry.processor("report.build", retry=False)
    async def fail(job: Job[int]) -> None:
        raise ValueError(job.data)

    letters = DeadLetters(backend=backend)
    async with Worker(tickets, registry=registry) as worker:
        for number in range(3):
            await tickets.enqueue("report.build", number, unique="report")
            await worker.drain()
    first, second, third = await letters.letters()
    assert await letters.retry_all() == 1
    assert await letters.letters() == [second, third]
    for letter in (second, third):
        with pytest.raises(KeyHeld, match=first.content.job_id):
            await letters.retry(letter.id)
    await tickets.cancel(first.content.job_id)
    assert await letters.retry(second.id)
    assert await letters.letters() == [third]


async def test_a_letter_knows_what_its_job_was_asked_for(tickets: Queue, registry: Registry, backend: Backend) -> None:
    @registry.processor("report.build")
    async def fail(job: Job[int]) -> None:
        raise ValueError

    letters = DeadLetters(backend=backend)
    async with Worker(tickets, registry=registry) as worker:
        job = await tickets.enqueue("report.build", 1, retry=False, timeout=7, tags=["monthly"])
        await worker.drain()
        await tickets.remove(job.id)
        (letter,) = await letters.letters()
        assert await letters.retry(letter.id)
        await worker.drain()
        again = await tickets.get(job.id)
    assert again is not None
    assert (again.state, again.options.timeout, again.tags) == (JobState.FAILED, 7, ("monthly",))


async def test_live_workers_are_listed(tickets: Queue, registry: Registry, backend: Backend) -> None:
    other = Queue("notifications", backend=backend)
    async with Worker(tickets, other, registry=registry, concurrency={"tickets": 3, "notifications": 4}, name="mail"):
        for _ in range(500):
            found = await workers(backend)
            if found and len(found[0].queues) == 2:
                break
            await asyncio.sleep(0.01)
        (info,) = await workers(backend)
        assert info.name == "mail"
        assert {name: slots.total for name, slots in info.queues.items()} == {"tickets": 3, "notifications": 4}
    assert await workers(backend) == []


async def test_a_blocked_loop_keeps_its_leases(tickets: Queue, registry: Registry, backend: Backend) -> None:
    runs = 0

    @registry.processor("n")
    async def blocking(job: Job[int]) -> None:
        nonlocal runs
        runs += 1
        time.sleep(1.2)  # noqa: ASYNC251  (that is the point)

    async with (
        Worker(tickets, registry=registry, lease=0.3, concurrency=1),
        Worker(tickets, registry=registry, lease=0.3),
    ):
        job = await tickets.enqueue("n", 1)
        await job.result(timeout=10)
    assert runs == 1


async def test_results_awaited_one_after_the_other_share_one_reader(
    tickets: Queue, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @registry.processor("n")
    async def same(job: Job[int]) -> int:
        return job.data

    backend = await tickets.backend()
    beginnings = 0
    events = backend.events

    async def counted(queue: str, after: str | None, seconds: float) -> EventPage:
        nonlocal beginnings
        beginnings += after is None
        return await events(queue, after, seconds)

    monkeypatch.setattr(backend, "events", counted)
    async with Worker(tickets, registry=registry):
        for n in range(5):
            assert await (await tickets.enqueue("n", n)).result(timeout=10) == n
    assert beginnings == 1


async def test_the_queue_says_what_its_attempts_came_to(tickets: Queue, registry: Registry) -> None:
    @registry.processor("works")
    async def works(job: Job[int]) -> None: ...

    @registry.processor("breaks")
    async def breaks(job: Job[int]) -> None:
        raise ValueError("no")

    twice = Retry(attempts=2, delay=0)
    await tickets.enqueue_many([*(NewJob("works", n) for n in range(5)), NewJob("breaks", 1, retry=twice)])
    await Worker(tickets, registry=registry).drain()
    totals: dict[str, list[int]] = {}
    for row in await tickets.stats(minutes=5):
        assert sum(row.durations) == row.attempts
        for place, number in enumerate((row.completed, row.retried, row.failed, row.cancelled)):
            totals.setdefault(row.type, [0, 0, 0, 0])[place] += number
    assert totals == {"works": [5, 0, 0, 0], "breaks": [0, 1, 1, 0]}


@pytest.mark.parametrize("minutes", [0, -1, 1441])
async def test_statistics_are_kept_for_a_day(tickets: Queue, minutes: int) -> None:
    with pytest.raises(InvalidOption, match="from 1 to 1440"):
        await tickets.stats(minutes)


class Panic(BaseException):
    """What an extension module may raise."""


@pytest.mark.parametrize("error", [Panic("no"), BaseExceptionGroup("many", [Panic("no")]), SystemExit(3)])
@pytest.mark.parametrize("place", ["loop", "thread", "batch"])
async def test_whatever_a_processor_raises_is_its_job_s_failure(
    tickets: Queue, registry: Registry, error: BaseException, place: str
) -> None:
    async def on_the_loop(_: Job[int]) -> None:
        raise error

    def in_a_thread(_: Job[int]) -> None:
        raise error

    async def together(_: list[Job[int]]) -> None:
        raise error

    if place == "batch":
        registry.processor("ticket.created", batch=Batch(), retry=False)(together)
    else:
        registry.processor("ticket.created", retry=False)(on_the_loop if place == "loop" else in_a_thread)
    async with Worker(tickets, registry=registry) as worker:
        job = await tickets.enqueue("ticket.created", 1)
        with pytest.raises(JobFailed, match=type(error).__name__):
            await job.result(timeout=10)
        assert worker.running


@pytest.mark.parametrize("after", [-5, float("nan"), float("inf"), timedelta(seconds=-1)])
@pytest.mark.parametrize("signal", [Snooze, RateLimited])
def test_nobody_asks_to_be_run_again_in_the_past(signal: type[Snooze | RateLimited], after: float | timedelta) -> None:
    with pytest.raises(InvalidOption, match="0 or more seconds"):
        signal(after)


@pytest.mark.parametrize("batch", [None, Batch(size=2)])
async def test_a_plain_wrapper_around_an_async_function(
    tickets: Queue, registry: Registry, batch: Batch | None
) -> None:
    async def wrapped(job: Any) -> None:
        raise AssertionError("nobody awaits it")

    def wrapper(job: Any) -> Any:
        return wrapped(job)

    if batch is None:
        registry.processor("n", retry=Retry(attempts=1))(wrapper)
    else:
        registry.processor("n", batch=batch, retry=Retry(attempts=1))(wrapper)
    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("n", 1)
        with pytest.raises(JobFailed, match="async function"):
            await job.result(timeout=10)
