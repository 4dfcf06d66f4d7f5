"""StoredSchedule: a schedule as it stands, for whoever looks at it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jobqueue.backends.protocol import NewRecord
from jobqueue.backends.scheduling import ScheduleRecord
from jobqueue.errors import InvalidInput, InvalidOption
from jobqueue.model.cron import zone
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.plan import CatchUp, Overlap, Plan, upcoming
from jobqueue.model.times import moment
from jobqueue.schedule import job_of


class StoredSchedule:
    """A schedule as it stands: what it does, when, and what it has done."""

    def __init__(self, record: ScheduleRecord) -> None:
        self._record = record
        self._fault = ""
        try:
            self._plan, self._job = Plan.decode(record.plan), job_of(record.job)
        except InvalidInput as fault:
            # Somebody else wrote it, or its time zone is not known here: it can still be looked at, paused and removed.
            self._plan, self._job = Plan(), NewRecord("-", "?", b"null")
            self._fault = str(fault)

    @property
    def id(self) -> str:
        """Its name within the queue."""
        return self._record.id

    @property
    def words(self) -> str:
        """When it runs, in words: "every day at 00:00, Europe/Berlin"."""
        return f"cannot be read here: {self._fault}" if self._fault else self._plan.words

    @property
    def next_run(self) -> datetime | None:
        """When it runs next, in its time zone; None while it is paused, or once it has ended."""
        return None if self._record.due_ms is None else self._moment(self._record.due_ms)

    @property
    def next_runs(self) -> list[datetime]:
        """The next five runs, the first of which is ``next_run``; fewer where it ends before."""
        return self.upcoming(5)

    def upcoming(self, count: int) -> list[datetime]:
        """The next ``count`` runs (at most 1000). Raises InvalidOption."""
        if not 1 <= count <= 1000:
            raise InvalidOption(f"count must be from 1 to 1000, not {count!r}")
        record, plan = self._record, self._plan
        if self._fault:
            return []
        left = count if plan.limit is None else min(count, max(0, plan.limit - record.runs))
        ticks = upcoming(plan, record.tick_ms, record.anchor_ms, left) if left else []
        return [self._moment(plan.due_ms(record.id, tick)) for tick in ticks]

    @property
    def paused(self) -> bool:
        """Whether somebody has paused it."""
        return self._record.paused

    @property
    def ended(self) -> bool:
        """Whether it will never run again: its limit is reached, or its end."""
        return not self._record.paused and self._record.tick_ms is None

    @property
    def declared(self) -> bool:
        """Whether it was put by a worker, for a ``@scheduled`` in its code."""
        return self._record.declared

    @property
    def runs(self) -> int:
        """How many ticks have put a job in."""
        return self._record.runs

    @property
    def skipped(self) -> int:
        """How many ticks were left out because the last job was unfinished (``overlap="skip"``)."""
        return self._record.skipped

    @property
    def last_job_id(self) -> str | None:
        """The job that it put in last, by a tick or by hand."""
        return self._record.last_job or None

    @property
    def last_run(self) -> datetime | None:
        """When that was."""
        return None if self._record.last_ms is None else moment(self._record.last_ms)

    @property
    def cron(self) -> str | None:
        """The crontab line."""
        return self._plan.cron

    @property
    def every(self) -> float | None:
        """The span in seconds."""
        return None if self._plan.every_ms is None else self._plan.every_ms / 1000

    @property
    def timezone(self) -> str:
        """The time zone that ``cron`` is in."""
        return self._plan.timezone

    @property
    def start(self) -> datetime | None:
        """Not before then."""
        return None if self._plan.start_ms is None else moment(self._plan.start_ms)

    @property
    def end(self) -> datetime | None:
        """Not after then."""
        return None if self._plan.end_ms is None else moment(self._plan.end_ms)

    @property
    def limit(self) -> int | None:
        """How often it runs in all."""
        return self._plan.limit

    @property
    def jitter(self) -> float:
        """By how many seconds a run may be later than its tick."""
        return self._plan.jitter_ms / 1000

    @property
    def catch_up(self) -> CatchUp:
        """What becomes of missed ticks."""
        return self._plan.catch_up

    @property
    def overlap(self) -> Overlap:
        """What becomes of a tick while the last job is unfinished."""
        return self._plan.overlap

    @property
    def job_type(self) -> str:
        """The type of the jobs it puts in."""
        return self._job.type

    @property
    def data(self) -> Any:
        """The data of those jobs, as JSON values."""
        return ANY_JSON.decode(self._job.data)

    @property
    def priority(self) -> int:
        """The priority of those jobs."""
        return self._job.priority

    def _moment(self, ms: int) -> datetime:
        return moment(ms) if self._fault else moment(ms).astimezone(zone(self._plan.timezone))

    def __repr__(self) -> str:
        return f"<StoredSchedule {self.id!r} {self.words}{', paused' if self.paused else ''}>"
