"""Jobs that wait for others and begin again: what they ask anew, and what is still on its way to them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobqueue.backends.protocol import Backend, Cancel, FlowMember, NewFlow, Retry, RetryFailed, Spawning
from jobqueue.model.links import Need
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.contract.dependencies import OTHER, finish, put_dependant, settle_elsewhere
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, settle, state


class RetriedDependantContract:
    """``Retry`` of jobs with ``NewRecord.needs``."""

    @pytest.mark.parametrize("outcome", [Completed(b"7", Retention(0)), Failed(ERROR, Retention(0))])
    async def test_it_hears_the_end_of_a_job_that_is_gone_as_long_as_that_is_on_its_way(
        self, backend: Backend, outcome: Outcome
    ) -> None:
        await put(backend, "parent", queue=OTHER)
        await put_dependant(backend, "a", f"{OTHER}/parent")
        await settle_elsewhere(backend, "parent", outcome)
        await backend.amend(QUEUE, "a", Cancel("no"))
        await backend.amend(QUEUE, "a", Retry())
        (heard,) = await backend.inputs(QUEUE, "a")
        assert heard.state == ("completed" if isinstance(outcome, Completed) else "failed")
        assert await state(backend, "a") is (JobState.WAITING if isinstance(outcome, Completed) else JobState.FAILED), (
            "it was not removed"
        )

    async def test_an_end_that_it_has_not_asked_for_does_not_fail_it(self, backend: Backend) -> None:
        """The parent was retried, and then its dependant, while the parent's last end was on its way."""
        await put(backend, "parent", queue=OTHER)
        await put_dependant(backend, "a", f"{OTHER}/parent")
        await finish(backend, "parent", Failed(ERROR), queue=OTHER)
        assert await state(backend, "a") is JobState.FAILED
        await backend.amend(OTHER, "parent", Retry())
        await settle_elsewhere(backend, "parent", Failed(ERROR))
        await backend.amend(OTHER, "parent", Retry())
        await backend.amend(QUEUE, "a", Retry())
        while await backend.deliver(OTHER):
            pass
        assert await state(backend, "a") is JobState.BLOCKED
        await finish(backend, "parent", Completed(b"1"), queue=OTHER)
        assert await state(backend, "a") is JobState.WAITING

    @pytest.mark.parametrize("count", [800, 1000])
    async def test_those_that_fail_again_at_once_are_retried_once(self, backend: Backend, count: int) -> None:
        """What they need has failed: they stand behind all others then, and are not met again."""
        await put(backend, "bad", "b", "c")
        (lease,) = await claim(backend)
        await settle(backend, lease, Cancelled("no"))
        needs = tuple(Need(QUEUE, parent) for parent in ("bad", "b", "c"))
        await backend.enqueue(QUEUE, [replace(job(f"d{number}"), needs=needs) for number in range(count)])
        assert sorted(await backend.control(QUEUE, RetryFailed(2000))) == sorted(
            f"d{number}" for number in range(count)
        )
        assert (await backend.status(QUEUE)).counts[JobState.FAILED] == count

    async def test_its_delay_is_not_counted_a_second_time(self, backend: Backend) -> None:
        """It was cancelled while it waited, what it needed is done by the time it is retried, and then it parks."""
        await put(backend, "b")
        await put_dependant(backend, "a", "b", delay_ms=60_000)
        await backend.amend(QUEUE, "a", Cancel("no"))
        await finish(backend, "b", Completed())
        assert await backend.amend(QUEUE, "a", Retry()) is JobState.WAITING
        (lease,) = await claim(backend)
        spawning = Spawning("a", lease.token or 0, (Need(QUEUE, "kid"),))
        await backend.submit(QUEUE, NewFlow("a/1", [FlowMember(QUEUE, job("kid"))], recorded=False, spawning=spawning))
        await settle(backend, lease, Parked())
        await finish(backend, "kid", Completed())
        assert await state(backend, "a") is JobState.WAITING
