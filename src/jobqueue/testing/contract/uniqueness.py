"""Unique keys: who stands and who falls; and that nothing else lets a key go."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from jobqueue.backends.operations import PurgeGroup, SetLimits
from jobqueue.backends.protocol import (
    Backend,
    Cancel,
    Remove,
    Retry,
    RetryFailed,
    Upkeep,
)
from jobqueue.errors import InvalidState, JobNotFound, QueueFull
from jobqueue.model.events import EventType
from jobqueue.model.limits import Limits
from jobqueue.model.links import Need
from jobqueue.model.outcome import Completed, Failed, Released, Retention, RetryAt
from jobqueue.model.record import JobState
from jobqueue.model.unique import Unique
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, order, put, settle, state
from jobqueue.testing.contract.unique_steps import (
    ENDS,
    REPLACE,
    THROTTLE,
    UNDONE,
    ask,
    plain,
    stands,
    start,
    told,
    undo,
    unique_job,
)


class UniqueContract:
    """``NewRecord.unique``."""

    # Until done.

    async def test_a_job_with_a_held_key_falls(self, backend: Backend) -> None:
        first = await ask(backend, "a", data=b"1")
        assert (first.created, first.record.unique) == (True, "k")
        cursor = (await backend.events(QUEUE, None, 0)).cursor
        second = await ask(backend, "b", data=b"2")
        assert (second.created, second.record) == (False, first.record)
        assert await state(backend, "b") is None
        assert await order(backend) == ["a"]
        assert await told(backend, cursor, *EventType) == [(EventType.DEDUPLICATED, "a", "b")]

    async def test_a_job_that_has_expired_lets_nobody_fall(self, backend: Backend, clock: ManualClock) -> None:
        # Nobody has looked after it yet: no worker was there.
        await ask(backend, "a", expires_in_ms=1000)
        await ask(backend, "t", Unique("lasting", ttl=10), expires_in_ms=1000)
        assert await stands(backend, "b") == "a"
        await clock.advance(seconds=1)
        assert await stands(backend, "t2", Unique("lasting", ttl=10)) == "t"
        assert await stands(backend, "c") == "c"
        assert await stands(backend, "d") == "c"
        await start(backend, "c")
        assert await state(backend, "a") is JobState.FAILED
        assert await stands(backend, "e") == "c"

    async def test_an_expired_job_is_replaced_all_the_same(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", REPLACE, expires_in_ms=1000)
        await clock.advance(seconds=1)
        assert await stands(backend, "b", REPLACE) == "a"
        assert (await start(backend, "a")).data == b'"b"'

    async def test_another_key_and_no_key_are_no_matter(self, backend: Backend) -> None:
        await ask(backend, "a")
        assert await stands(backend, "b", Unique("other")) == "b"
        await put(backend, "c")
        assert await order(backend) == ["a", "b", "c"]

    async def test_keys_are_of_one_queue(self, backend: Backend) -> None:
        await ask(backend, "a")
        (answer,) = await backend.enqueue("other", [unique_job("b")])
        assert answer.created

    async def test_an_id_that_is_taken_comes_before_the_key(self, backend: Backend) -> None:
        await put(backend, "b")
        await ask(backend, "a")
        answer = await ask(backend, "b")
        assert (answer.created, answer.record.id, answer.record.unique) == (False, "b", "")

    async def test_the_key_is_held_in_every_unfinished_state(self, backend: Backend, clock: ManualClock) -> None:
        assert await stands(backend, "a", delay_ms=500) == "a"
        assert await stands(backend, "delayed") == "a"
        await clock.advance(seconds=1)
        lease = await start(backend, "a")
        assert await stands(backend, "active") == "a"
        await settle(backend, lease, RetryAt(700, ERROR))
        assert await stands(backend, "retrying") == "a"
        await clock.advance(seconds=1)
        lease = await start(backend, "a")
        await settle(backend, lease, Released("shutdown"))
        assert await stands(backend, "released") == "a"
        (lease,) = await claim(backend, lease_ms=1000)
        await clock.advance(seconds=2)
        assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ("a",)
        assert await stands(backend, "recovered") == "a"
        assert await order(backend) == ["a"]

    @pytest.mark.parametrize("end", ENDS)
    async def test_an_end_lets_the_key_go(self, backend: Backend, end: str) -> None:
        await ask(backend, "a")
        await settle(backend, await start(backend, "a"), ENDS[end])
        assert await stands(backend, "b") == "b"
        assert await stands(backend, "c") == "b"

    @pytest.mark.parametrize("what", UNDONE)
    async def test_what_does_not_run_lets_the_key_go(self, backend: Backend, what: str) -> None:
        await ask(backend, "a")
        await undo(backend, "a", UNDONE[what])
        assert await stands(backend, "b") == "b"

    async def test_expiry_lets_the_key_go(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", expires_in_ms=1000)
        await ask(backend, "x", Unique("x"), expires_in_ms=1000)
        await clock.advance(seconds=1)
        assert await claim(backend) == []
        assert await stands(backend, "b") == "b"
        await backend.upkeep(QUEUE, Upkeep())
        assert await stands(backend, "y", Unique("x")) == "y"

    async def test_a_job_that_takes_workers_down_lets_the_key_go(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a")
        poisoned: list[str] = []
        for _ in range(2):
            assert await stands(backend, "b") == "a"
            await claim(backend, lease_ms=1000)
            await clock.advance(seconds=2)
            poisoned += (await backend.upkeep(QUEUE, Upkeep(max_stalls=2))).poisoned
        assert poisoned == ["a"]
        assert await stands(backend, "b") == "b"

    async def test_a_failed_dependency_lets_the_key_go(self, backend: Backend) -> None:
        await put(backend, "parent")
        assert await stands(backend, "a", needs=(Need(QUEUE, "parent"),)) == "a"
        assert await stands(backend, "b") == "a"
        await settle(backend, await start(backend, "parent"), Failed(ERROR))
        assert await state(backend, "a") is JobState.FAILED
        assert await stands(backend, "b") == "b"

    async def test_an_outdated_settlement_lets_nothing_go(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a")
        (old,) = await claim(backend, lease_ms=1000)
        await clock.advance(seconds=2)
        await backend.upkeep(QUEUE, Upkeep())
        await start(backend, "a")
        assert (await settle(backend, old, Completed())).refused == {"a"}
        assert await stands(backend, "b") == "a"

    async def test_one_of_many_at_once(self, backend: Backend) -> None:
        answers = await asyncio.gather(*(ask(backend, f"j{number}") for number in range(64)))
        assert Counter(answer.created for answer in answers) == {True: 1, False: 63}
        assert len({answer.record.id for answer in answers}) == 1
        assert len(await order(backend)) == 1

    async def test_one_of_a_batch(self, backend: Backend) -> None:
        jobs = [
            unique_job("a"),
            unique_job("b"),
            plain("c"),
            unique_job("d", Unique("d")),
            unique_job("c"),
        ]
        answers = await backend.enqueue(QUEUE, jobs)
        assert [(answer.record.id, answer.created) for answer in answers] == [
            ("a", True), ("a", False), ("c", True), ("d", True), ("c", False),
        ]  # fmt: skip
        assert await order(backend) == ["a", "c", "d"]

    async def test_those_that_fall_take_no_room(self, backend: Backend) -> None:
        await backend.control(QUEUE, SetLimits(Limits(max_waiting=2)))
        await ask(backend, "a")
        await backend.enqueue(QUEUE, [unique_job("b"), unique_job("c"), unique_job("d", Unique("d"))])
        assert await order(backend) == ["a", "d"]
        assert await stands(backend, "e") == "a"
        with pytest.raises(QueueFull):
            await ask(backend, "f", Unique("f"))
        assert await stands(backend, "g", REPLACE) == "a"

    async def test_a_group_keeps_its_jobs_in_line(self, backend: Backend) -> None:
        assert await stands(backend, "a", group="one") == "a"
        assert await stands(backend, "b", group="two") == "a"
        await backend.control(QUEUE, PurgeGroup("one"))
        assert await stands(backend, "b", group="two") == "b"
        await settle(backend, await start(backend, "b"), Completed())
        assert await stands(backend, "c") == "c"

    async def test_what_needs_a_job_that_fell_is_refused(self, backend: Backend) -> None:
        await ask(backend, "a")
        with pytest.raises(JobNotFound):
            await backend.enqueue(QUEUE, [unique_job("b"), plain("c", "b")])
        assert await order(backend) == ["a"]
        answers = await backend.enqueue(QUEUE, [unique_job("x", Unique("x")), plain("y", "x")])
        assert [answer.created for answer in answers] == [True, True]

    # Retried by hand.

    async def test_a_retried_job_takes_its_key_again(self, backend: Backend) -> None:
        await ask(backend, "a")
        await settle(backend, await start(backend, "a"), Failed(ERROR))
        await backend.amend(QUEUE, "a", Retry())
        assert await stands(backend, "b") == "a"
        await settle(backend, await start(backend, "a"), Completed())
        assert await stands(backend, "b") == "b"

    async def test_a_job_whose_key_is_held_is_not_retried(self, backend: Backend) -> None:
        await ask(backend, "a")
        await settle(backend, await start(backend, "a"), Failed(ERROR))
        await ask(backend, "b")
        with pytest.raises(InvalidState, match="'b' holds its unique key"):
            await backend.amend(QUEUE, "a", Retry())
        assert await state(backend, "a") is JobState.FAILED
        await backend.amend(QUEUE, "b", Cancel())
        await backend.amend(QUEUE, "a", Retry())
        assert await order(backend) == ["a"]

    async def test_many_are_retried_but_one_of_a_key(self, backend: Backend) -> None:
        for job_id, key in (("a", "k"), ("b", "k"), ("c", "other"), ("d", "")):
            if key:
                await ask(backend, job_id, Unique(key))
            else:
                await put(backend, job_id)
            await settle(backend, await start(backend, job_id), Failed(ERROR))
        assert await backend.control(QUEUE, RetryFailed(2)) == ["a", "c"]
        assert await backend.control(QUEUE, RetryFailed()) == ["d"]
        assert await order(backend, JobState.FAILED) == ["b"]

    # For a time.

    async def test_a_throttled_key_is_held_for_its_time(self, backend: Backend, clock: ManualClock) -> None:
        assert await stands(backend, "a", THROTTLE) == "a"
        await settle(backend, await start(backend, "a"), Completed(b"1"))
        await clock.advance(seconds=9.999)
        answer = await ask(backend, "b", THROTTLE)
        assert (answer.created, answer.record.id, answer.record.state) == (False, "a", JobState.COMPLETED)
        await clock.advance(seconds=0.001)
        assert await stands(backend, "b", THROTTLE) == "b"

    async def test_a_throttled_key_is_free_after_its_time(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", THROTTLE)
        await clock.advance(seconds=10)
        assert await stands(backend, "b", THROTTLE) == "b"
        await settle(backend, await start(backend, "a"), Completed())
        assert await stands(backend, "c", THROTTLE) == "b"

    async def test_one_that_is_gone_still_stands_for_its_time(self, backend: Backend, clock: ManualClock) -> None:
        since_ms = clock.now_ms()
        await ask(backend, "a", THROTTLE)
        await settle(backend, await start(backend, "a"), Failed(ERROR, Retention(0)))
        await clock.advance(seconds=1)
        answer = await ask(backend, "b", THROTTLE, data=b"2")
        assert (answer.created, answer.record.id, answer.record.state) == (False, "a", JobState.FAILED)
        assert (answer.record.data, answer.record.created_ms, answer.record.unique) == (b"2", since_ms, "k")
        assert await state(backend, "a") is None

    async def test_one_that_was_removed_does_not(self, backend: Backend) -> None:
        await ask(backend, "a", THROTTLE)
        await backend.amend(QUEUE, "a", Remove())
        assert await stands(backend, "b", THROTTLE) == "b"

    async def test_upkeep_forgets_what_was_held_for_a_time(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [unique_job(f"j{n}", Unique(f"k{n}", ttl=10)) for n in range(3)])
        await clock.advance(seconds=10)
        assert (await backend.upkeep(QUEUE, Upkeep(limit=2))).more
        assert not (await backend.upkeep(QUEUE, Upkeep(limit=2))).more
