"""What becomes of a job when its attempt is over."""

from __future__ import annotations

import pytest

from jobqueue.backends.protocol import Backend, Cancel, Exchange, Settlement
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Released, RetryAt
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, order, put, run, settle, state


class SettlingContract:
    """Every outcome, and tokens."""

    async def test_completed(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await clock.advance(seconds=1)
        await settle(backend, lease, Completed(b"42"))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.result, record.attempt, record.token) == (JobState.COMPLETED, b"42", 1, None)
        assert (record.started_ms, record.finished_ms) == (lease.started_ms, clock.now_ms())

    async def test_a_retry_spends_an_attempt_and_rests(self, backend: Backend, clock: ManualClock) -> None:
        await run(backend, "a", RetryAt(2000, ERROR))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.failures, record.error) == (JobState.DELAYED, 1, ERROR)
        assert record.run_at_ms == clock.now_ms() + 2000
        await clock.advance(seconds=2)
        (again,) = await claim(backend)
        assert again.attempt == 2

    async def test_a_retry_without_rest_goes_to_the_end_of_its_priority(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        (lease,) = await claim(backend)
        await settle(backend, lease, RetryAt(0, ERROR))
        assert await order(backend) == ["b", "a"]

    async def test_many_at_once_leave_nothing_but_themselves(self, backend: Backend) -> None:
        names = [f"job{number:02}" for number in range(60)]
        await put(backend, *names)
        leases = await claim(backend, 40)
        assert [lease.id for lease in leases] == names[:40]
        assert sorted(await order(backend, JobState.ACTIVE)) == names[:40]
        settlements = [Settlement(lease.id, lease.token or 0, Completed()) for lease in leases]
        page = await backend.exchange(QUEUE, Exchange("w", "w/1", 1, settlements, claim=40))
        assert not page.refused
        assert sorted(await order(backend, JobState.ACTIVE)) == names[40:]
        assert sorted(await order(backend, JobState.COMPLETED)) == names[:40]
        counts = (await backend.status(QUEUE)).counts
        assert (counts[JobState.ACTIVE], counts[JobState.COMPLETED]) == (20, 40)

    async def test_failed(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.error, record.failures) == (JobState.FAILED, ERROR, 1)

    async def test_failed_without_an_attempt(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR, spent=False))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert record.attempt == 0

    async def test_released_jobs_go_back_to_the_front_in_their_order(self, backend: Backend) -> None:
        await put(backend, "a", "b", "c")
        first, second = await claim(backend, 2)
        await settle(backend, second, Released("shutdown"))
        await settle(backend, first, Released("shutdown"))
        assert await order(backend) == ["a", "b", "c"]
        (again,) = await claim(backend)
        assert (again.id, again.attempt, again.failures) == ("a", 1, 0)

    async def test_released_for_later(self, backend: Backend, clock: ManualClock) -> None:
        await run(backend, "a", Released("snoozed", delay_ms=700))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.run_at_ms, record.failures) == (JobState.DELAYED, clock.now_ms() + 700, 0)

    async def test_a_hold_stops_the_queue_for_its_time(self, backend: Backend, clock: ManualClock) -> None:
        await run(backend, "a", Released("rate limited", hold_queue_ms=5000))
        page = await backend.exchange(QUEUE, Exchange("w", "w/1", 1, claim=1))
        assert (page.leases, page.look_again_ms) == ([], clock.now_ms() + 5000)
        await clock.advance(seconds=5)
        assert [lease.id for lease in await claim(backend)] == ["a"]

    async def test_cancelled(self, backend: Backend) -> None:
        await run(backend, "a", Cancelled("no longer needed"))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.reason) == (JobState.CANCELLED, "no longer needed")

    @pytest.mark.parametrize("outcome", [RetryAt(0, ERROR), RetryAt(10, ERROR), Released("shutdown")])
    async def test_a_wish_to_cancel_is_remembered(self, backend: Backend, outcome: Outcome) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        assert await backend.amend(QUEUE, "a", Cancel("enough")) is JobState.ACTIVE
        await settle(backend, lease, outcome)
        assert await state(backend, "a") is JobState.CANCELLED

    async def test_completion_wins_over_a_wish_to_cancel(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await backend.amend(QUEUE, "a", Cancel("too late"))
        await settle(backend, lease, Completed())
        assert await state(backend, "a") is JobState.COMPLETED

    async def test_tokens_rise(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        first, second = await claim(backend, 2)
        await settle(backend, first, RetryAt(0, ERROR))
        (third,) = await claim(backend)
        assert (first.token or 0) < (second.token or 0) < (third.token or 0)

    async def test_an_outdated_token_changes_nothing(self, backend: Backend) -> None:
        await put(backend, "a")
        (old,) = await claim(backend)
        await settle(backend, old, Released("shutdown"))
        (new,) = await claim(backend)
        page = await settle(backend, old, Completed(b'"late"'), logs=(b"{}",))
        assert page.refused == {"a"}
        assert await backend.get(QUEUE, "a") == new
        assert await backend.logs(QUEUE, "a") == []

    async def test_many_at_once_with_unlike_outcomes(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [job(str(number)) for number in range(100)])
        leases = await claim(backend, 100)
        outcomes: list[Outcome] = [Completed(b"1"), RetryAt(0, ERROR), Failed(ERROR), Released("r"), Cancelled("c")]
        settlements = [Settlement(lease.id, lease.token or 0, outcomes[n % 5]) for n, lease in enumerate(leases)]
        page = await backend.exchange(QUEUE, Exchange("w", "w/1", 7, settlements))
        assert page.refused == frozenset()
        counts = (await backend.status(QUEUE)).counts
        assert counts[JobState.WAITING] == 40
        assert [counts[s] for s in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED)] == [20, 20, 20]

    async def test_what_completed_is_taken_in_before_the_others(self, backend: Backend) -> None:
        await put(backend, "a", "b", "c", "d")
        outcomes = (RetryAt(0, ERROR), Completed(b"1"), Completed(b"2"), Completed(b"3"))
        logs: tuple[tuple[bytes, ...], ...] = ((), (), (b'{"line":1}',), ())
        settlements = [
            Settlement(lease.id, lease.token or 0, outcome, lines)
            for lease, outcome, lines in zip(await claim(backend, 4), outcomes, logs, strict=True)
        ]
        await backend.exchange(QUEUE, Exchange("w", "w/1", 2, settlements))
        told = [event for event in (await backend.events(QUEUE, "0", 0)).events if event.type != "enqueued"]
        assert [event.job_id for event in told if event.type != "started"] == ["b", "d", "a", "c"]

    async def test_logs_of_an_attempt_are_kept_with_the_job(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await settle(backend, lease, RetryAt(0, ERROR), logs=(b'{"n":1}', b'{"n":2}'))
        (again,) = await claim(backend)
        await settle(backend, again, Completed(), logs=(b'{"n":3}',))
        assert await backend.logs(QUEUE, "a") == [b'{"n":1}', b'{"n":2}', b'{"n":3}']
