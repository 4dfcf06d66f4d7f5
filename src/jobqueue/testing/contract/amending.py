"""What a person may do to one job, in every state."""

from __future__ import annotations

import pytest

from jobqueue.backends.protocol import (
    Amendment,
    Backend,
    Cancel,
    Promote,
    Remove,
    Reprioritize,
    Reschedule,
    Retry,
)
from jobqueue.errors import InvalidState, JobNotFound
from jobqueue.model.outcome import Cancelled, Completed, Failed
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, order, put, run, state

S = JobState
_STATES = (S.WAITING, S.DELAYED, S.ACTIVE, S.COMPLETED, S.FAILED, S.CANCELLED)
_ALLOWED: dict[str, tuple[Amendment, dict[JobState, JobState | None]]] = {
    "retry": (Retry(), {S.COMPLETED: S.WAITING, S.FAILED: S.WAITING, S.CANCELLED: S.WAITING}),
    "promote": (Promote(), {S.DELAYED: S.WAITING}),
    "cancel": (Cancel("x"), {S.WAITING: S.CANCELLED, S.DELAYED: S.CANCELLED, S.ACTIVE: S.ACTIVE}),
    "remove": (Remove(), dict.fromkeys((S.WAITING, S.DELAYED, S.COMPLETED, S.FAILED, S.CANCELLED))),
    "reprioritize": (Reprioritize(1), {S.WAITING: S.WAITING, S.DELAYED: S.DELAYED, S.ACTIVE: S.ACTIVE}),
    "reschedule": (Reschedule(delay_ms=500), {S.WAITING: S.DELAYED, S.DELAYED: S.DELAYED}),
}


async def _job_in(backend: Backend, wanted: JobState) -> None:
    match wanted:
        case S.WAITING:
            await put(backend, "a")
        case S.DELAYED:
            await backend.enqueue(QUEUE, [job("a", delay_ms=9000)])
        case S.ACTIVE:
            await put(backend, "a")
            await claim(backend)
        case S.COMPLETED:
            await run(backend, "a", Completed(b"1"))
        case S.FAILED:
            await run(backend, "a", Failed(ERROR))
        case _:
            await run(backend, "a", Cancelled("c"))


class AmendingContract:
    """``amend``."""

    @pytest.mark.parametrize("before", _STATES)
    @pytest.mark.parametrize("name", _ALLOWED)
    async def test_each_amendment_in_each_state(self, backend: Backend, name: str, before: JobState) -> None:
        amendment, allowed = _ALLOWED[name]
        await _job_in(backend, before)
        if before not in allowed:
            untouched = await backend.get(QUEUE, "a")
            with pytest.raises(InvalidState):
                await backend.amend(QUEUE, "a", amendment)
            assert await backend.get(QUEUE, "a") == untouched
            return
        told = await backend.amend(QUEUE, "a", amendment)
        assert await state(backend, "a") is allowed[before]
        assert told is (allowed[before] or before)

    @pytest.mark.parametrize("name", _ALLOWED)
    async def test_a_job_that_is_not_there(self, backend: Backend, name: str) -> None:
        with pytest.raises(JobNotFound):
            await backend.amend(QUEUE, "nobody", _ALLOWED[name][0])

    async def test_a_retried_job_begins_afresh(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR))
        await put(backend, "b")
        await backend.amend(QUEUE, "a", Retry(data=b"2"))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.failures, record.stalls, record.error, record.finished_ms) == (0, 0, None, None)
        assert record.data == b"2"
        assert await order(backend) == ["b", "a"]

    async def test_a_retry_may_name_the_failure_it_is_about(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR))
        failed = await backend.get(QUEUE, "a")
        assert failed is not None
        with pytest.raises(InvalidState):
            await backend.amend(QUEUE, "a", Retry(finished_ms=(failed.finished_ms or 0) - 1))
        await backend.amend(QUEUE, "a", Retry(finished_ms=failed.finished_ms))
        assert await state(backend, "a") is S.WAITING

    async def test_a_new_priority_puts_a_job_at_its_end(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [job("a"), job("b", priority=1), job("c")])
        await backend.amend(QUEUE, "a", Reprioritize(1))
        assert await order(backend) == ["b", "a", "c"]

    async def test_a_delayed_job_keeps_its_new_priority(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [job("a", delay_ms=500), job("b")])
        await backend.amend(QUEUE, "a", Reprioritize(0))
        await clock.advance(seconds=1)
        assert [lease.id for lease in await claim(backend, 2)] == ["a", "b"]

    async def test_rescheduled(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [job("a", delay_ms=500)])
        await backend.amend(QUEUE, "a", Reschedule(run_at_ms=clock.now_ms() + 2000))
        await clock.advance(seconds=1)
        assert await claim(backend) == []
        await clock.advance(seconds=1)
        assert len(await claim(backend)) == 1
