"""NewJob: a job that somebody wants, and how it becomes what a backend writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, TypedDict, cast

from jobqueue.backends.protocol import NewRecord
from jobqueue.catalogue import Catalogue
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.errors import InvalidOption, UnknownOption
from jobqueue.ids import new_job_id
from jobqueue.job_type import JobType
from jobqueue.model.links import MOST_NEEDS, DependsOn, OnFailure, checked_policy, needs_of
from jobqueue.model.naming import checked_group, checked_job_id, checked_name
from jobqueue.model.options import NO_OPTIONS, Keep, Ref, checked_priority, options
from jobqueue.model.payloads import ANY_JSON, Payload
from jobqueue.model.retry import Retry
from jobqueue.model.times import Seconds, moment_ms, span_ms
from jobqueue.model.unique import Unique, as_unique


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What a queue's jobs get where neither their type nor the call asks for something else."""

    priority: int = 3
    retry: Retry | int | bool | None = None
    timeout: Seconds | None = None
    keep: Keep | None = None
    expires_in: Seconds | None = None
    tags: Iterable[str] = ()
    wait: Seconds | None = None


class JobWishes(TypedDict, total=False):
    """What may be asked for a new job, in all its spellings.

    ``priority``: lower runs first (default 3). ``delay`` (seconds or timedelta) or ``run_at`` (aware datetime): not
    before then. ``job_id``: an id that exists, in any state, is left as it is and returned, so that the call may be
    repeated. ``retry``: a Retry, a number of attempts, or False. ``timeout``: seconds for one attempt. ``expires_in``:
    fail if not started by then. ``tags``: up to 16 names. ``lifo``: to the front of its priority. ``keep``: how long a
    finished job is remembered. ``depends_on``: jobs that must be done first (Jobs, pairs of queue and id, ``After(job,
    on_failure=…)``); the delay then counts from there. ``on_failure``: what becomes of this job when one of those does
    not complete: "fail" (it fails too; the default), "run" (it runs, and sees the failure) or "ignore". ``group``: jobs
    of one group take turns with other groups. ``unique``: a key, or a Unique(key, …) that says more: another unfinished
    job with it, in the same queue, stands in the place of this one; False where the job type says otherwise.
    """

    priority: int | None
    delay: Seconds | None
    run_at: datetime | None
    job_id: str | None
    retry: Retry | int | bool | None
    timeout: Seconds | None
    expires_in: Seconds | None
    tags: Iterable[str]
    lifo: bool
    keep: Keep | None
    depends_on: Iterable[DependsOn]
    on_failure: OnFailure | str
    group: str | None
    unique: Unique | str | Literal[False] | None


class EnqueueOptions(JobWishes, total=False):
    """What ``enqueue`` may be asked for: all of :class:`JobWishes`, and ``wait``: for how many seconds to wait for room
    in a full queue or group before QueueFull is raised.
    """

    wait: Seconds | None


@dataclass(slots=True, kw_only=True)
class NewJob:
    """One job for ``enqueue_many``: its type, its data, and the options that ``enqueue`` takes.

    NewJob("email.send", {"to": "…"}, priority=1, delay=60)
    """

    type: str | JobType[Any, Any] = field(kw_only=False)
    data: Any = field(default=None, kw_only=False)
    priority: int | None = None
    delay: Seconds | None = None
    run_at: datetime | None = None
    job_id: str | None = None
    retry: Retry | int | bool | None = None
    timeout: Seconds | None = None
    expires_in: Seconds | None = None
    tags: Iterable[str] = ()
    lifo: bool = False
    keep: Keep | None = None
    depends_on: Iterable[DependsOn] = ()
    on_failure: OnFailure | str = OnFailure.FAIL
    group: str | None = None
    unique: Unique | str | Literal[False] | None = None


def new_job(type: str | JobType[Any, Any], data: Any, wishes: JobWishes) -> NewJob:  # noqa: A002
    """A NewJob of what somebody passed on. Raises UnknownOption."""
    if not wishes:
        return NewJob(type, data)
    known = JobWishes.__annotations__
    if "wait" in wishes:
        raise UnknownOption("wait is an option of enqueue and enqueue_many: a full queue refuses nothing else")
    unknown = sorted(set(wishes) - set(known))
    if unknown:
        raise UnknownOption(f"no such option: {', '.join(unknown)}; there are {', '.join(known)}, and wait in enqueue")
    return NewJob(type, data, **cast("dict[str, Any]", wishes))


@dataclass(slots=True)
class CheckedJob:
    """A job that may be written: the record, and how its data and result are read back."""

    record: NewRecord
    payload: Payload
    result_payload: Payload


def checked_job(
    job: NewJob,
    defaults: JobDefaults,
    catalogue: Catalogue,
    *,
    flow: str = "",
    refs: tuple[Ref, ...] = (),
    most_needs: int = MOST_NEEDS,
    child: bool = False,
) -> CheckedJob:
    """Everything a caller can get wrong is refused here, in the caller's stack and before anything is written.

    Of a job of a ``flow`` whose data has ``refs``, results to come, the data is checked by the worker that has them.
    A job of a flow, or a ``child`` of a running one, has no unique key.

    Raises InvalidInput in one of its kinds.
    """
    if not isinstance(job, NewJob):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"each job must be a NewJob(type, data), not {type(job).__name__}")
    if isinstance(job.type, JobType):
        job_type: JobType[Any, Any] | None = job.type
        name = job.type.name
    else:
        name = checked_name("job type", job.type)
        job_type = catalogue.get(name)
    payload = job_type.data if job_type else ANY_JSON

    asked = options(retry=job.retry, timeout=job.timeout, keep=job.keep, tags=job.tags)
    needs = needs_of(job.depends_on, job.on_failure, most=most_needs) if job.depends_on else ()
    if job.on_failure is not OnFailure.FAIL:
        checked_policy(job.on_failure)
    if needs or flow:
        asked = replace(asked, waits=bool(needs), flow=flow, refs=refs)
    declared = job_type.options if job_type else NO_OPTIONS
    if declared.retry is not None and not declared.retry.storable:
        # A declared backoff function stays with the declaration: the worker that holds it applies it.
        declared = options(timeout=declared.timeout, keep=declared.keep, tags=declared.tags)

    priority = job.priority
    if priority is None:
        priority = job_type.priority if job_type and job_type.priority is not None else defaults.priority
    delay_ms, run_at_ms = (0, None) if job.delay is None and job.run_at is None else _due(job)
    data = (ANY_JSON if refs else payload).encode(job.data)
    unique = None
    if job.unique is not None or (job_type is not None and job_type.unique is not None):
        unique = _unique(job, job_type, data, needs=bool(needs), family=bool(flow) or child)
    return CheckedJob(
        # By place: matching a dozen names would cost more than the object.
        NewRecord(
            new_job_id() if job.job_id is None else checked_job_id(job.job_id),
            name,
            data,
            checked_priority(priority),
            asked.over(declared).encode(),
            delay_ms,
            run_at_ms,
            _expires_in_ms(job, job_type, defaults),
            bool(job.lifo),
            needs,
            "" if job.group is None else checked_group(job.group),
            unique,
        ),
        payload,
        job_type.result if job_type else ANY_JSON,
    )


def _unique(
    job: NewJob, job_type: JobType[Any, Any] | None, data: bytes, *, needs: bool, family: bool
) -> Unique | None:
    if job.unique is False:
        return None
    if family:
        # What a job type declares is for jobs that come by themselves.
        if job.unique is not None:
            raise InvalidOption(
                "a job of a flow, or a child, has no unique key: those that wait for it would wait for one that fell. "
                "Give the flow an id, or enqueue the job by itself"
            )
        return None
    declared = None if job_type is None or job.unique is not None else job_type.unique_of(data)
    unique = declared if job.unique is None else as_unique(job.unique)
    if needs and unique is not None and unique.replaces:
        raise InvalidOption(
            "unique: replace and keep_last are not for jobs that depend on others: what they wait for stays as it is"
        )
    return unique


def _due(job: NewJob) -> tuple[int, int | None]:
    if job.delay is not None and job.run_at is not None:
        raise InvalidOption("give delay or run_at, not both")
    if job.run_at is not None:
        return 0, moment_ms("run_at", job.run_at, SYSTEM_CLOCK.now_ms())
    return (0 if job.delay is None else span_ms("delay", job.delay)), None


def _expires_in_ms(job: NewJob, job_type: JobType[Any, Any] | None, defaults: JobDefaults) -> int | None:
    if job.expires_in is not None:
        return span_ms("expires_in", job.expires_in, zero=False)
    if job_type is not None and job_type.expires_in_ms is not None:
        return job_type.expires_in_ms
    return None if defaults.expires_in is None else span_ms("expires_in", defaults.expires_in, zero=False)
