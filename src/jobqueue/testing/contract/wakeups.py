"""Who sleeps is woken when there is something to do, whatever made it so."""

from __future__ import annotations

import pytest

from jobqueue.backends.operations import PurgeGroup
from jobqueue.backends.protocol import Backend, Clean, Command, Exchange, NewRecord, Pause, Purge, Settlement
from jobqueue.model.links import Need, OnFailure
from jobqueue.model.outcome import Outcome, Released, RetryAt
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, put, settle, state

LONG, SHORT = 5.0, 0.01


async def take_markers(backend: Backend) -> None:
    """Nobody has anything to do."""
    while await backend.wait(QUEUE, SHORT):
        pass


class WakeupContract:
    """``wait`` after what is rarely thought of."""

    @pytest.mark.parametrize("command", [Purge(), Clean(JobState.WAITING), PurgeGroup("g")])
    @pytest.mark.parametrize("paused", [False, True])
    async def test_dropping_jobs_wakes_for_those_that_waited_for_them(
        self, backend: Backend, command: Command, paused: bool
    ) -> None:
        await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", group="g")])
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b"1", needs=(Need(QUEUE, "b", OnFailure.RUN),))])
        if paused:
            await backend.control(QUEUE, Pause())
        await take_markers(backend)
        await backend.control(QUEUE, command)
        assert await state(backend, "a") is JobState.WAITING
        assert await backend.wait(QUEUE, SHORT if paused else LONG) is not paused

    @pytest.mark.parametrize("outcome", [RetryAt(2000, ERROR), Released("later", 2000)])
    async def test_a_delay_that_ends_before_all_others_wakes_whoever_sleeps(
        self, backend: Backend, outcome: Outcome
    ) -> None:
        """Whoever has settled may be about to stop, and nobody else knows when there is something to do."""
        await put(backend, "a")
        (lease,) = await claim(backend)
        await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", delay_ms=10_000)])
        await take_markers(backend)
        page = await settle(backend, lease, outcome)
        assert page.look_again_ms == page.now_ms + 2000
        assert await backend.wait(QUEUE, LONG)

    async def test_one_that_ends_first_now_that_another_is_due(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", delay_ms=1000)])
        await take_markers(backend)
        await clock.advance(seconds=1)
        page = await backend.exchange(
            QUEUE, Exchange("w", "w/9", 1, [Settlement("a", lease.token or 0, RetryAt(2000, ERROR))], claim=1)
        )
        assert [one.id for one in page.leases] == ["b"]
        assert await backend.wait(QUEUE, LONG)

    async def test_a_delay_that_ends_later_wakes_nobody(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", delay_ms=10_000)])
        await take_markers(backend)
        await settle(backend, lease, RetryAt(20_000, ERROR))
        assert not await backend.wait(QUEUE, SHORT)
