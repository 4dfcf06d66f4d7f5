"""Schedules from the outside: what a queue's handle shows, and what workers do by the clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from jobqueue import (
    BackendUnavailable,
    ConfigurationError,
    InvalidData,
    InvalidOption,
    Job,
    JobState,
    Keep,
    KeyHeld,
    NewJob,
    Queue,
    RegistrationError,
    Registry,
    Schedule,
    ScheduleNotFound,
    Worker,
)
from jobqueue.backends import Backend, MemoryBackend
from jobqueue.backends.scheduling import ScheduleChange
from jobqueue.model.plan import CatchUp
from jobqueue.testing import ManualClock

SLOW = 36_000.0
"""A lease so long that upkeep does not come in the way of a virtual day."""
NIGHTLY = NewJob("report.nightly", {"kind": "rent"})
MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    # A server under a busy machine may take its time, and no hour may pass before it has answered.
    return ManualClock(patience=5)


@pytest.fixture
def backend_clock(clock: ManualClock) -> ManualClock:
    return clock


@pytest.fixture
def ran(registry: Registry) -> list[str]:
    """The ids of the jobs that have run, in order."""
    ids: list[str] = []

    @registry.processor("report.nightly")
    async def report(job: Job) -> None:
        ids.append(job.id)

    return ids


@pytest.fixture
def reports(clock: ManualClock) -> Queue:
    """A queue in memory."""
    return Queue("reports", backend=MemoryBackend(clock=clock))


def hours(*numbers: int, schedule: str = "hourly") -> list[str]:
    """The ids of these hours' jobs."""
    return [f"{schedule}:{MIDNIGHT + timedelta(hours=number):%Y-%m-%dT%H:%M:%SZ}" for number in numbers]


async def asleep(clock: ManualClock) -> None:
    """Once the worker has had its first answers of a real server: its upkeep and its reminder sleep on the clock."""
    quiet = 0
    for _ in range(20_000):
        quiet = quiet + 1 if clock.sleepers >= 2 else 0
        if quiet == 20:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the worker does not come to rest")


class TestHandle:
    """Without any worker, on every backend."""

    async def test_what_is_put_is_shown(self, tickets: Queue) -> None:
        made = await tickets.schedules.put(
            Schedule("nightly", cron="0 0 * * *", timezone="Europe/Berlin", limit=9, jitter=0, job=NIGHTLY)
        )
        found = await tickets.schedules.get("nightly")
        assert found is not None
        berlin = ZoneInfo("Europe/Berlin")
        for shown in (made, found):
            assert (shown.id, shown.words) == ("nightly", "every day at 00:00, Europe/Berlin")
            assert shown.next_runs == [datetime(2026, 1, day, tzinfo=berlin) for day in range(2, 7)]
            assert shown.next_run == shown.next_runs[0]
            assert str(shown.next_run) == "2026-01-02 00:00:00+01:00"
            assert (shown.cron, shown.every, shown.timezone, shown.limit) == ("0 0 * * *", None, "Europe/Berlin", 9)
            assert (shown.job_type, shown.data, shown.priority) == ("report.nightly", {"kind": "rent"}, 3)
            assert (shown.paused, shown.ended, shown.declared, shown.runs) == (False, False, False, 0)
            assert (shown.last_run, shown.last_job_id) == (None, None)
        assert await tickets.schedules.get("other") is None

    async def test_putting_the_same_again_changes_nothing(self, tickets: Queue, clock: ManualClock) -> None:
        schedule = Schedule("s", every=60, job=NIGHTLY)
        first = await tickets.schedules.put(schedule)
        await clock.advance(seconds=40)
        assert (await tickets.schedules.put(schedule)).next_run == first.next_run

    async def test_a_change_reaches_the_next_run(self, tickets: Queue, clock: ManualClock) -> None:
        await tickets.schedules.put(Schedule("s", every=60, job=NIGHTLY))
        await clock.advance(seconds=40)
        # The same times: only what it does is another.
        changed = await tickets.schedules.put(Schedule("s", every=60, catch_up="one", job=NewJob("other", priority=1)))
        assert (changed.next_run, changed.job_type, changed.priority) == (MIDNIGHT + timedelta(seconds=60), "other", 1)
        changed = await tickets.schedules.put(Schedule("s", every=30, job=NIGHTLY))
        assert changed.next_run == MIDNIGHT + timedelta(seconds=70)
        assert await tickets.schedules.count() == 1

    async def test_a_pause_stays_until_it_is_resumed(self, tickets: Queue, clock: ManualClock) -> None:
        await tickets.schedules.put(Schedule("s", every=60, job=NIGHTLY))
        assert (await tickets.schedules.pause("s")).paused
        assert (await tickets.schedules.pause("s")).paused
        changed = await tickets.schedules.put(Schedule("s", every=30, job=NIGHTLY))
        assert (changed.paused, changed.next_run, changed.next_runs) == (True, None, [])
        await clock.advance(seconds=100)
        resumed = await tickets.schedules.resume("s")
        assert (resumed.paused, resumed.next_run) == (False, MIDNIGHT + timedelta(seconds=120))

    async def test_the_order_of_the_list(self, tickets: Queue) -> None:
        for schedule, every in (("slow", 3600), ("fast", 1), ("paused", 1)):
            await tickets.schedules.put(Schedule(schedule, every=every, job=NIGHTLY))
        await tickets.schedules.pause("paused")
        assert [found.id for found in await tickets.schedules.list()] == ["fast", "slow", "paused"]
        assert [found.id for found in await tickets.schedules.list(limit=1, offset=1)] == ["slow"]
        with pytest.raises(InvalidOption):
            await tickets.schedules.list(limit=5000)

    async def test_run_now(self, tickets: Queue) -> None:
        await tickets.schedules.put(Schedule("s", every=60, limit=1, job=NIGHTLY))
        await tickets.schedules.pause("s")
        job = await tickets.schedules.run_now("s")
        assert (job.state, job.type, job.data) == (JobState.WAITING, "report.nightly", {"kind": "rent"})
        assert (await tickets.schedules.run_now("s")).id != job.id
        shown = await tickets.schedules.get("s")
        assert shown is not None
        assert (shown.runs, shown.paused, shown.last_run) == (0, True, MIDNIGHT)

    async def test_run_now_says_that_another_stands(self, tickets: Queue) -> None:
        await tickets.schedules.put(Schedule("s", every=60, job=NewJob("report.nightly", unique="report")))
        await tickets.enqueue("report.nightly", unique="report")
        with pytest.raises(KeyHeld, match="put nothing in"):
            await tickets.schedules.run_now("s")
        assert (await tickets.counts()).waiting == 1

    async def test_removing(self, tickets: Queue) -> None:
        await tickets.schedules.put(Schedule("s", every=60, job=NIGHTLY))
        assert await tickets.schedules.remove("s")
        assert not await tickets.schedules.remove("s")
        for operation in (tickets.schedules.pause, tickets.schedules.resume, tickets.schedules.run_now):
            with pytest.raises(ScheduleNotFound, match="'s' in queue 'tickets'"):
                await operation("s")

    async def test_what_would_never_run_is_refused(self, tickets: Queue, clock: ManualClock) -> None:
        with pytest.raises(InvalidOption, match="never run"):
            await tickets.schedules.put(Schedule("s", every=60, end=MIDNIGHT, job=NIGHTLY))
        with pytest.raises(InvalidData):
            await tickets.schedules.put(Schedule("s", every=60, job=NewJob("x", object())))
        with pytest.raises(InvalidOption, match="takes a Schedule"):
            await tickets.schedules.put("s")  # pyright: ignore[reportArgumentType]
        assert await tickets.schedules.count() == 0
        known = await tickets.schedules.put(Schedule("s", every=60, job=NIGHTLY))
        with pytest.raises(InvalidOption, match="never run"):
            await tickets.schedules.put(Schedule("s", every=30, end=MIDNIGHT, job=NIGHTLY))
        found = await tickets.schedules.get("s")
        assert found is not None
        assert (found.next_run, found.every, found.ended) == (known.next_run, 60, False)

    async def test_a_day_of_hours(self, tickets: Queue, registry: Registry, ran: list[str], clock: ManualClock) -> None:
        await tickets.schedules.put(Schedule("hourly", cron="@hourly", job=NIGHTLY))
        async with Worker(tickets, registry=registry, clock=clock, lease=SLOW) as worker:
            await asleep(clock)
            await clock.advance(hours=24)
            await worker.drain()
        assert ran == hours(*range(1, 25))


class TestFiring:
    """A worker, in virtual time."""

    async def test_one_run_for_each_tick_with_ten_workers(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock
    ) -> None:
        await reports.schedules.put(Schedule("hourly", cron="@hourly", job=NewJob("report.nightly", keep=Keep(0))))
        workers = [Worker(reports, registry=registry, clock=clock, lease=SLOW) for _ in range(10)]
        for worker in workers:
            await worker.start()
        await clock.advance(hours=12)
        for worker in workers:
            await worker.drain()
            await worker.stop()
        assert ran == hours(*range(1, 13))

    async def test_what_is_put_while_workers_sleep_is_on_time(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock
    ) -> None:
        await reports.schedules.put(Schedule("yearly", cron="@yearly", job=NIGHTLY))
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(seconds=10)
            await reports.schedules.put(Schedule("soon", every=1, limit=1, job=NIGHTLY))
            await clock.advance(seconds=1.001)
            await worker.drain()
        assert ran == ["soon:2026-01-01T00:00:11Z"]

    @pytest.mark.parametrize(
        ("catch_up", "caught_up"), [("skip", []), ("one", [10]), ("all", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])]
    )
    async def test_after_a_night_without_workers(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock,
        catch_up: CatchUp, caught_up: Sequence[int], caplog: pytest.LogCaptureFixture,
    ) -> None:  # fmt: skip
        caplog.set_level(logging.INFO, logger="jobqueue")
        await reports.schedules.put(Schedule("hourly", cron="@hourly", catch_up=catch_up, job=NIGHTLY))
        await clock.advance(hours=10, minutes=30)
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(seconds=1)
            await worker.drain()
            assert ran == hours(*caught_up)
            await clock.advance(hours=1)
            await worker.drain()
        assert ran == hours(*caught_up, 11)
        missed = [vars(record) for record in caplog.records if record.message == "schedule.missed"]
        assert [(record["schedule"], record["since"]) for record in missed] == (
            [] if catch_up == "all" else [("hourly", "2026-01-01T01:00:00+00:00")]
        )

    async def test_overlap(self, reports: Queue, registry: Registry, clock: ManualClock) -> None:
        @registry.processor("slow")
        async def slow(job: Job) -> None:
            await clock.sleep(20_000)

        for overlap in ("skip", "allow"):
            await reports.schedules.put(Schedule(overlap, cron="@hourly", overlap=overlap, job=NewJob("slow")))
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW, grace=0):
            await clock.advance(hours=3, minutes=1)
            counted = {found.id: (found.runs, found.skipped) for found in await reports.schedules.list()}
        assert counted == {"skip": (1, 2), "allow": (3, 0)}

    async def test_start_end_and_limit(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock
    ) -> None:
        start, end = MIDNIGHT + timedelta(hours=2), MIDNIGHT + timedelta(hours=4)
        await reports.schedules.put(Schedule("bounded", every=3600, start=start, end=end, job=NIGHTLY))
        await reports.schedules.put(Schedule("limited", every=3600, start=start, limit=2, job=NIGHTLY))
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=12)
            await worker.drain()
        assert sorted(ran) == [*hours(2, 3, 4, schedule="bounded"), *hours(2, 3, schedule="limited")]
        for found in await reports.schedules.list():
            assert (found.ended, found.next_run, found.next_runs) == (True, None, [])
        # More is allowed now, so it goes on.
        raised = await reports.schedules.put(Schedule("limited", every=3600, start=start, limit=3, job=NIGHTLY))
        assert (raised.ended, raised.runs) == (False, 2)
        assert raised.next_runs == [MIDNIGHT + timedelta(hours=13)]

    async def test_jitter(self, reports: Queue, registry: Registry, clock: ManualClock) -> None:
        started: list[float] = []

        @registry.processor("when")
        async def when(job: Job) -> None:
            started.append(clock.now().timestamp() % 3600)

        made = await reports.schedules.put(Schedule("s", cron="@hourly", jitter=600, job=NewJob("when")))
        expected = [run.timestamp() % 3600 for run in made.upcoming(8)]
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=8, minutes=30)
            await worker.drain()
        assert started == expected
        assert len(set(started)) == 8
        assert max(started) <= 600

    async def test_a_failing_job_does_not_stop_its_schedule(
        self, reports: Queue, registry: Registry, clock: ManualClock
    ) -> None:
        @registry.processor("bad", retry=False)
        async def bad(job: Job) -> None:
            raise ValueError("no")

        await reports.schedules.put(Schedule("s", cron="@hourly", overlap="skip", job=NewJob("bad")))
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=3)
            await worker.drain()
        assert (await reports.counts()).failed == 3

    async def test_a_paused_queue_gathers_runs(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock
    ) -> None:
        await reports.schedules.put(Schedule("hourly", cron="@hourly", job=NIGHTLY))
        await reports.pause()
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=2)
            assert ran == []
            assert (await reports.counts()).waiting == 2
            await reports.resume()
            await worker.drain()
        assert ran == hours(1, 2)

    async def test_a_busy_worker_fires_all_the_same(
        self, reports: Queue, registry: Registry, clock: ManualClock
    ) -> None:
        @registry.processor("long")
        async def long(job: Job) -> None:
            await clock.sleep(20_000)

        await reports.schedules.put(Schedule("hourly", cron="@hourly", job=NIGHTLY))
        await reports.enqueue("long")
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW, concurrency=1, grace=0):
            await clock.advance(hours=4)
            assert (await reports.counts()).waiting == 4

    async def test_a_removed_schedule_stops(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock
    ) -> None:
        await reports.schedules.put(Schedule("hourly", cron="@hourly", job=NIGHTLY))
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=1)
            await reports.schedules.remove("hourly")
            await clock.advance(hours=5)
            await worker.drain()
        assert ran == hours(1)

    async def test_one_that_cannot_be_read_stops_no_other(
        self, reports: Queue, registry: Registry, ran: list[str], clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        await reports.schedules.put(Schedule("hourly", cron="@hourly", job=NIGHTLY))
        backend = await reports.backend()
        await reports.schedules.put(Schedule("broken", cron="@hourly", job=NIGHTLY))
        assert isinstance(backend, MemoryBackend)
        await _spoil(backend, "broken")
        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=2)
            await worker.drain()
        assert ran == hours(1, 2)
        assert "schedule.unreadable" in caplog.messages
        broken = await reports.schedules.get("broken")
        assert broken is not None
        assert "cannot be read" in broken.words
        assert (broken.next_runs, broken.job_type) == ([], "?")
        assert (await reports.schedules.pause("broken")).paused
        assert await reports.schedules.remove("broken")


async def _spoil(backend: Backend, schedule: str) -> None:
    """What somebody with access to the storage could do."""
    (record,) = (await backend.find_schedules("reports", ids=[schedule])).records
    spoilt = ScheduleChange(
        schedule, record.revision, record.tick_ms, "spoilt", b"{", b"{", record.tick_ms, record.due_ms, 0
    )
    assert await backend.write_schedule("reports", spoilt)


class TestDeclared:
    """``@scheduled``."""

    @staticmethod
    def code(*, every: float | None = 3600, ran: list[str] | None = None) -> Registry:
        """One version of an application's code."""
        registry = Registry()

        async def report(job: Job) -> None:
            if ran is not None:
                ran.append(job.id)

        made = registry.processor("report.nightly", queue="reports")(report)
        if every is not None:
            registry.scheduled(every=every, data={"kind": "rent"}, priority=1)(made)
        return registry

    async def test_a_worker_puts_what_the_code_declares(self, reports: Queue, clock: ManualClock) -> None:
        ran: list[str] = []
        async with Worker(reports, registry=self.code(ran=ran), clock=clock, lease=SLOW) as worker:
            (found,) = await reports.schedules.list()
            assert (found.id, found.declared, found.words) == ("report.nightly", True, "every hour")
            assert (found.job_type, found.data, found.priority) == ("report.nightly", {"kind": "rent"}, 1)
            await clock.advance(hours=2)
            await worker.drain()
        assert ran == hours(1, 2, schedule="report.nightly")

    async def test_deploys(self, reports: Queue, clock: ManualClock) -> None:
        async def deploy(registry: Registry) -> None:
            async with Worker(reports, registry=registry, clock=clock, lease=SLOW):
                pass

        await deploy(self.code())
        await clock.advance(minutes=30)
        await deploy(self.code())
        (found,) = await reports.schedules.list()
        assert found.next_run == MIDNIGHT + timedelta(hours=1)

        await deploy(self.code(every=60))
        (found,) = await reports.schedules.list()
        assert found.next_run == MIDNIGHT + timedelta(minutes=31)

        await reports.schedules.pause("report.nightly")
        await deploy(self.code(every=90))
        (found,) = await reports.schedules.list()
        assert (found.paused, found.words) == (True, "every 90 seconds")

        await deploy(self.code(every=None))
        assert await reports.schedules.list() == []

    async def test_what_others_declare_or_people_put_is_left_alone(self, reports: Queue, clock: ManualClock) -> None:
        others = Registry()

        @others.scheduled("@daily", id="of-others", queue="reports")
        @others.processor("elsewhere.done")
        async def done(job: Job) -> None: ...

        await reports.schedules.put(Schedule("by-hand", every=60, job=NIGHTLY))
        for registry in (others, self.code(), self.code(every=None)):
            async with Worker(reports, registry=registry, clock=clock, lease=SLOW):
                pass
        assert sorted(found.id for found in await reports.schedules.list()) == ["by-hand", "of-others"]

    async def test_above_or_below_the_processor(self, reports: Queue, clock: ManualClock) -> None:
        registry = Registry()

        @registry.processor("below")
        @registry.scheduled("@daily")
        async def below(job: Job) -> None: ...

        @registry.scheduled("@daily")
        @registry.scheduled("@hourly", id="above.often")
        @registry.processor("above")
        async def above(job: Job) -> None: ...

        async with Worker(reports, registry=registry, clock=clock, lease=SLOW):
            assert sorted(found.id for found in await reports.schedules.list()) == ["above", "above.often", "below"]

    async def test_what_cannot_be_declared_is_refused_at_import(self) -> None:
        registry = Registry()

        @registry.processor("a")
        async def typed(job: Job[int]) -> None: ...

        with pytest.raises(InvalidOption, match="cannot be read"):
            registry.scheduled("every day")
        with pytest.raises(InvalidData):
            registry.scheduled("@daily", data="x")(typed)
        with pytest.raises(InvalidOption, match="leave delay"):
            registry.scheduled("@daily", data=1, delay=5)(typed)
        registry.scheduled("@daily", data=1)(typed)
        with pytest.raises(RegistrationError, match="id of its own"):
            registry.scheduled("@daily", data=2)(typed)

    async def test_one_that_has_ended_keeps_no_worker_from_starting(self, reports: Queue, clock: ManualClock) -> None:
        registry, ran = Registry(), list[str]()

        @registry.scheduled("@hourly", end=MIDNIGHT - timedelta(days=1), id="ended")
        @registry.scheduled("@hourly", id="hourly")
        @registry.processor("report.nightly")
        async def report(job: Job) -> None:
            ran.append(job.id)

        async with Worker(reports, registry=registry, clock=clock, lease=SLOW) as worker:
            await clock.advance(hours=2)
            await worker.drain()
        assert ran == hours(1, 2)
        ended = await reports.schedules.get("ended")
        assert ended is not None
        assert (ended.ended, ended.next_run, ended.runs) == (True, None, 0)

    async def test_which_queue_must_be_clear(self, reports: Queue, clock: ManualClock) -> None:
        registry = Registry()

        @registry.scheduled("@daily")
        @registry.processor("a")
        async def a(job: Job) -> None: ...

        other = Queue("other", backend=await reports.backend())
        with pytest.raises(ConfigurationError, match="names no queue"):
            await Worker(reports, other, registry=registry, clock=clock).start()

    async def test_a_schedule_without_a_processor_is_told(self, reports: Queue, clock: ManualClock) -> None:
        registry = Registry()

        @registry.scheduled("@daily")
        async def forgotten(job: Job) -> None: ...

        with pytest.raises(ConfigurationError, match="forgotten is @scheduled but no processor"):
            await Worker(reports, registry=registry, clock=clock).start()

    async def test_a_backend_that_is_away_at_start_is_asked_again(
        self, reports: Queue, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        backend = await reports.backend()
        real, refused = backend.find_schedules, 0

        async def away(*args: object, **kwargs: object) -> object:
            nonlocal refused
            refused += 1
            if refused <= 2:
                raise BackendUnavailable
            return await real(*args, **kwargs)  # pyright: ignore[reportArgumentType]

        write, written = backend.write_schedule, asyncio.Event()

        async def tell(queue: str, change: ScheduleChange) -> bool:
            done = await write(queue, change)
            written.set()
            return done

        monkeypatch.setattr(backend, "find_schedules", away)
        monkeypatch.setattr(backend, "write_schedule", tell)
        async with Worker(reports, registry=self.code(), clock=clock, lease=SLOW):
            await asyncio.wait_for(written.wait(), 20)
        assert refused > 2
