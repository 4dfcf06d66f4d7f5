"""Counting attempts by the minute."""

from __future__ import annotations

from jobqueue.backends.protocol import Backend, Exchange, Obliterate, Settlement
from jobqueue.model.outcome import Completed
from jobqueue.model.stats import MOST_MINUTES
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import QUEUE, claim, put

MINUTE_MS = 60_000


async def count(backend: Backend, sequence: int, tallies: dict[str, int], *, repeated: bool = False) -> None:
    """Hand in a job, and these with it."""
    settlements = [Settlement("nobody", 1, Completed())]
    await backend.exchange(QUEUE, Exchange("w", "w/0", sequence, settlements, tallies=tallies, repeated=repeated))


class StatsContract:
    """What tallies become."""

    async def test_there_are_none_at_first(self, backend: Backend) -> None:
        assert await backend.stats(QUEUE, MOST_MINUTES) == []

    async def test_tallies_of_a_minute_add_up(self, backend: Backend, clock: ManualClock) -> None:
        begin_ms = clock.now_ms() // MINUTE_MS * MINUTE_MS
        await count(backend, 1, {"c0 a": 2, "us a": 500})
        await count(backend, 2, {"c0 a": 3, "f4 b": 1, "us a": 700})
        assert await backend.stats(QUEUE, 1) == [(begin_ms, {"c0 a": 5, "us a": 1200, "f4 b": 1})]

    async def test_each_minute_has_its_own_and_the_oldest_comes_first(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        begin_ms = clock.now_ms() // MINUTE_MS * MINUTE_MS
        await count(backend, 1, {"c0 a": 1})
        await clock.advance(minutes=2)
        await count(backend, 2, {"c0 a": 2})
        both = [(begin_ms, {"c0 a": 1}), (begin_ms + 2 * MINUTE_MS, {"c0 a": 2})]
        assert await backend.stats(QUEUE, 3) == both
        assert await backend.stats(QUEUE, 2) == both[1:]

    async def test_a_repeat_counts_nothing_twice(self, backend: Backend) -> None:
        await count(backend, 1, {"c0 a": 1})
        await count(backend, 1, {"c0 a": 1}, repeated=True)
        await count(backend, 2, {"c0 a": 1}, repeated=True)
        ((_, counters),) = await backend.stats(QUEUE, 1)
        assert counters == {"c0 a": 2}

    async def test_they_are_kept_for_a_day(self, backend: Backend, clock: ManualClock) -> None:
        await count(backend, 1, {"c0 a": 1})
        await clock.advance(minutes=MOST_MINUTES - 1)
        assert len(await backend.stats(QUEUE, MOST_MINUTES)) == 1
        await clock.advance(minutes=1)
        assert await backend.stats(QUEUE, MOST_MINUTES) == []

    async def test_an_exchange_that_counts_settles_and_claims_as_ever(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        (first,) = await claim(backend)
        settlements = [Settlement(first.id, first.token or 0, Completed(b"1"))]
        page = await backend.exchange(QUEUE, Exchange("w", "w/1", 5, settlements, claim=1, tallies={"c0 a": 1}))
        assert [lease.id for lease in page.leases] == ["b"]
        assert page.refused == frozenset()

    async def test_an_obliterated_queue_has_none(self, backend: Backend) -> None:
        await count(backend, 1, {"c0 a": 1})
        await backend.control(QUEUE, Obliterate())
        assert await backend.stats(QUEUE, MOST_MINUTES) == []
