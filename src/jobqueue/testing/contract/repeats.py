"""A call whose reply was lost is made again, and takes effect once."""

from __future__ import annotations

from dataclasses import replace

from jobqueue.backends.protocol import Backend, Exchange, Presence, Settlement, Upkeep
from jobqueue.model.outcome import Completed, RetryAt
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, put, state


class RepeatContract:
    """``Exchange.repeated``."""

    async def test_a_repeat_gives_the_same_leases(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a", "b", "c")
        request = Exchange("w", "w/0", 1, claim=2)
        first = await backend.exchange(QUEUE, request)
        await clock.advance(seconds=1)
        again = await backend.exchange(QUEUE, replace(request, repeated=True))
        assert again.leases == first.leases
        assert await state(backend, "c") is JobState.WAITING

    async def test_a_repeat_settles_nothing_twice(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        request = Exchange("w", "w/1", 1, [Settlement("a", lease.token or 0, RetryAt(0, ERROR))], claim=1)
        first = await backend.exchange(QUEUE, request)
        again = await backend.exchange(QUEUE, replace(request, repeated=True))
        assert (first.refused, again.refused) == (frozenset(), frozenset())
        assert again.leases == first.leases
        assert again.leases[0].failures == 1

    async def test_a_repeat_refuses_what_was_refused(self, backend: Backend) -> None:
        request = Exchange("w", "w/0", 1, [Settlement("nobody", 1, Completed())])
        assert (await backend.exchange(QUEUE, request)).refused == {"nobody"}
        assert (await backend.exchange(QUEUE, replace(request, repeated=True))).refused == {"nobody"}

    async def test_a_repeat_of_what_never_arrived_is_done(self, backend: Backend) -> None:
        await put(backend, "a")
        page = await backend.exchange(QUEUE, Exchange("w", "w/0", 1, claim=1, repeated=True))
        assert [lease.id for lease in page.leases] == ["a"]

    async def test_callers_are_kept_apart(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        first = await backend.exchange(QUEUE, Exchange("w", "w/0", 1, claim=1))
        other = await backend.exchange(QUEUE, Exchange("w", "w/1", 1, claim=1, repeated=True))
        assert first.leases[0].id != other.leases[0].id

    async def test_a_lease_that_was_lost_meanwhile_is_not_given_again(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await put(backend, "a")
        request = Exchange("w", "w/0", 1, claim=1, lease_ms=1000)
        await backend.exchange(QUEUE, request)
        await clock.advance(seconds=1)
        await backend.upkeep(QUEUE, Upkeep())
        assert (await backend.exchange(QUEUE, replace(request, repeated=True))).leases == []

    async def test_a_settlement_was_accepted_though_its_worker_was_away_since(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await put(backend, "a")
        await backend.upkeep(QUEUE, Upkeep(presence=Presence("w", "host", 1, 1, 0, 0), presence_ms=20_000))
        (lease,) = await claim(backend)
        done = [Settlement("a", lease.token or 0, Completed())]
        request = Exchange("w", "w/1", 1, done, tallies={"c0 t": 1})
        await backend.exchange(QUEUE, request)
        await clock.advance(seconds=30)
        await backend.upkeep(QUEUE, Upkeep(presence=Presence("x", "host", 2, 1, 0, 0), presence_ms=20_000))
        page = await backend.exchange(QUEUE, replace(request, repeated=True))
        assert page.refused == frozenset()
        assert [counters for _, counters in await backend.stats(QUEUE, 60)] == [{"c0 t": 1}]

    async def test_counters_alone_are_counted_once(self, backend: Backend) -> None:
        request = Exchange("w", "w/1", 1, tallies={"c0 t": 1})
        await backend.exchange(QUEUE, request)
        await backend.exchange(QUEUE, replace(request, repeated=True))
        assert [counters for _, counters in await backend.stats(QUEUE, 60)] == [{"c0 t": 1}]

    async def test_a_first_try_that_comes_after_its_repeat_claims_for_nobody(self, backend: Backend) -> None:
        await put(backend, "a")
        request = Exchange("w", "w/1", 1, claim=1)
        page = await backend.exchange(QUEUE, replace(request, repeated=True))
        assert [lease.id for lease in page.leases] == ["a"]
        await put(backend, "b")
        late = await backend.exchange(QUEUE, request)
        assert [lease.id for lease in late.leases] == ["a"]
        assert await state(backend, "b") is JobState.WAITING

    async def test_one_that_comes_after_the_next_one_does_nothing(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        await backend.exchange(QUEUE, Exchange("w", "w/1", 2, claim=1))
        late = await backend.exchange(QUEUE, Exchange("w", "w/1", 1, claim=1))
        assert late.leases == []
        again = await backend.exchange(QUEUE, Exchange("w", "w/1", 2, claim=1, repeated=True))
        assert [lease.id for lease in again.leases] == ["a"]

    async def test_one_that_comes_when_its_worker_has_left_does_nothing(self, backend: Backend) -> None:
        request = Exchange("w", "w/1", 1, claim=1)
        await backend.exchange(QUEUE, replace(request, claim=0, repeated=True))
        await backend.leave(QUEUE, "w")
        await put(backend, "a")
        assert (await backend.exchange(QUEUE, request)).leases == []
        assert await state(backend, "a") is JobState.WAITING

    async def test_upkeep_may_be_done_by_any_number(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await claim(backend, lease_ms=1000)
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ("a",)
        assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ()
