"""Jobs that wait for others: in one queue and over several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from jobqueue.backends.protocol import (
    Backend,
    Cancel,
    Clean,
    Exchange,
    NewRecord,
    Obliterate,
    Purge,
    Remove,
    Retry,
    RetryFailed,
    Settlement,
    Upkeep,
)
from jobqueue.errors import JobNotFound
from jobqueue.model.events import EventType
from jobqueue.model.links import Need, OnFailure
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, Retention, RetryAt
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, order, put, settle, state

OTHER, THIRD = "mail", "billing"
FAIL, RUN, IGNORE = OnFailure.FAIL, OnFailure.RUN, OnFailure.IGNORE

Undo = Callable[[Backend], Awaitable[object]]


async def put_dependant(
    backend: Backend, job_id: str, *parents: str, on_failure: OnFailure = FAIL, queue: str = QUEUE, delay_ms: int = 0
) -> JobState:
    """Enqueue a job that needs these, 'id' or 'queue/id'; returns its state."""
    needs: list[Need] = []
    for parent in parents:
        name, _, parent_id = parent.rpartition("/")
        needs.append(Need(name or QUEUE, parent_id, on_failure))
    record = NewRecord(job_id, "t", b"1", delay_ms=delay_ms, needs=tuple(needs))
    (answer,) = await backend.enqueue(queue, [record])
    return answer.record.state


async def finish(backend: Backend, job_id: str, outcome: Outcome, *, queue: str = QUEUE) -> None:
    """Claim one job, which must be the next, and settle it; then hand over what that left."""
    worker = f"w-{queue}"
    page = await backend.exchange(queue, Exchange(worker, f"{worker}/0", _next(), claim=1))
    (lease,) = page.leases
    assert lease.id == job_id
    settlement = Settlement(lease.id, lease.token or 0, outcome)
    page = await backend.exchange(queue, Exchange(worker, f"{worker}/0", _next(), [settlement]))
    while page.outbox and await backend.deliver(queue):
        pass


async def settle_elsewhere(backend: Backend, job_id: str, outcome: Outcome, *, queue: str = OTHER) -> None:
    """As ``finish``, but nothing is handed over."""
    worker = f"v-{queue}"
    (lease,) = (await backend.exchange(queue, Exchange(worker, f"{worker}/0", _next(), claim=1))).leases
    assert lease.id == job_id
    settlement = Settlement(lease.id, lease.token or 0, outcome)
    await backend.exchange(queue, Exchange(worker, f"{worker}/0", _next(), [settlement]))


_sequence = 1_000_000


def _next() -> int:
    global _sequence  # noqa: PLW0603  (a sequence for the callers of this module)
    _sequence += 1
    return _sequence


async def states_of(backend: Backend, *job_ids: str, queue: str = QUEUE) -> list[JobState | None]:
    """Where jobs are."""
    return await backend.states(queue, job_ids)


async def _drop_waiting(backend: Backend) -> object:
    return await backend.control(QUEUE, Purge())


async def _clean_waiting(backend: Backend) -> object:
    return await backend.control(QUEUE, Clean(JobState.WAITING))


async def _remove(backend: Backend) -> object:
    return await backend.amend(QUEUE, "a", Remove())


async def _cancel(backend: Backend) -> object:
    return await backend.amend(QUEUE, "a", Cancel("enough"))


class DependencyContract:
    """``NewRecord.needs``, ``inputs`` and what resolves them."""

    async def test_a_dependant_is_blocked_until_all_are_done(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        assert await put_dependant(backend, "c", "a", "b") is JobState.BLOCKED
        await finish(backend, "a", Completed(b"1"))
        assert await state(backend, "c") is JobState.BLOCKED
        assert [(one.id, one.state) for one in await backend.inputs(QUEUE, "c")] == [("a", "completed"), ("b", "")]
        await finish(backend, "b", Completed(b"2"))
        assert await state(backend, "c") is JobState.WAITING
        assert [(one.key, one.result) for one in await backend.inputs(QUEUE, "c")] == [
            (f"{QUEUE}/a", b"1"),
            (f"{QUEUE}/b", b"2"),
        ]

    async def test_it_is_listed_and_counted(self, backend: Backend) -> None:
        await put(backend, "a")
        for number in range(3):
            await put_dependant(backend, f"c{number}", "a")
        assert (await backend.status(QUEUE)).counts[JobState.BLOCKED] == 3
        assert await order(backend, JobState.BLOCKED) == ["c0", "c1", "c2"]
        assert await claim(backend, 5) != []
        assert await claim(backend, 5) == [], "what is blocked is not given out"

    async def test_it_can_be_claimed_in_the_very_exchange_that_frees_it(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        (lease,) = await claim(backend)
        request = Exchange("w", "w/1", _next(), [Settlement("a", lease.token or 0, Completed())], claim=1)
        assert [one.id for one in (await backend.exchange(QUEUE, request)).leases] == ["b"]

    async def test_one_that_is_done_already_counts_at_once(self, backend: Backend) -> None:
        await put(backend, "a")
        await finish(backend, "a", Completed(b"7"))
        assert await put_dependant(backend, "b", "a") is JobState.WAITING
        assert [one.result for one in await backend.inputs(QUEUE, "b")] == [b"7"]

    async def test_one_that_failed_already_counts_at_once(self, backend: Backend) -> None:
        await put(backend, "a")
        await finish(backend, "a", Failed(ERROR))
        assert await put_dependant(backend, "b", "a") is JobState.FAILED
        assert await put_dependant(backend, "c", "a", on_failure=RUN) is JobState.WAITING
        assert await put_dependant(backend, "d", "a", on_failure=IGNORE) is JobState.WAITING

    async def test_a_missing_one_is_refused_before_anything_is_written(self, backend: Backend) -> None:
        with pytest.raises(JobNotFound, match="nobody"):
            await backend.enqueue(QUEUE, [job("x"), NewRecord("y", "t", b"1", needs=(Need(QUEUE, "nobody"),))])
        assert await states_of(backend, "x", "y") == [None, None]

    async def test_one_that_comes_earlier_in_the_batch_will_do(self, backend: Backend) -> None:
        second = NewRecord("b", "t", b"1", needs=(Need(QUEUE, "a"),))
        third = NewRecord("c", "t", b"1", needs=(Need(QUEUE, "b"), Need(QUEUE, "a")))
        answers = await backend.enqueue(QUEUE, [job("a"), second, third])
        assert [one.record.state for one in answers] == [JobState.WAITING, JobState.BLOCKED, JobState.BLOCKED]
        for job_id in ("a", "b", "c"):
            await finish(backend, job_id, Completed())
        assert await states_of(backend, "a", "b", "c") == [JobState.COMPLETED] * 3

    async def test_an_id_that_is_known_is_left_as_it_is(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        (answer,) = await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", needs=(Need(QUEUE, "a"),))])
        assert (answer.created, answer.record.state) == (False, JobState.WAITING)
        (answer,) = await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", needs=(Need(QUEUE, "gone"),))])
        assert not answer.created

    async def test_its_own_delay_counts_from_when_it_is_free(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        assert await put_dependant(backend, "b", "a", delay_ms=2000) is JobState.BLOCKED
        await clock.advance(seconds=5)
        await finish(backend, "a", Completed())
        record = await backend.get(QUEUE, "b")
        assert record is not None
        assert (record.state, record.run_at_ms) == (JobState.DELAYED, clock.now_ms() + 2000)
        await clock.advance(seconds=2)
        assert [lease.id for lease in await claim(backend)] == ["b"]

    async def test_a_blocked_job_expires(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", expires_in_ms=1000, needs=(Need(QUEUE, "a"),))])
        await put_dependant(backend, "c", "b")
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).expired == ("b",)
        assert await states_of(backend, "b", "c") == [JobState.FAILED, JobState.FAILED]

    @pytest.mark.parametrize(
        ("on_failure", "then", "seen"),
        [(FAIL, JobState.FAILED, ["failed"]), (RUN, JobState.WAITING, ["failed"]), (IGNORE, JobState.WAITING, [])],
    )
    @pytest.mark.parametrize("queue", [QUEUE, OTHER])
    async def test_each_policy_when_one_fails(
        self, backend: Backend, on_failure: OnFailure, then: JobState, seen: list[str], queue: str
    ) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", f"{QUEUE}/a", on_failure=on_failure, queue=queue)
        await finish(backend, "a", Failed(ERROR))
        assert await states_of(backend, "b", queue=queue) == [then]
        inputs = await backend.inputs(queue, "b")
        assert [one.state for one in inputs] == seen
        assert all(one.error == ERROR for one in inputs)

    async def test_the_first_cause_goes_down_the_line(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await put_dependant(backend, "c", "b")
        await put_dependant(backend, "d", f"{QUEUE}/c", queue=OTHER)
        await finish(backend, "a", Failed(ERROR))
        record = await backend.get(OTHER, "d")
        assert record is not None
        assert record.error is not None
        assert (record.error.type, record.error.message) == (
            "DependencyFailed",
            f"dependency {QUEUE}/a failed: ValueError",
        )

    @pytest.mark.parametrize("undo", [_drop_waiting, _clean_waiting, _remove, _cancel])
    @pytest.mark.parametrize("queue", [QUEUE, OTHER])
    async def test_what_will_never_run_blocks_nobody(self, backend: Backend, undo: Undo, queue: str) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", f"{QUEUE}/a", queue=queue)
        await put_dependant(backend, "c", f"{QUEUE}/a", queue=queue, on_failure=RUN)
        await undo(backend)
        assert await states_of(backend, "b", "c", queue=queue) == [JobState.FAILED, JobState.WAITING]
        (seen,) = await backend.inputs(queue, "c")
        assert (seen.state, seen.reason) == (("cancelled", "enough") if undo is _cancel else ("removed", ""))

    async def test_a_running_one_that_is_cancelled(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", Cancelled("enough"))
        record = await backend.get(QUEUE, "b")
        assert record is not None
        assert record.error is not None
        assert record.error.message == f"dependency {QUEUE}/a was cancelled"

    async def test_one_that_took_its_workers_down(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await claim(backend, lease_ms=1000)
        await clock.advance(seconds=1)
        await backend.upkeep(QUEUE, Upkeep(max_stalls=1))
        assert await states_of(backend, "a", "b") == [JobState.FAILED, JobState.FAILED]

    @pytest.mark.parametrize("outcome", [RetryAt(0, ERROR), Released("shutdown")])
    async def test_another_try_changes_nothing(self, backend: Backend, outcome: Outcome) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", outcome)
        assert await state(backend, "b") is JobState.BLOCKED
        await finish(backend, "a", Completed())
        assert await state(backend, "b") is JobState.WAITING

    @pytest.mark.parametrize("keep", [Retention(0), Retention(1), Retention(100)])
    async def test_the_result_outlives_the_job_that_gave_it(self, backend: Backend, keep: Retention) -> None:
        await put(backend, "a", "a2")
        await put_dependant(backend, "b", "a", "a2")
        await finish(backend, "a", Completed(b'{"n":1}', keep))
        await finish(backend, "a2", Completed(b'{"n":2}', keep))
        assert [one.result for one in await backend.inputs(QUEUE, "b")] == [b'{"n":1}', b'{"n":2}']
        await finish(backend, "b", Completed(None, Retention(0)))
        assert await backend.inputs(QUEUE, "b") == [], "what a forgotten job was told is forgotten with it"

    async def test_failing_at_once_with_nothing_kept(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", Failed(ERROR, Retention(0)))
        assert await states_of(backend, "a", "b") == [None, JobState.FAILED]

    # Over several queues.

    async def test_a_dependant_in_another_queue(self, backend: Backend) -> None:
        await put(backend, "a")
        assert await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER) is JobState.BLOCKED
        await finish(backend, "a", Completed(b"5"))
        assert await states_of(backend, "b", queue=OTHER) == [JobState.WAITING]
        assert [(one.key, one.result) for one in await backend.inputs(OTHER, "b")] == [(f"{QUEUE}/a", b"5")]

    async def test_fan_in_over_queues(self, backend: Backend) -> None:
        await put(backend, "a")
        await put(backend, "a", queue=OTHER)
        await put_dependant(backend, "b", f"{QUEUE}/a", f"{OTHER}/a", queue=THIRD)
        await finish(backend, "a", Completed(b"1"))
        assert await states_of(backend, "b", queue=THIRD) == [JobState.BLOCKED]
        await finish(backend, "a", Completed(b"2"), queue=OTHER)
        assert await states_of(backend, "b", queue=THIRD) == [JobState.WAITING]

    async def test_one_elsewhere_that_is_done_already(self, backend: Backend) -> None:
        await put(backend, "a")
        await finish(backend, "a", Completed(b"5"))
        await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER)
        assert await states_of(backend, "b", queue=OTHER) == [JobState.WAITING]

    async def test_one_elsewhere_that_is_not_there_counts_as_removed(self, backend: Backend) -> None:
        await put_dependant(backend, "b", f"{QUEUE}/nobody", queue=OTHER)
        assert await states_of(backend, "b", queue=OTHER) == [JobState.FAILED]

    async def test_one_that_fails_at_once_is_told_how_the_others_ended_too(self, backend: Backend) -> None:
        await put(backend, "a")
        await put(backend, "a", queue=OTHER)
        await finish(backend, "a", Failed(ERROR))
        await finish(backend, "a", Failed(ERROR), queue=OTHER)
        assert await put_dependant(backend, "b", f"{OTHER}/a", f"{QUEUE}/a", queue=OTHER) is JobState.FAILED
        assert {one.key: one.state for one in await backend.inputs(OTHER, "b")} == {
            f"{QUEUE}/a": "failed", f"{OTHER}/a": "failed",
        }  # fmt: skip

    async def test_a_failure_goes_from_queue_to_queue(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER)
        await put_dependant(backend, "c", f"{OTHER}/b", queue=THIRD)
        await put_dependant(backend, "d", f"{THIRD}/c")
        await finish(backend, "a", Failed(ERROR))
        assert await state(backend, "d") is JobState.FAILED, "without any worker in the queues between"

    async def test_upkeep_finds_what_a_dead_settler_left(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER)
        (lease,) = await claim(backend)
        assert (await settle(backend, lease, Completed())).outbox
        assert await states_of(backend, "b", queue=OTHER) == [JobState.BLOCKED]
        assert (await backend.upkeep(QUEUE, Upkeep())).outbox
        assert await backend.deliver(QUEUE) == 1
        assert await states_of(backend, "b", queue=OTHER) == [JobState.WAITING]

    # Beginning again.

    async def test_a_branch_is_retried_from_the_top(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await put_dependant(backend, "c", f"{QUEUE}/b", queue=OTHER)
        await finish(backend, "a", Failed(ERROR))
        await backend.amend(QUEUE, "a", Retry())
        assert await backend.amend(QUEUE, "b", Retry()) is JobState.BLOCKED
        assert await backend.amend(OTHER, "c", Retry()) is JobState.BLOCKED
        await finish(backend, "a", Completed(b"1"))
        await finish(backend, "b", Completed(b"2"))
        await finish(backend, "c", Completed(), queue=OTHER)
        assert [one.result for one in await backend.inputs(OTHER, "c")] == [b"2"]

    async def test_a_retry_under_a_failed_one_fails_again(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", Failed(ERROR))
        assert await backend.amend(QUEUE, "b", Retry()) is JobState.FAILED

    async def test_all_failed_are_retried_together(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", Failed(ERROR))
        assert await backend.control(QUEUE, RetryFailed()) == ["a", "b"]
        assert await states_of(backend, "a", "b") == [JobState.WAITING, JobState.BLOCKED]

    async def test_a_cancelled_dependant_waits_again_when_retried(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await backend.amend(QUEUE, "b", Cancel("x"))
        await finish(backend, "a", Completed(b"1"))
        assert await state(backend, "b") is JobState.CANCELLED, "cancelled it stays"
        assert await backend.amend(QUEUE, "b", Retry()) is JobState.WAITING

    async def test_a_parent_that_runs_again_moves_nobody(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", Completed(b"1"))
        await finish(backend, "b", Completed())
        await backend.amend(QUEUE, "a", Retry())
        await finish(backend, "a", Completed(b"2"))
        assert await state(backend, "b") is JobState.COMPLETED

    # Housekeeping.

    async def test_purge_leaves_blocked_jobs_that_can_still_run(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await claim(backend)
        await backend.control(QUEUE, Purge(delayed=True))
        assert await states_of(backend, "a", "b") == [JobState.ACTIVE, JobState.BLOCKED]

    async def test_blocked_jobs_are_cleaned_by_age(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await put_dependant(backend, "c", "b", on_failure=RUN)
        await clock.advance(seconds=9)
        assert await backend.control(QUEUE, Clean(JobState.BLOCKED, 5000, limit=1)) == ["b"]
        assert await states_of(backend, "a", "b", "c") == [JobState.WAITING, None, JobState.WAITING]

    async def test_jobs_elsewhere_do_not_wait_for_a_queue_that_is_gone(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a", on_failure=RUN)
        await put_dependant(backend, "c", f"{QUEUE}/a", queue=OTHER)
        await put_dependant(backend, "d", f"{QUEUE}/b", queue=OTHER, on_failure=RUN)
        await backend.control(QUEUE, Obliterate())
        assert await states_of(backend, "c", "d", queue=OTHER) == [JobState.FAILED, JobState.WAITING]

    async def test_what_happens_is_told(self, backend: Backend) -> None:
        await put(backend, "a")
        await put_dependant(backend, "b", "a")
        await finish(backend, "a", Completed())
        events = (await backend.events(QUEUE, "0", 0)).events
        assert [event.type for event in events if event.job_id == "b"] == [EventType.ENQUEUED, EventType.UNBLOCKED]

    # Waiting for what one has added oneself: see flows for how these are added.

    async def test_parking_with_nothing_to_wait_for(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        await finish(backend, "a", Parked())
        assert await order(backend) == ["a", "b"]
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert record.failures == 0
