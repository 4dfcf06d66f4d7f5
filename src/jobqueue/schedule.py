"""Schedule: a job that is to run again and again, as somebody asks for it; and how it becomes what is stored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from jobqueue.backends.protocol import NewRecord
from jobqueue.catalogue import Catalogue
from jobqueue.errors import InvalidData, InvalidOption
from jobqueue.model.naming import checked_group, checked_name
from jobqueue.model.options import checked_priority
from jobqueue.model.plan import CatchUp, Overlap, Plan, checked_plan
from jobqueue.model.refused import Refused
from jobqueue.model.times import Seconds, span_ms
from jobqueue.new_job import JobDefaults, NewJob, checked_job


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A job that runs by the clock.

        Schedule("nightly", cron="0 2 * * *", timezone="Europe/Berlin", job=NewJob("report.nightly"))

    ``id`` names it within its queue. ``cron`` is a crontab line of five fields (six with seconds in front) or one of
    ``@hourly @daily @midnight @weekly @monthly @yearly @annually``, in ``timezone`` (a name, default UTC); or ``every``
    is a span (seconds or timedelta, from 0.1 s), counted from ``start``, or else from when it was put. ``start`` and
    ``end`` (aware datetimes) bound it, both included; ``limit`` is how often it runs in all. ``jitter`` (seconds or
    timedelta) runs it up to so much later, by a draw that is fixed for each tick.

    ``catch_up`` is for ticks that no worker was there for, found more than a minute late or when the next one was due
    as well: ``"skip"`` drops them, ``"one"`` makes up for all of them by one run, ``"all"`` runs each (the last 100).
    ``overlap="skip"`` leaves a tick out while the schedule's last job is unfinished. ``job`` is what is put in at each
    tick, with all of ``NewJob``'s options but ``delay``, ``run_at``, ``depends_on`` and ``job_id``; its id is made of
    the schedule and the tick.

    Raises InvalidName or InvalidOption.
    """

    id: str = field(kw_only=False)
    job: NewJob
    cron: str | None = None
    every: Seconds | None = None
    timezone: str | ZoneInfo = "UTC"
    start: datetime | None = None
    end: datetime | None = None
    limit: int | None = None
    jitter: Seconds = 0
    catch_up: CatchUp = "skip"
    overlap: Overlap = "allow"

    def __post_init__(self) -> None:
        checked_name("schedule", self.id)
        if not isinstance(self.job, NewJob):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"job must be a NewJob(...), not {type(self.job).__name__}")
        if self.job.delay is not None or self.job.run_at is not None:
            raise InvalidOption("the schedule says when its job runs: leave delay and run_at out")
        if self.job.job_id is not None:
            raise InvalidOption("ids of scheduled jobs are made of the schedule and the tick: leave job_id out")
        if self.job.depends_on:
            raise InvalidOption(
                "a scheduled job waits for no other: leave depends_on out and enqueue what comes after in its processor"
            )
        _ = self.plan

    @property
    def plan(self) -> Plan:
        """When it runs. Raises InvalidOption."""
        return plan_of(
            cron=self.cron,
            every=self.every,
            timezone=self.timezone,
            start=self.start,
            end=self.end,
            limit=self.limit,
            jitter=self.jitter,
            catch_up=self.catch_up,
            overlap=self.overlap,
        )


def plan_of(
    *,
    cron: str | None,
    every: Seconds | None,
    timezone: str | ZoneInfo,
    start: datetime | None,
    end: datetime | None,
    limit: int | None,
    jitter: Seconds,
    catch_up: CatchUp,
    overlap: Overlap,
) -> Plan:
    """A plan that can be kept. Raises InvalidOption."""
    if catch_up not in ("skip", "one", "all"):
        raise InvalidOption(f'catch_up must be "skip", "one" or "all", not {catch_up!r}')
    if overlap not in ("allow", "skip"):
        raise InvalidOption(f'overlap must be "allow" or "skip", not {overlap!r}')
    if cron is not None and not isinstance(cron, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"cron must be a text, not {type(cron).__name__}")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"limit must be a whole number, not {limit!r}")
    name = timezone.key if isinstance(timezone, ZoneInfo) else timezone
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"timezone must be a name such as Europe/Berlin, not {timezone!r:.60}")
    return checked_plan(
        Plan(
            cron=cron if cron is None else " ".join(cron.split()),
            every_ms=None if every is None else span_ms("every", every, zero=False),
            timezone=name,
            start_ms=_bound("start", start),
            end_ms=_bound("end", end),
            limit=limit,
            jitter_ms=span_ms("jitter", jitter),
            catch_up=catch_up,
            overlap=overlap,
        )
    )


def _bound(name: str, value: datetime | None) -> int | None:
    # Not the clock of whoever puts it: a start may lie in the past, and an end years ahead.
    if value is None:
        return None
    if not isinstance(value, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"{name} must be a datetime, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidOption(f"{name} has no time zone: use datetime.now(UTC) or a ZoneInfo")
    return max(0, round(value.timestamp() * 1000))


# The job of a schedule, as it is stored. Its id and its time come with each tick.

_JOB = TypeAdapter(NewRecord)


def job_bytes(job: NewJob, defaults: JobDefaults, catalogue: Catalogue) -> bytes:
    """A job, checked, as a schedule stores it. Raises InvalidInput in one of its kinds."""
    return _JOB.dump_json(record_for(checked_job(job, defaults, catalogue).record, "-"), exclude_defaults=True)


def job_of(stored: bytes) -> NewRecord:
    """What ``job_bytes`` made. Raises InvalidInput, also where somebody else wrote what only looks like it."""
    if isinstance(stored, Refused):
        raise InvalidData(f"the stored job {stored.why}")
    try:
        job = _JOB.validate_json(stored)
    except ValidationError:
        raise InvalidData("the stored job is not one of ours") from None
    checked_name("job type", job.type)
    checked_priority(job.priority)
    if job.group:
        checked_group(job.group)
    if job.expires_in_ms is not None:
        span_ms("expires_in", job.expires_in_ms / 1000, zero=False)
    if b"\n" in job.options or job.delay_ms or job.run_at_ms is not None:
        raise InvalidData("the stored job is not one of ours")
    return job


def record_for(job: NewRecord, job_id: str) -> NewRecord:
    """The schedule's job under an id of its own."""
    return replace(job, id=job_id)
