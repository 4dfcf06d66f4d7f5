"""Schedules: the handle on what a queue does by the clock."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from jobqueue.backends.protocol import Backend
from jobqueue.backends.scheduling import Firing, ScheduleChange, ScheduleRecord
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.errors import BadSignature, InvalidOption, JobQueueError, KeyHeld, ScheduleNotFound
from jobqueue.ids import new_job_id
from jobqueue.job import Job
from jobqueue.model.asked import page
from jobqueue.model.naming import checked_name
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.plan import Plan
from jobqueue.model.refused import Refused
from jobqueue.new_job import JobDefaults
from jobqueue.schedule import Schedule, job_bytes, job_of, record_for
from jobqueue.stored_schedule import StoredSchedule

_TRIES = 20
"""How often a change is begun anew because somebody else changed the schedule at the same time."""


class Schedules:
    """What a queue does by the clock; ``queue.schedules`` is one.

    Every operation raises BackendError where the backend cannot do it. Times are the backend's, so that a wrong clock
    here does no harm.
    """

    def __init__(self, queue: str, backend: Callable[[], Awaitable[Backend]], defaults: JobDefaults) -> None:
        self._queue = queue
        self._backend = backend
        self._defaults = defaults

    async def put(self, schedule: Schedule) -> StoredSchedule:
        """Make a schedule, or change the one of that id, its next run included.

        What is already so is left alone, so that it can be called at every start. A changed one keeps what it has
        counted, and stays paused if it was; where the times are the same, the next run is too. Raises InvalidInput,
        with nothing written, also if it would never run; BackendFull where the queue has 100 000.
        """
        if not isinstance(schedule, Schedule):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"put takes a Schedule(id, …, job=NewJob(…)), not {type(schedule).__name__}")
        job = job_bytes(schedule.job, self._defaults, KNOWN_TYPES)
        return await put_schedule(await self._backend(), self._queue, schedule.id, schedule.plan, job)

    async def get(self, schedule_id: str) -> StoredSchedule | None:
        """The schedule, or None."""
        record, _ = await _look(await self._backend(), self._queue, checked_name("schedule", schedule_id))
        return None if record is None else StoredSchedule(record)

    async def list(self, *, limit: int = 100, offset: int = 0) -> builtins.list[StoredSchedule]:
        """Schedules by when they run next; those that are paused or have ended come last.

        ``limit`` is at most 1000 a call. Raises InvalidOption.
        """
        page(limit, offset)
        found = await (await self._backend()).find_schedules(self._queue, limit=limit, offset=offset)
        return [StoredSchedule(record) for record in found.records]

    async def count(self) -> int:
        """How many there are; O(1)."""
        return (await (await self._backend()).find_schedules(self._queue, limit=0)).total

    async def pause(self, schedule_id: str) -> StoredSchedule:
        """It does not run until it is resumed, however often it is put meanwhile. Raises ScheduleNotFound."""
        return await self._change(schedule_id, paused=True)

    async def resume(self, schedule_id: str) -> StoredSchedule:
        """Undo a pause: it goes on with the first tick from now on. Raises ScheduleNotFound."""
        return await self._change(schedule_id, paused=False)

    async def run_now(self, schedule_id: str) -> Job[Any, Any]:
        """Put its job in now, also if it is paused, has ended, or its last job still runs.

        Its ticks and its limit are untouched by that. Raises ScheduleNotFound, BackendFull; KeyHeld where its job has a
        unique key, and another one stands.
        """
        backend = await self._backend()
        made = f"{checked_name('schedule', schedule_id)}:{new_job_id()}"
        for _ in range(_TRIES):
            record, _ = await self._existing(backend, schedule_id)
            job = record_for(job_of(record.job), made)
            firing = Firing(record.id, record.revision, record.tick_ms, (job,), by_hand=True)
            if (await backend.fire_schedules(self._queue, [firing]))[0] is not None:
                stored = await backend.get(self._queue, made)
                known = KNOWN_TYPES.get(job.type)
                if stored is None and job.unique is not None:
                    raise KeyHeld(f"schedule {schedule_id!r} has put nothing in: another job stands for its unique key")
                if stored is None:
                    # It has run, and was not to be kept.
                    raise JobQueueError(f"job {made!r} has run already and is not kept")
                return Job(
                    stored,
                    backend,
                    payload=known.data if known else ANY_JSON,
                    result_payload=known.result if known else ANY_JSON,
                )
        raise _contended(schedule_id)

    async def remove(self, schedule_id: str) -> bool:
        """Forget a schedule; False if there was none. Jobs that it has put in stay.

        One that is declared in code comes back when a worker starts: pause it instead.
        """
        backend = await self._backend()
        return await backend.remove_schedule(self._queue, checked_name("schedule", schedule_id))

    async def _existing(self, backend: Backend, schedule_id: str) -> tuple[ScheduleRecord, int]:
        record, now_ms = await _look(backend, self._queue, checked_name("schedule", schedule_id))
        if record is None:
            raise ScheduleNotFound(f"no schedule {schedule_id!r} in queue {self._queue!r}")
        return record, now_ms

    async def _change(self, schedule_id: str, *, paused: bool) -> StoredSchedule:
        backend = await self._backend()
        for _ in range(_TRIES):
            record, now_ms = await self._existing(backend, schedule_id)
            if record.paused == paused:
                return StoredSchedule(record)
            if isinstance(record.job, Refused):
                # Writing it back would lose it for those who have the key.
                raise BadSignature(f"schedule {record.id!r} cannot be changed here: its job {record.job.why}")
            plan = None if paused else Plan.decode(record.plan)
            tick_ms = None if plan is None else _next(plan, record, now_ms, record.anchor_ms)
            change = ScheduleChange(
                id=record.id,
                expected=record.revision,
                expected_tick_ms=record.tick_ms,
                revision=secrets.token_hex(8),
                plan=record.plan,
                job=record.job,
                tick_ms=tick_ms,
                due_ms=None if plan is None or tick_ms is None else plan.due_ms(record.id, tick_ms),
                anchor_ms=record.anchor_ms,
                paused=paused,
                declared=record.declared,
            )
            if await backend.write_schedule(self._queue, change):
                return StoredSchedule(_written(record, change))
        raise _contended(schedule_id)


async def put_schedule(
    backend: Backend, queue: str, schedule: str, plan: Plan, job: bytes, *, declared: bool = False
) -> StoredSchedule:
    """Make or change a schedule; see ``Schedules.put``."""
    stored_plan = plan.encode()
    for _ in range(_TRIES):
        known, now_ms = await _look(backend, queue, schedule)
        if known is not None and (known.plan, known.job, known.declared) == (stored_plan, job, declared):
            return StoredSchedule(known)
        same_times = known is not None and _timing(known) == plan.timing
        anchor_ms = known.anchor_ms if known is not None and same_times else now_ms
        if not declared and plan.after(now_ms, anchor_ms) is None:
            # What the code declares ends one day while the code is still there: workers start all the same.
            raise InvalidOption(f"schedule {schedule!r} would never run: there is no such time between now and its end")
        paused = known is not None and known.paused
        kept_ms = known.tick_ms if known is not None and same_times else None
        tick_ms = None if paused else _next(plan, known, now_ms, anchor_ms, kept_ms=kept_ms)
        change = ScheduleChange(
            id=schedule,
            expected="" if known is None else known.revision,
            expected_tick_ms=None if known is None else known.tick_ms,
            revision=secrets.token_hex(8),
            plan=stored_plan,
            job=job,
            tick_ms=tick_ms,
            due_ms=None if tick_ms is None else plan.due_ms(schedule, tick_ms),
            anchor_ms=anchor_ms,
            paused=paused,
            declared=declared,
        )
        if await backend.write_schedule(queue, change):
            return StoredSchedule(_written(known, change))
    raise _contended(schedule)


def _next(
    plan: Plan, known: ScheduleRecord | None, now_ms: int, anchor_ms: int, *, kept_ms: int | None = None
) -> int | None:
    """The tick that comes next: ``kept_ms`` if there is one; none once it has run as often as it may."""
    if known is not None and plan.limit is not None and known.runs >= plan.limit:
        return None
    return plan.after(now_ms, anchor_ms) if kept_ms is None else kept_ms


def _timing(record: ScheduleRecord) -> tuple[object, ...] | None:
    try:
        return Plan.decode(record.plan).timing
    except InvalidOption:
        return None


def _written(known: ScheduleRecord | None, change: ScheduleChange) -> ScheduleRecord:
    made = ScheduleRecord(
        id=change.id,
        plan=change.plan,
        job=change.job,
        revision=change.revision,
        tick_ms=change.tick_ms,
        due_ms=change.due_ms,
        anchor_ms=change.anchor_ms,
        paused=change.paused,
        declared=change.declared,
    )
    if known is None:
        return made
    return replace(made, runs=known.runs, skipped=known.skipped, last_job=known.last_job, last_ms=known.last_ms)


async def _look(backend: Backend, queue: str, schedule: str) -> tuple[ScheduleRecord | None, int]:
    found = await backend.find_schedules(queue, ids=[schedule])
    return (found.records[0] if found.records else None), found.now_ms


def _contended(schedule: str) -> JobQueueError:
    return JobQueueError(f"schedule {schedule!r} is being changed by others all the time; try again")
