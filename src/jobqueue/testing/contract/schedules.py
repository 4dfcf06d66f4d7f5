"""Schedules: changed only as they were seen, fired once a tick, told to whoever sleeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobqueue.backends.protocol import (
    SCHEDULES_CHANGED,
    Backend,
    Clean,
    NewRecord,
    Obliterate,
    Pause,
    Presence,
    Purge,
    Upkeep,
)
from jobqueue.backends.scheduling import HELD_MS, Firing, ScheduleChange, ScheduleRecord
from jobqueue.errors import BackendFull
from jobqueue.model.outcome import Completed, Failed, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, order, put, settle, state


def change(schedule: str, due_ms: int | None, *, revision: str = "r1", **more: object) -> ScheduleChange:
    """A schedule that is due then."""
    made = ScheduleChange(schedule, "", None, revision, b"{}", b"[]", due_ms, due_ms, anchor_ms=5)
    return replace(made, **more)


def tick(schedule: str, tick_ms: int, next_ms: int | None, *job_ids: str, **more: object) -> Firing:
    """A firing that puts these jobs in."""
    jobs = tuple(NewRecord(job_id, "report.nightly", b"1") for job_id in job_ids)
    return replace(Firing(schedule, "r1", tick_ms, jobs, next_ms, next_ms), **more)


async def stored(backend: Backend, schedule: str) -> ScheduleRecord:
    """The schedule, which must be there."""
    (record,) = (await backend.find_schedules(QUEUE, ids=[schedule])).records
    return record


async def due(backend: Backend, limit: int = 10) -> list[str]:
    """What is handed out now."""
    return [record.id for record in (await backend.due_schedules(QUEUE, limit)).records]


class ScheduleContract:
    """:class:`jobqueue.backends.scheduling.Scheduling`."""

    async def test_a_schedule_is_kept_as_it_was_written(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        assert await backend.write_schedule(QUEUE, change("a", now + 500, tick_ms=now + 400, declared=True))
        found = await backend.find_schedules(QUEUE)
        assert (found.now_ms, found.total) == (now, 1)
        assert found.records == (
            ScheduleRecord("a", b"{}", b"[]", "r1", now + 400, now + 500, anchor_ms=5, declared=True),
        )
        assert await backend.queues() == [QUEUE]

    async def test_a_change_asks_for_what_it_has_seen(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        assert await backend.write_schedule(QUEUE, change("a", now))
        assert not await backend.write_schedule(QUEUE, change("a", now, revision="r2"))
        assert not await backend.write_schedule(QUEUE, change("a", now, revision="r2", expected="r1"))
        assert await backend.write_schedule(
            QUEUE, change("a", None, revision="r2", expected="r1", expected_tick_ms=now, paused=True)
        )
        record = await stored(backend, "a")
        assert (record.revision, record.tick_ms, record.due_ms, record.paused) == ("r2", None, None, True)
        assert await due(backend) == []

    async def test_a_change_that_is_repeated_is_recognised(self, backend: Backend, clock: ManualClock) -> None:
        first = change("a", clock.now_ms())
        assert await backend.write_schedule(QUEUE, first)
        assert await backend.write_schedule(QUEUE, first)

    async def test_a_change_never_brings_a_fired_tick_back(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        await backend.fire_schedules(QUEUE, [tick("a", now, now + 1000, "a:1")])
        assert not await backend.write_schedule(
            QUEUE, change("a", now, revision="r2", expected="r1", expected_tick_ms=now)
        )

    async def test_a_queue_has_so_many_schedules_and_no_more(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        for schedule in "ab":
            await backend.write_schedule(QUEUE, change(schedule, now, most=2))
        with pytest.raises(BackendFull, match="2 schedules"):
            await backend.write_schedule(QUEUE, change("c", now, most=2))
        assert await backend.write_schedule(
            QUEUE, change("b", now, revision="r2", expected="r1", expected_tick_ms=now, most=2)
        )

    async def test_removing(self, backend: Backend, clock: ManualClock) -> None:
        await backend.write_schedule(QUEUE, change("a", clock.now_ms(), declared=True))
        assert await backend.remove_schedule(QUEUE, "a")
        assert not await backend.remove_schedule(QUEUE, "a")
        assert (await backend.find_schedules(QUEUE)).total == 0
        assert (await backend.find_schedules(QUEUE, declared=True)).records == ()
        assert await due(backend) == []

    async def test_they_are_listed_by_when_they_are_due(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        for schedule, due_ms in (("paused", None), ("later", now + 9000), ("soon", now + 10), ("ended", None)):
            await backend.write_schedule(QUEUE, change(schedule, due_ms, declared=due_ms is None))

        async def listed(limit: int = 100, offset: int = 0) -> list[str]:
            return [record.id for record in (await backend.find_schedules(QUEUE, limit=limit, offset=offset)).records]

        assert await listed() == ["soon", "later", "ended", "paused"]
        assert await listed(limit=2, offset=1) == ["later", "ended"]
        assert await listed(limit=0) == []
        declared = await backend.find_schedules(QUEUE, declared=True)
        assert [record.id for record in declared.records] == ["ended", "paused"]
        both = await backend.find_schedules(QUEUE, ids=["later", "nobody", "soon"])
        assert [record.id for record in both.records] == ["later", "soon"]

    async def test_what_is_due_is_handed_out_once_for_a_while(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        for place, schedule in enumerate("abc"):
            await backend.write_schedule(QUEUE, change(schedule, now + 100 * place))
        first = await backend.due_schedules(QUEUE, 10)
        assert ([record.id for record in first.records], first.next_in_ms) == (["a"], 100)
        await clock.advance(milliseconds=200)
        second = await backend.due_schedules(QUEUE, 1)
        assert ([record.id for record in second.records], second.next_in_ms) == (["b"], 0)
        assert await due(backend) == ["c"]
        third = await backend.due_schedules(QUEUE, 10)
        assert (third.records, third.next_in_ms) == ((), HELD_MS - 200)
        await clock.advance(milliseconds=HELD_MS)
        assert await due(backend) == ["a", "b", "c"]
        assert (await stored(backend, "a")).due_ms == now

    async def test_nothing_in_sight(self, backend: Backend) -> None:
        assert (await backend.due_schedules(QUEUE, 10)).next_in_ms is None
        await backend.write_schedule(QUEUE, change("a", None))
        assert (await backend.due_schedules(QUEUE, 10)).next_in_ms is None

    async def test_one_tick_one_job(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        firing = tick("a", now, now + 1000, "a:1")
        assert await backend.fire_schedules(QUEUE, [firing]) == [1]
        (lease,) = await claim(backend, 9)
        await settle(backend, lease, Completed(None, Retention(0)))
        # The job is gone, and with it all that would tell that its tick was fired, but the schedule itself.
        assert await backend.fire_schedules(QUEUE, [firing]) == [None]
        assert await claim(backend, 9) == []
        record = await stored(backend, "a")
        assert (record.tick_ms, record.runs, record.last_job, record.last_ms) == (now + 1000, 1, "a:1", now)

    async def test_a_firing_under_another_definition_is_refused(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now, revision="r2"))
        answers = await backend.fire_schedules(QUEUE, [tick("a", now, None, "a:1"), tick("nobody", now, None, "b:1")])
        assert answers == [None, None]
        assert await order(backend) == []

    async def test_many_are_fired_together_with_what_their_jobs_ask_for(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        now = clock.now_ms()
        for schedule in "abc":
            await backend.write_schedule(QUEUE, change(schedule, now))
        await put(backend, "before")
        urgent = NewRecord("b:1", "t", b'{"n":1}', priority=1, options=b'{"timeout":5}', expires_in_ms=5000)
        firings = [
            tick("a", now, now + 1000, "a:1", "a:2"),
            replace(tick("b", now, None), jobs=(urgent,)),
            replace(tick("c", now, None), jobs=(NewRecord("c:1", "t", b"1", lifo=True),)),
        ]
        assert await backend.fire_schedules(QUEUE, firings) == [2, 1, 1]
        assert await order(backend) == ["b:1", "c:1", "before", "a:1", "a:2"]
        record = await backend.get(QUEUE, "b:1")
        assert record is not None
        assert (record.data, record.options, record.expires_ms) == (b'{"n":1}', b'{"timeout":5}', now + 5000)
        assert await due(backend) == []
        assert (await stored(backend, "a")).runs == 2

    async def test_a_job_that_is_there_already_counts_as_put_in(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await put(backend, "a:1")
        await backend.write_schedule(QUEUE, change("a", now))
        assert await backend.fire_schedules(QUEUE, [tick("a", now, now + 1000, "a:1")]) == [1]
        assert await order(backend) == ["a:1"]

    async def test_a_tick_may_put_nothing_in(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        assert await backend.fire_schedules(QUEUE, [tick("a", now, now + 1000)]) == [0]
        record = await stored(backend, "a")
        assert (record.tick_ms, record.runs, record.skipped, record.last_ms) == (now + 1000, 0, 0, None)

    async def test_alone_leaves_ticks_out_while_the_last_job_is_unfinished(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))

        async def fire(number: int, *more: str) -> int | None:
            firing = tick("a", now + number, now + number + 1, f"a:{number}", *more, alone=True)
            return (await backend.fire_schedules(QUEUE, [firing]))[0]

        assert await fire(0, "a:more") == 1
        assert await fire(1) == 0
        (lease,) = await claim(backend)
        assert await fire(2) == 0
        await settle(backend, lease, Failed(ERROR))
        assert await fire(3) == 1
        record = await stored(backend, "a")
        assert (record.runs, record.skipped, record.last_job) == (2, 3, "a:3")

    async def test_alone_heeds_the_last_tick_though_one_by_hand_came_after_it(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        await backend.fire_schedules(QUEUE, [tick("a", now, now + 1, "a:0", alone=True)])
        (ticked,) = await claim(backend)
        await backend.fire_schedules(QUEUE, [tick("a", now + 1, None, "a:hand", by_hand=True)])
        (by_hand,) = await claim(backend)
        await settle(backend, by_hand, Completed())
        assert await backend.fire_schedules(QUEUE, [tick("a", now + 1, now + 2, "a:1", alone=True)]) == [0]
        await settle(backend, ticked, Completed())
        assert await backend.fire_schedules(QUEUE, [tick("a", now + 2, now + 3, "a:2", alone=True)]) == [1]

    async def test_the_limit_ends_it(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        await backend.fire_schedules(QUEUE, [tick("a", now, now + 1, "a:0", limit=2)])
        assert (await stored(backend, "a")).tick_ms == now + 1
        await backend.fire_schedules(QUEUE, [tick("a", now + 1, now + 2, "a:1", limit=2)])
        record = await stored(backend, "a")
        assert (record.tick_ms, record.due_ms, record.runs) == (None, None, 2)

    async def test_by_hand_moves_nothing(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now + 1000))
        by_hand = tick("a", now + 1000, None, "a:hand", by_hand=True)
        assert await backend.fire_schedules(QUEUE, [by_hand]) == [1]
        (lease,) = await claim(backend, 9)
        await settle(backend, lease, Completed(None, Retention(0)))
        assert await backend.fire_schedules(QUEUE, [by_hand]) == [1]
        assert await claim(backend, 9) == []
        record = await stored(backend, "a")
        assert (record.tick_ms, record.runs, record.last_job) == (now + 1000, 0, "a:hand")

    async def test_a_firing_wakes_a_worker(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        assert not await backend.wait(QUEUE, 0.01)
        await backend.fire_schedules(QUEUE, [tick("a", now, None, "a:1")])
        assert await backend.wait(QUEUE, 5)

    async def test_jobs_of_a_paused_queue_wait(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.control(QUEUE, Pause())
        await backend.write_schedule(QUEUE, change("a", now))
        assert await backend.fire_schedules(QUEUE, [tick("a", now, None, "a:1")]) == [1]
        assert await state(backend, "a:1") is JobState.WAITING
        assert not await backend.wait(QUEUE, 0.01)

    async def test_purge_and_clean_leave_schedules_alone(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        await backend.write_schedule(QUEUE, change("a", now))
        await backend.fire_schedules(QUEUE, [tick("a", now, now + 1000, "a:1")])
        await backend.control(QUEUE, Purge(delayed=True))
        await backend.control(QUEUE, Clean(JobState.COMPLETED))
        assert (await stored(backend, "a")).tick_ms == now + 1000
        await clock.advance(seconds=1)
        assert await due(backend) == ["a"]

    async def test_obliterate_takes_schedules_too(self, backend: Backend, clock: ManualClock) -> None:
        await backend.write_schedule(QUEUE, change("a", clock.now_ms(), declared=True))
        await put(backend, "job")
        await backend.control(QUEUE, Obliterate())
        assert (await backend.find_schedules(QUEUE)).total == 0
        assert await due(backend) == []

    async def test_upkeep_says_when_a_schedule_is_due(self, backend: Backend, clock: ManualClock) -> None:
        assert (await backend.upkeep(QUEUE, Upkeep())).schedules_in_ms is None
        await backend.write_schedule(QUEUE, change("a", clock.now_ms() + 700))
        assert (await backend.upkeep(QUEUE, Upkeep())).schedules_in_ms == 700
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).schedules_in_ms == 0

    async def test_all_workers_are_told_of_what_is_due_earlier(self, backend: Backend, clock: ManualClock) -> None:
        now = clock.now_ms()
        for worker in ("v", "w"):
            await backend.upkeep(QUEUE, Upkeep(presence=Presence(worker, "h", 1, 1, 0, 0)))
        await backend.write_schedule(QUEUE, change("a", now + 5000))
        for worker in ("v", "w"):
            assert await backend.orders(QUEUE, worker, 5) == [SCHEDULES_CHANGED]
        await backend.write_schedule(QUEUE, change("later", now + 6000))
        assert await backend.orders(QUEUE, "v", 0.01) == []
        await backend.write_schedule(QUEUE, change("sooner", now + 10))
        assert await backend.orders(QUEUE, "v", 5) == [SCHEDULES_CHANGED]
