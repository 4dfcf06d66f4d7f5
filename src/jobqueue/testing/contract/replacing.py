"""Unique keys: jobs that take over what others asked for, and those kept until another is done."""

from __future__ import annotations

import pytest

from jobqueue.backends.protocol import (
    Backend,
    Cancel,
    Obliterate,
    Promote,
    Remove,
    Reschedule,
    Retry,
    Upkeep,
)
from jobqueue.backends.scheduling import Firing, ScheduleChange
from jobqueue.errors import InvalidState
from jobqueue.model.events import EventType
from jobqueue.model.outcome import Completed, Outcome, Parked, Released, RetryAt
from jobqueue.model.record import JobState
from jobqueue.model.unique import Unique
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, order, put, settle, state
from jobqueue.testing.contract.unique_steps import (
    BOTH,
    ENDS,
    LAST,
    REPLACE,
    THROTTLE,
    UNDONE,
    ask,
    found,
    plain,
    stands,
    start,
    told,
    undo,
    unique_job,
)


class ReplacingContract:
    """``Unique.replace`` and ``Unique.keep_last``."""

    # Replacing.

    async def test_a_delayed_job_is_replaced_and_its_time_counts_anew(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        first = await ask(backend, "a", REPLACE, delay_ms=1000, priority=5)
        await clock.advance(seconds=0.9)
        cursor = (await backend.events(QUEUE, None, 0)).cursor
        second = await ask(
            backend, "b", REPLACE, delay_ms=1000, type="other", options=b"{}", group="g", priority=1, expires_in_ms=9000
        )
        assert (second.created, second.record.id, second.record.state) == (False, "a", JobState.DELAYED)
        assert await told(backend, cursor, *EventType) == [(EventType.REPLACED, "a", "b")]
        record = await found(backend, "a")
        assert record == second.record
        assert (record.type, record.data, record.options, record.priority, record.group) == (
            "other", b'"b"', b"{}", 1, "g",
        )  # fmt: skip
        assert (record.created_ms, record.run_at_ms) == (first.record.created_ms, clock.now_ms() + 1000)
        assert record.expires_ms == clock.now_ms() + 9000
        await clock.advance(seconds=0.999)
        assert await claim(backend) == []
        await clock.advance(seconds=0.001)
        assert (await start(backend, "a")).data == b'"b"'
        assert await state(backend, "b") is None

    async def test_one_without_a_delay_lets_it_go_at_once(self, backend: Backend) -> None:
        await ask(backend, "a", REPLACE, delay_ms=1000, expires_in_ms=500)
        answer = await ask(backend, "b", REPLACE)
        assert (answer.record.state, answer.record.run_at_ms, answer.record.expires_ms) == (
            JobState.WAITING,
            None,
            None,
        )
        assert await backend.wait(QUEUE, 5)
        await start(backend, "a")

    async def test_a_waiting_job_is_replaced_in_its_place(self, backend: Backend) -> None:
        await put(backend, "x")
        await ask(backend, "a", REPLACE)
        await put(backend, "y")
        answer = await ask(backend, "b", REPLACE, delay_ms=1000)
        assert (answer.created, answer.record.state, answer.record.data) == (False, JobState.WAITING, b'"b"')
        assert await order(backend) == ["x", "a", "y"]

    async def test_one_of_another_priority_goes_there(self, backend: Backend) -> None:
        await put(backend, "x")
        await ask(backend, "a", REPLACE)
        await ask(backend, "b", REPLACE, priority=1)
        assert await order(backend) == ["a", "x"]
        await ask(backend, "c", REPLACE, priority=1, group="g")
        assert (await backend.group(QUEUE, "g")).waiting == 1
        assert sorted(lease.id for lease in await claim(backend, 2)) == ["a", "x"]

    async def test_one_that_has_begun_is_followed_by_a_new_one(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", REPLACE, delay_ms=100)
        await clock.advance(seconds=1)
        lease = await start(backend, "a")
        assert await stands(backend, "b", REPLACE, delay_ms=100) == "b"
        assert await stands(backend, "c", REPLACE, delay_ms=100) == "b"
        await settle(backend, lease, Completed())
        assert await stands(backend, "d", REPLACE, delay_ms=100) == "b"
        assert (await found(backend, "b")).data == b'"d"'

    @pytest.mark.parametrize("outcome", [RetryAt(500, ERROR), Released("snooze", 500)], ids=["retried", "snoozed"])
    async def test_one_between_two_attempts_has_begun(self, backend: Backend, outcome: Outcome) -> None:
        await ask(backend, "a", REPLACE)
        await settle(backend, await start(backend, "a"), outcome)
        assert await state(backend, "a") is JobState.DELAYED
        assert await stands(backend, "b", REPLACE, delay_ms=100) == "b"
        assert (await found(backend, "a")).data == b'"a"'

    async def test_in_a_batch_the_last_stays(self, backend: Backend) -> None:
        jobs = [unique_job(f"j{n}", REPLACE, delay_ms=1000 * (n + 1), lifo=n == 1) for n in range(3)]
        answers = await backend.enqueue(QUEUE, jobs)
        assert [(answer.record.id, answer.created) for answer in answers] == [
            ("j0", True),
            ("j0", False),
            ("j0", False),
        ]
        assert [answer.record.data for answer in answers] == 3 * [b'"j2"']
        assert await found(backend, "j0") == answers[0].record
        assert await order(backend, JobState.DELAYED) == ["j0"]

    async def test_by_hand_it_is_promoted_and_put_off_as_ever(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", REPLACE, delay_ms=1000)
        await backend.amend(QUEUE, "a", Reschedule(delay_ms=5000))
        assert await stands(backend, "b", REPLACE, delay_ms=2000) == "a"
        assert (await found(backend, "a")).run_at_ms == clock.now_ms() + 2000
        await backend.amend(QUEUE, "a", Promote())
        assert await stands(backend, "c", REPLACE, delay_ms=2000) == "a"
        assert (await start(backend, "a")).data == b'"c"'

    # Keeping the last.

    async def test_one_runs_and_one_comes_next(self, backend: Backend) -> None:
        await ask(backend, "a", LAST)
        lease = await start(backend, "a")
        cursor = (await backend.events(QUEUE, None, 0)).cursor
        answer = await ask(backend, "b", LAST)
        assert (answer.created, answer.record.id, answer.record.state) == (True, "b", JobState.BLOCKED)
        assert await stands(backend, "c", LAST) == "b"
        assert await stands(backend, "d", LAST) == "b"
        assert await claim(backend) == []
        await settle(backend, lease, Completed())
        assert await told(backend, cursor, EventType.ENQUEUED, EventType.REPLACED, EventType.UNBLOCKED) == [
            (EventType.ENQUEUED, "b", "t"),
            (EventType.REPLACED, "b", "c"),
            (EventType.REPLACED, "b", "d"),
            (EventType.UNBLOCKED, "b", ""),
        ]
        assert await backend.wait(QUEUE, 5)
        lease = await start(backend, "b")
        assert lease.data == b'"d"'
        assert await stands(backend, "e", LAST) == "e"
        await settle(backend, lease, Completed())
        await settle(backend, await start(backend, "e"), Completed())
        assert await stands(backend, "f", LAST) == "f"

    async def test_one_that_waits_takes_over_and_keeps_its_place(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", LAST, delay_ms=1000)
        assert await stands(backend, "b", LAST, delay_ms=5000) == "a"
        assert (await found(backend, "a")).run_at_ms == clock.now_ms() + 1000
        await clock.advance(seconds=1)
        lease = await start(backend, "a")
        assert lease.data == b'"b"'

    @pytest.mark.parametrize("end", ENDS)
    async def test_whatever_ends_it_the_next_waits_at_once(self, backend: Backend, end: str) -> None:
        await ask(backend, "a", LAST)
        lease = await start(backend, "a")
        await ask(backend, "b", LAST)
        await settle(backend, lease, ENDS[end])
        assert await order(backend) == ["b"]
        assert await stands(backend, "c") == "b"

    async def test_a_retry_is_not_an_end(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", LAST)
        await settle(backend, await start(backend, "a"), RetryAt(1000, ERROR))
        assert await stands(backend, "b", LAST) == "b"
        assert await state(backend, "b") is JobState.BLOCKED
        await clock.advance(seconds=1)
        await settle(backend, await start(backend, "a"), Completed())
        await start(backend, "b")

    @pytest.mark.parametrize("what", ["cancel", "remove", "purge"])
    async def test_one_undone_between_two_attempts_lets_the_next_go(self, backend: Backend, what: str) -> None:
        await ask(backend, "a", LAST)
        await settle(backend, await start(backend, "a"), Released("snooze", 500))
        await ask(backend, "b", LAST)
        await undo(backend, "a", UNDONE[what])
        assert await order(backend) == ["b"]

    async def test_expired_between_two_attempts(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", LAST, expires_in_ms=1000)
        await settle(backend, await start(backend, "a"), Released("snooze", 5000))
        await ask(backend, "b", LAST)
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).expired == ("a",)
        assert await order(backend) == ["b"]

    async def test_lost_workers_let_the_next_go_in_the_end(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", LAST)
        for round_ in range(2):
            await claim(backend, lease_ms=1000)
            assert await stands(backend, "b", LAST) == "b" if round_ == 0 else True
            assert await state(backend, "b") is JobState.BLOCKED
            await clock.advance(seconds=2)
            await backend.upkeep(QUEUE, Upkeep(max_stalls=2))
        assert await order(backend) == ["b"]
        assert await backend.wait(QUEUE, 5)

    async def test_a_parked_job_has_begun(self, backend: Backend) -> None:
        await ask(backend, "a", LAST)
        await settle(backend, await start(backend, "a"), Parked())
        assert await stands(backend, "b", LAST) == "b"
        await settle(backend, await start(backend, "a"), Completed())
        await start(backend, "b")

    async def test_the_next_has_its_own_delay(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", BOTH, delay_ms=100)
        assert await stands(backend, "b", BOTH, delay_ms=200) == "a"
        await clock.advance(milliseconds=200)
        lease = await start(backend, "a")
        assert await stands(backend, "c", BOTH, delay_ms=300) == "c"
        assert await stands(backend, "d", BOTH, delay_ms=400) == "c"
        await settle(backend, lease, Completed())
        record = await found(backend, "c")
        assert (record.state, record.run_at_ms, record.data) == (JobState.DELAYED, clock.now_ms() + 400, b'"d"')

    async def test_the_next_may_be_undone(self, backend: Backend) -> None:
        await ask(backend, "a", LAST)
        lease = await start(backend, "a")
        for undoing in (Cancel(), Remove()):
            job_id = f"{type(undoing).__name__}"
            assert await stands(backend, job_id, LAST) == job_id
            await backend.amend(QUEUE, job_id, undoing)
        with pytest.raises(InvalidState, match="'a' holds"):
            await backend.amend(QUEUE, "Cancel", Retry())
        assert await stands(backend, "b", LAST) == "b"
        await settle(backend, lease, Completed())
        await settle(backend, await start(backend, "b"), Completed())
        await backend.amend(QUEUE, "Cancel", Retry())
        await start(backend, "Cancel")

    async def test_the_next_expires_like_any_other(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", LAST)
        lease = await start(backend, "a")
        await ask(backend, "b", LAST, expires_in_ms=1000)
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).expired == ("b",)
        assert await stands(backend, "c", LAST) == "c"
        await settle(backend, lease, Completed())
        await start(backend, "c")

    async def test_others_wait_for_the_next_as_for_any_job(self, backend: Backend) -> None:
        await ask(backend, "a", LAST)
        lease = await start(backend, "a")
        await backend.enqueue(
            QUEUE,
            [unique_job("b", LAST), plain("heir", "b"), unique_job("c", LAST)],
        )
        assert await order(backend, JobState.BLOCKED) == ["b", "heir"]
        await settle(backend, lease, Completed())
        await settle(backend, await start(backend, "b"), Completed())
        await start(backend, "heir")

    async def test_a_throttled_one_is_followed_too(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", THROTTLE)
        lease = await start(backend, "a")
        assert await stands(backend, "b", LAST) == "b"
        await clock.advance(seconds=10)
        await backend.upkeep(QUEUE, Upkeep())
        await clock.advance(seconds=1)
        assert await stands(backend, "c") == "a"
        await settle(backend, lease, Completed())
        assert await order(backend) == ["b"]

    # With the rest.

    async def test_a_schedules_job_may_have_a_key(self, backend: Backend, clock: ManualClock) -> None:
        await ask(backend, "a", LAST)
        lease = await start(backend, "a")
        for number, stander in ((1, "s1"), (2, "s1"), (3, "s1")):
            tick = clock.now_ms()
            change = ScheduleChange(
                f"s{number}",
                "",
                None,
                "r1",
                b"{}",
                b"[]",
                tick,
                tick,
                anchor_ms=0,
                paused=False,
                declared=False,
                most=9,
            )
            assert await backend.write_schedule(QUEUE, change)
            firing = Firing(f"s{number}", "r1", tick, (unique_job(f"s{number}", LAST),), None, None, 0, False, False)
            assert await backend.fire_schedules(QUEUE, [firing]) == [1]
            (record,) = (await backend.find_schedules(QUEUE, ids=[f"s{number}"])).records
            assert record.last_job == stander
        assert (await found(backend, "s1")).data == b'"s3"'
        await settle(backend, lease, Completed())
        await start(backend, "s1")

    async def test_obliterate_forgets_keys(self, backend: Backend) -> None:
        await ask(backend, "a", LAST)
        await start(backend, "a")
        await ask(backend, "b", LAST)
        await ask(backend, "c", Unique("c", ttl=100))
        assert sorted(await backend.control(QUEUE, Obliterate(force=True))) == ["a", "b", "c"]
        assert await stands(backend, "d", LAST) == "d"
        assert await stands(backend, "e", Unique("c", ttl=100)) == "e"
