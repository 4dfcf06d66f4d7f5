"""Limits of a queue: how fast and how many jobs start, of which type, and how many may wait."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from jobqueue.backends.operations import SetLimits
from jobqueue.backends.protocol import Backend, Cancel, Exchange, NewRecord, Obliterate, Page, Pause, Settlement, Upkeep
from jobqueue.errors import QueueFull
from jobqueue.model.limits import GroupLimits, Limits, Rate
from jobqueue.model.outcome import Completed, Failed, Released
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, order, put, settle, state

_sequence = itertools.count(1)


def typed(job_id: str, kind: str, *, priority: int = 3) -> NewRecord:
    """A job of a type."""
    return NewRecord(job_id, kind, b"1", priority=priority)


async def limit(backend: Backend, limits: Limits) -> None:
    """Put all limits."""
    await backend.control(QUEUE, SetLimits(limits))


async def look(
    backend: Backend, count: int = 10, *, worker: str = "w", rooms: dict[str, int] | None = None, lag_ms: int = 0
) -> Page:
    """An exchange that claims."""
    request = Exchange(worker, f"{worker}/1", next(_sequence), claim=count, rooms=rooms or {}, lag_ms=lag_ms)
    return await backend.exchange(QUEUE, request)


def ids(page: Page) -> list[str]:
    """What was claimed."""
    return [lease.id for lease in page.leases]


class LimitContract:
    """Rate, concurrency, types, ``max_waiting``."""

    async def test_limits_are_kept(self, backend: Backend) -> None:
        assert await backend.limits(QUEUE) == Limits()
        limits = Limits(Rate(3, 2, burst=2), 5, {"sms.send": 2}, 1000)
        await limit(backend, limits)
        assert await backend.limits(QUEUE) == limits
        await backend.control(QUEUE, SetLimits(Limits(concurrency=None, types={"a": 1}), frozenset({"types"})))
        assert await backend.limits(QUEUE) == Limits(Rate(3, 2, burst=2), 5, {"a": 1}, 1000)

    async def test_a_declaration_counts_once(self, backend: Backend) -> None:
        declared = SetLimits(Limits(concurrency=5), declared=True)
        await backend.control(QUEUE, declared)
        await limit(backend, Limits(concurrency=9))
        await backend.control(QUEUE, declared)
        assert (await backend.limits(QUEUE)).concurrency == 9
        await backend.control(QUEUE, SetLimits(Limits(concurrency=6), declared=True))
        assert (await backend.limits(QUEUE)).concurrency == 6

    # Rate.

    async def test_a_rate_lets_so_many_start_and_says_when_the_next_may(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await limit(backend, Limits(Rate(2, per=10)))
        await put(backend, *"abcde")
        page = await look(backend)
        assert (ids(page), page.crowded, page.more) == (["a", "b"], True, False)
        assert page.look_again_ms == page.rests_until_ms == clock.now_ms() + 10_000
        await clock.advance(seconds=9.999)
        assert ids(await look(backend)) == []
        await clock.advance(milliseconds=1)
        assert ids(await look(backend)) == ["c", "d"]

    async def test_a_start_counts_for_longer_to_a_worker_that_starts_jobs_late(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await limit(backend, Limits(Rate(2, per=10)))
        await put(backend, *"abcde")
        assert ids(await look(backend, lag_ms=300)) == ["a", "b"]
        await clock.advance(seconds=10)
        page = await look(backend, lag_ms=300)
        assert (ids(page), page.rests_until_ms) == ([], clock.now_ms() + 300)
        # A quarter of the period, and no more.
        page = await look(backend, lag_ms=60_000)
        assert (ids(page), page.rests_until_ms) == ([], clock.now_ms() + 2500)
        await clock.advance(milliseconds=300)
        assert ids(await look(backend, lag_ms=300)) == ["c", "d"]

    async def test_so_it_does_in_a_group(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(groups=GroupLimits(rate=Rate(1, per=20))))
        await backend.enqueue(QUEUE, [NewRecord(name, "ticket.created", b"1", group="g") for name in "ab"])
        (lease,) = (await look(backend, lag_ms=300)).leases
        await settle(backend, lease, Completed())
        await clock.advance(seconds=20)
        assert ids(await look(backend, lag_ms=300)) == []
        # What is kept of a group lives as long as it may count.
        await backend.upkeep(QUEUE, Upkeep())
        await clock.advance(milliseconds=299)
        assert ids(await look(backend, lag_ms=300)) == []
        await clock.advance(milliseconds=1)
        assert ids(await look(backend, lag_ms=300)) == ["b"]

    async def test_a_burst_of_one_spaces_starts_evenly(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(Rate(4, per=1, burst=1)))
        await put(backend, *"abc")
        assert ids(await look(backend)) == ["a"]
        assert (await look(backend)).look_again_ms == clock.now_ms() + 250
        await clock.advance(milliseconds=250)
        assert ids(await look(backend)) == ["b"]

    async def test_delayed_jobs_become_due_under_a_rate(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(Rate(1, per=60)))
        await put(backend, "a")
        await backend.enqueue(QUEUE, [job("later", delay_ms=500)])
        assert ids(await look(backend)) == ["a"]
        await clock.advance(seconds=1)
        assert ids(await look(backend)) == []
        assert await state(backend, "later") is JobState.WAITING

    async def test_a_settlement_under_a_rate_still_says_when_to_look_again(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await limit(backend, Limits(Rate(1, per=10)))
        await put(backend, "a", "b")
        (lease,) = await claim(backend)
        page = await settle(backend, lease, Completed())
        assert page.rests_until_ms == clock.now_ms() + 10_000

    async def test_a_rate_that_is_lifted_lets_everything_go(self, backend: Backend) -> None:
        await limit(backend, Limits(Rate(1, per=60)))
        await put(backend, *"abc")
        assert ids(await look(backend)) == ["a"]
        await backend.wait(QUEUE, 0.01)
        await limit(backend, Limits())
        assert await backend.wait(QUEUE, 5)
        assert ids(await look(backend)) == ["b", "c"]

    async def test_expired_jobs_are_not_counted(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(Rate(1, per=10), types={"ticket.created": 1}))
        await backend.enqueue(QUEUE, [NewRecord("old", "ticket.created", b"1", expires_in_ms=100)])
        await put(backend, "a")
        await clock.advance(seconds=1)
        assert ids(await look(backend)) == ["a"]
        assert await state(backend, "old") is JobState.FAILED

    # Concurrency.

    async def test_concurrency_is_over_all_workers(self, backend: Backend) -> None:
        await limit(backend, Limits(concurrency=2))
        await put(backend, *"abcd")
        assert ids(await look(backend, 1, worker="one")) == ["a"]
        page = await look(backend, worker="two")
        assert (ids(page), page.crowded, page.more, page.look_again_ms) == (["b"], True, False, None)
        assert ids(await look(backend, worker="three")) == []

    async def test_a_settlement_frees_a_place_and_wakes_somebody(self, backend: Backend) -> None:
        await limit(backend, Limits(concurrency=1))
        await put(backend, "a", "b")
        (lease,) = await claim(backend)
        await backend.wait(QUEUE, 0.01)
        assert not await backend.wait(QUEUE, 0.01)
        await settle(backend, lease, Completed())
        assert await backend.wait(QUEUE, 5)

    async def test_a_place_is_taken_in_the_exchange_that_frees_it(self, backend: Backend) -> None:
        await limit(backend, Limits(concurrency=1))
        await put(backend, "a", "b")
        (lease,) = await claim(backend)
        settlement = Settlement(lease.id, lease.token or 0, Completed())
        page = await backend.exchange(QUEUE, Exchange("w", "w/1", next(_sequence), [settlement], claim=5))
        assert ids(page) == ["b"]

    async def test_a_lost_worker_gives_its_places_back(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(concurrency=2, types={"ticket.created": 2}))
        await put(backend, *"abc")
        assert len(await claim(backend, 5, worker="lost", lease_ms=1000)) == 2
        await clock.advance(seconds=2)
        await backend.upkeep(QUEUE, Upkeep())
        assert ids(await look(backend)) == ["a", "b"]

    async def test_a_buried_job_gives_its_place_back_and_wakes_somebody(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await limit(backend, Limits(concurrency=1, types={"ticket.created": 1}))
        await put(backend, "a", "b")
        await claim(backend, lease_ms=1000)
        await backend.wait(QUEUE, 0.01)
        await clock.advance(seconds=2)
        assert (await backend.upkeep(QUEUE, Upkeep(max_stalls=1))).poisoned == ("a",)
        assert await backend.wait(QUEUE, 5)
        assert ids(await look(backend)) == ["b"]

    # Types.

    async def test_a_full_type_holds_up_no_other(self, backend: Backend) -> None:
        await limit(backend, Limits(types={"sms": 2}))
        await backend.enqueue(QUEUE, [typed(f"s{number}", "sms") for number in range(4)])
        await backend.enqueue(QUEUE, [typed("m", "mail")])
        page = await look(backend)
        assert ids(page) == ["s0", "s1", "m"]
        assert (page.crowded, page.more) == (True, False)
        assert await order(backend) == ["s2", "s3"]
        await settle(backend, page.leases[0], Completed())
        assert ids(await look(backend)) == ["s2"]

    async def test_jobs_set_aside_keep_their_places(self, backend: Backend) -> None:
        await limit(backend, Limits(types={"sms": 1}))
        await backend.enqueue(QUEUE, [typed("s0", "sms"), typed("s1", "sms"), typed("m0", "mail")])
        first, *_ = (await look(backend, 2)).leases
        await backend.enqueue(QUEUE, [typed("m1", "mail"), typed("s2", "sms", priority=1)])
        await settle(backend, first, Released("shutdown"))
        assert await order(backend) == ["s2", "s0", "s1", "m1"]
        assert ids(await look(backend, 1)) == ["s2"]

    async def test_jobs_set_aside_are_still_waiting(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(types={"sms": 1}))
        await backend.enqueue(QUEUE, [typed(f"s{number}", "sms") for number in range(6)])
        await look(backend)
        assert (await backend.status(QUEUE)).counts[JobState.WAITING] == 5
        assert await state(backend, "s1") is JobState.WAITING
        assert await backend.amend(QUEUE, "s1", Cancel("enough")) is JobState.CANCELLED
        found = await backend.find(QUEUE, JobState.WAITING, offset=1, limit=2)
        assert [record.id for record in found] == ["s3", "s4"]
        await backend.control(QUEUE, Pause())
        await clock.advance(seconds=1)
        status = await backend.status(QUEUE)
        assert (status.counts[JobState.WAITING], status.oldest_ms) == (4, 1000)

    async def test_running_jobs_are_counted_when_a_limit_is_set(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [typed(f"s{number}", "sms") for number in range(4)])
        leases = await claim(backend, 2)
        await limit(backend, Limits(types={"sms": 2}))
        assert ids(await look(backend)) == []
        await settle(backend, leases[0], Completed())
        assert ids(await look(backend)) == ["s2"]

    async def test_a_type_limit_that_is_lifted_lets_everything_go(self, backend: Backend) -> None:
        await limit(backend, Limits(types={"sms": 1}))
        await backend.enqueue(QUEUE, [typed(f"s{number}", "sms") for number in range(4)])
        await look(backend)
        await limit(backend, Limits())
        assert ids(await look(backend)) == ["s1", "s2", "s3"]

    async def test_more_than_are_looked_through_at_once(self, backend: Backend) -> None:
        await limit(backend, Limits(types={"sms": 1}))
        for start in range(0, 2400, 800):
            await backend.enqueue(QUEUE, [typed(f"s{number}", "sms") for number in range(start, start + 800)])
        await backend.enqueue(QUEUE, [typed("m", "mail")])
        claimed: list[str] = []
        for _ in range(4):
            page = await look(backend, 5)
            claimed += ids(page)
            assert page.look_again_ms == page.now_ms or claimed[-1:] == ["m"]
        assert claimed == ["s0", "m"]
        assert (await backend.status(QUEUE)).counts[JobState.WAITING] == 2399

    # What a worker cannot take.

    async def test_a_worker_takes_no_more_of_a_type_than_it_has_room_for(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [typed(f"s{number}", "sms") for number in range(3)])
        await backend.enqueue(QUEUE, [typed("m", "mail")])
        page = await look(backend, rooms={"sms": 1}, worker="one")
        assert ids(page) == ["s0", "m"]
        assert ids(await look(backend, rooms={"sms": 0}, worker="one")) == []
        assert ids(await look(backend, worker="two")) == ["s1", "s2"]

    async def test_another_worker_is_woken_for_what_one_has_no_room_for(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [typed("s0", "sms"), typed("s1", "sms")])
        await backend.wait(QUEUE, 0.01)
        assert ids(await look(backend, rooms={"sms": 1}, worker="one")) == ["s0"]
        assert await backend.wait(QUEUE, 5)
        # Whoever found out first does not wake itself again and again.
        assert ids(await look(backend, rooms={"sms": 0}, worker="one")) == []
        assert not await backend.wait(QUEUE, 0.01)

    # Back-pressure.

    async def test_a_full_queue_refuses_and_writes_nothing(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=3))
        await put(backend, "a")
        await backend.enqueue(QUEUE, [job("later", delay_ms=60_000)])
        with pytest.raises(QueueFull) as refused:
            await backend.enqueue(QUEUE, [job("b"), job("c")])
        assert refused.value.limit == 3
        assert [await state(backend, job_id) for job_id in "bc"] == [None, None]
        await put(backend, "b")
        with pytest.raises(QueueFull):
            await put(backend, "c")

    async def test_what_runs_takes_no_room(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=1))
        await put(backend, "a")
        (lease,) = await claim(backend)
        await put(backend, "b")
        await settle(backend, lease, Failed(ERROR))
        assert await state(backend, "b") is JobState.WAITING

    async def test_known_ids_are_never_refused(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=2))
        await put(backend, "a", "b")
        answers = await backend.enqueue(QUEUE, [job("a"), job("b"), job("a")])
        assert [answer.created for answer in answers] == [False, False, False]
        with pytest.raises(QueueFull):
            await backend.enqueue(QUEUE, [job("a"), job("c")])

    async def test_an_id_that_comes_twice_is_counted_once(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=1))
        answers = await backend.enqueue(QUEUE, [job("a"), job("a")])
        assert [answer.created for answer in answers] == [True, False]

    async def test_effects_are_not_refused(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=0))
        await backend.enqueue(QUEUE, [job("letter")], limited=False)
        assert await state(backend, "letter") is JobState.WAITING

    async def test_a_producer_is_woken_when_there_is_room(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=1))
        await put(backend, "a")
        with pytest.raises(QueueFull):
            await backend.enqueue(QUEUE, [job("b")], wait_ms=5000)
        assert not await backend.wait_for_room(QUEUE, 0.01)
        waiting = asyncio.ensure_future(backend.wait_for_room(QUEUE, 10))
        await claim(backend)
        assert await waiting
        await backend.enqueue(QUEUE, [job("b")], wait_ms=5000)

    async def test_limits_are_gone_with_the_queue(self, backend: Backend) -> None:
        await limit(backend, Limits(Rate(1, 60), 1, {"ticket.created": 1}, 5))
        await put(backend, *"abc")
        await look(backend)
        await backend.control(QUEUE, Obliterate(force=True))
        assert await backend.limits(QUEUE) == Limits()
        await put(backend, *"abc")
        assert ids(await look(backend)) == ["a", "b", "c"]
