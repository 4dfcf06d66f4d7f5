"""Job: a record of one job, and the handle on it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Generic, cast

from typing_extensions import TypeVar

from jobqueue.backends.protocol import Backend, Cancel, Checkpoint, LogLines, Note, Progress, Retry
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.errors import (
    BadSignature,
    JobCancelled,
    JobFailed,
    JobNotFound,
    JobQueueError,
    LeaseLost,
    WaitForChildren,
)
from jobqueue.inputs import Dependencies, Results
from jobqueue.log_line import LogLine
from jobqueue.model.asked import because
from jobqueue.model.events import Event, EventType
from jobqueue.model.links import OnFailure
from jobqueue.model.options import JobOptions
from jobqueue.model.payloads import ANY_JSON, Payload
from jobqueue.model.record import JobError, JobRecord, JobState
from jobqueue.model.refused import RefusedText
from jobqueue.model.retry import DEFAULT_RETRY
from jobqueue.model.times import Seconds, moment
from jobqueue.new_job import NewJob
from jobqueue.results import finish_reader, within
from jobqueue.running import Attempt
from jobqueue.spawning import children_of, spawn

DataT = TypeVar("DataT", default=Any)
ResultT = TypeVar("ResultT", default=Any)
ResourceT = TypeVar("ResourceT")


_UNSET: Any = object()


class Job(Generic[DataT, ResultT]):
    """One job, as it was when it was read; ``refresh()`` reads it again.

    Jobs are made by queues and workers. Times are aware datetimes in UTC. Inside a processor the job also takes
    ``log()``, ``set_progress()`` and ``checkpoint()``, and has the worker's ``resources``.
    """

    __slots__ = ("_attempt", "_backend", "_data", "_options", "_payload", "_record", "_result_payload")

    def __init__(
        self,
        record: JobRecord,
        backend: Backend,
        *,
        payload: Payload = ANY_JSON,
        result_payload: Payload = ANY_JSON,
        attempt: Attempt | None = None,
    ) -> None:
        self._record = record
        self._backend = backend
        self._payload = payload
        self._result_payload = result_payload
        self._attempt = attempt
        self._data: Any = _UNSET
        self._options: JobOptions | None = None

    def over(self, backend: Backend) -> Job[DataT, ResultT]:
        """The same job by way of another connection."""
        return Job(self._record, backend, payload=self._payload, result_payload=self._result_payload)

    # What it is.

    @property
    def id(self) -> str:
        """Unique within its queue."""
        return self._record.id

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self._record.queue

    @property
    def type(self) -> str:
        """Its job type's name."""
        return self._record.type

    @property
    def data(self) -> DataT:
        """Its payload, validated on first use. Raises InvalidData if it is not what the type asks for, BadSignature
        where a codec refused it."""
        if self._data is _UNSET:
            self._data = self._payload.decode(self._record.data)
        return cast("DataT", self._data)

    @property
    def state(self) -> JobState:
        """Where it stood in its life when it was read."""
        return self._record.state

    @property
    def priority(self) -> int:
        """Lower runs first."""
        return self._record.priority

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs or ran last: 1 in the first try, 0 before it."""
        return self._record.attempt

    @property
    def max_attempts(self) -> int:
        """How often it is tried: inside a processor as its worker knows it, elsewhere as far as the job itself says."""
        if self._attempt is not None and self._attempt.max_attempts is not None:
            return self._attempt.max_attempts
        return (self.options.retry or DEFAULT_RETRY).attempts

    @property
    def stalls(self) -> int:
        """How often a worker was lost while it ran the job."""
        return self._record.stalls

    @property
    def tags(self) -> tuple[str, ...]:
        """As given at enqueue."""
        return self.options.tags

    @property
    def group(self) -> str | None:
        """The group it takes turns with, if it has one."""
        return self._record.group or None

    @property
    def unique(self) -> str | None:
        """The key that it holds or held, if it has one."""
        return self._record.unique or None

    @property
    def options(self) -> JobOptions:
        """What was asked for at enqueue; None where nothing was."""
        if self._options is None:
            self._options = JobOptions.decode(self._record.options)
        return self._options

    @property
    def created_at(self) -> datetime:
        """When it was enqueued."""
        return moment(self._record.created_ms)

    @property
    def run_at(self) -> datetime | None:
        """When a delayed job is due."""
        return _moment(self._record.run_at_ms)

    @property
    def expires_at(self) -> datetime | None:
        """When it fails unless it has been started."""
        return _moment(self._record.expires_ms)

    @property
    def started_at(self) -> datetime | None:
        """When the attempt that runs, or that finished it, was claimed."""
        return _moment(self._record.started_ms)

    @property
    def finished_at(self) -> datetime | None:
        """When it completed, failed for good or was cancelled."""
        return _moment(self._record.finished_ms)

    @property
    def result_value(self) -> ResultT | None:
        """What the processor returned; None unless it has completed."""
        if self._record.result is None:
            return None
        return cast("ResultT", self._result_payload.decode(self._record.result, what="result"))

    @property
    def error(self) -> JobError | None:
        """Why the last failed attempt failed: type, message, traceback."""
        return self._record.error

    @property
    def reason(self) -> str:
        """Why it was cancelled."""
        return self._record.reason

    @property
    def progress(self) -> Any:
        """The last value given to ``set_progress``. Raises InvalidData if something else was stored there."""
        return _value(self._record.progress, "progress")

    @property
    def checkpoint_value(self) -> Any:
        """The last value given to ``checkpoint``, in this attempt or an earlier one. Raises InvalidData likewise."""
        return _value(self._record.checkpoint, "checkpoint")

    @property
    def backend(self) -> Backend:
        """The backend that it lives on."""
        return self._backend

    @property
    def record(self) -> JobRecord:
        """The stored form: milliseconds and JSON."""
        return self._record

    # What can be done with it.

    async def result(self, timeout: Seconds | None = None) -> ResultT:
        """Wait until the job has finished; returns what its processor returned.

        Wakes by the job's event. ``timeout``: seconds or timedelta. Raises JobFailed or JobCancelled with the cause,
        TimeoutError if it takes longer, JobNotFound if the job is gone without a trace.
        """
        async with within(timeout, f"job {self.id!r}"):
            finish = await finish_reader(self._backend, self.queue).finished(self.id)
        if isinstance(finish, Event):
            return self._result_of_event(finish)
        self._take(finish)
        match finish.state:
            case JobState.COMPLETED:
                return cast("ResultT", self.result_value)
            case JobState.CANCELLED:
                raise JobCancelled(_because("was cancelled", self.id, finish.reason), reason=finish.reason)
            case _:
                error = finish.error or JobError("Unknown")
                raise JobFailed(
                    f"job {self.id!r} failed: {error.type}: {error.message}",
                    error_type=error.type,
                    error_message=error.message,
                    traceback=error.traceback,
                )

    async def refresh(self) -> None:
        """Read the job again. Raises JobNotFound if it is gone."""
        record = await self._backend.get(self.queue, self.id)
        if record is None:
            raise JobNotFound(f"no job {self.id!r} in queue {self.queue!r}: it was removed or dropped by retention")
        self._take(record)

    async def cancel(self, reason: str = "") -> JobState:
        """Cancel it: at once if it has not started; else its worker is told to. Returns the state it is in afterwards.

        Raises InvalidState if it has finished, JobNotFound if it is gone.
        """
        keep, why = self.options.keep, because(reason)
        cancel = Cancel(why, keep.for_failed()) if keep else Cancel(why)
        return await self._backend.amend(self.queue, self.id, cancel)

    async def retry(self) -> None:
        """Run a finished job again, with fresh attempts. Raises InvalidState if it has not finished."""
        await self._backend.amend(self.queue, self.id, Retry())

    async def logs(self) -> list[LogLine]:
        """What its processor logged, oldest first; the newest thousand lines are kept."""
        return [LogLine.of(line) for line in await self._backend.logs(self.queue, self.id)]

    # Inside a processor.

    @property
    def resources(self) -> Any:
        """What the worker's ``lifespan`` yielded; None where it has none."""
        return self._running().resources

    def resource(self, kind: type[ResourceT]) -> ResourceT:
        """What the worker's ``lifespan`` yielded, typed: it must be a ``kind``. Raises JobQueueError."""
        found = self.resources
        if not isinstance(found, kind):
            raise JobQueueError(
                f"this worker's lifespan yields {type(found).__name__}, not {kind.__name__}: "
                "give the Worker the lifespan that this processor needs"
            )
        return found

    def log(self, message: str, *, level: str = "info", **fields: Any) -> None:
        """Add a line to the job's logs; it is written with the next renewal of the lease, or the outcome."""
        self._running().write(SYSTEM_CLOCK.now_ms(), level, message, fields)

    async def set_progress(self, value: Any) -> None:
        """Any JSON value; told to whoever follows the queue's events. Raises LeaseLost."""
        self._record.progress = ANY_JSON.encode(value, what="progress")
        await self._note(Progress(self._record.progress))

    async def checkpoint(self, value: Any) -> None:
        """Any JSON value, kept for the next attempt to read in ``checkpoint_value``. Raises LeaseLost."""
        self._record.checkpoint = ANY_JSON.encode(value, what="checkpoint")
        await self._note(Checkpoint(self._record.checkpoint))

    @property
    def dependencies(self) -> Dependencies:
        """The jobs that it depends on and what became of each, by 'queue/id', Job, id, or node name in its flow.

        Without those whose failure it ignores.
        """
        return Dependencies(self._running().inputs, self.options.flow)

    @property
    def results(self) -> Results:
        """What the jobs returned that it depends on, by the same names. Raises JobFailed where one did not complete."""
        return Results(self.dependencies)

    async def spawn(
        self,
        jobs: Sequence[NewJob],
        *,
        queue: str | None = None,
        on_failure: OnFailure | str = OnFailure.FAIL,
    ) -> list[Job[Any, Any]]:
        """Add jobs that this one will wait for (``wait_for_children``): to its own queue, or ``queue``; all or none.

            await job.spawn([NewJob("page.render", {"page": page}) for page in range(10)])
            pages = await job.wait_for_children()

        Their ids are made of this job's id, the number of the call and their place in it: the same call in a later
        run adds nothing, so processors must make their calls in the same order each time. ``on_failure``: when a child
        does not complete, this job fails too ("fail"), or runs on and sees it ("run").

        Raises InvalidInput with nothing written, LeaseLost.
        """
        children = await spawn(
            self._backend, self._record, self._running(), jobs, queue=queue or self.queue, on_failure=on_failure
        )
        name = queue or self.queue
        return [
            Job(
                JobRecord(child.record.id, name, child.record.type, child.record.data, group=child.record.group),
                self._backend,
                payload=child.payload,
                result_payload=child.result_payload,
            )
            for child in children
        ]

    async def wait_for_children(self) -> list[Any]:
        """The results of all jobs that this run has spawned, in that order; a JobFailed in place of one that did not
        complete, with ``on_failure="run"``.

        As long as some are not done this raises WaitForChildren: let it pass. The job is blocked, without holding a
        slot or spending an attempt, and runs again from its beginning when all are done.
        """
        found = await children_of(self._backend, self._record, self._running())
        if found is None:
            raise WaitForChildren
        return [one.failure or one.result for one in found]

    async def flush_logs(self) -> None:
        """Write the lines logged so far, for those who look on. Raises LeaseLost."""
        lines = self._running().take_lines(SYSTEM_CLOCK.now_ms())
        if lines:
            await self._note(LogLines(lines))

    async def _note(self, note: Note) -> None:
        token = self._running().token
        if not await self._backend.annotate(self.queue, self.id, token, note):
            raise LeaseLost(f"job {self.id!r} is no longer this worker's: another may be running it; stop here")

    def _running(self) -> Attempt:
        if self._attempt is None:
            raise JobQueueError(f"job {self.id!r} does not run here: this works only inside its processor")
        return self._attempt

    def _take(self, record: JobRecord) -> None:
        self._record, self._data, self._options = record, _UNSET, None

    def _result_of_event(self, event: Event) -> ResultT:
        match event.type:
            case EventType.COMPLETED:
                if isinstance(event.detail, RefusedText):
                    raise BadSignature(f"the result of job {self.id!r} {event.detail.why}")
                if not event.detail:
                    return cast("ResultT", None)
                return cast("ResultT", self._result_payload.decode(event.detail.encode(), what="result"))
            case EventType.CANCELLED:
                raise JobCancelled(_because("was cancelled", self.id, event.detail), reason=event.detail)
            case _:
                raise JobFailed(f"job {self.id!r} failed: {event.detail}", error_type=event.detail)

    def __repr__(self) -> str:
        return f"<Job {self.type} {self.id} {self.state.value} in {self.queue}>"


def _because(what: str, job_id: str, reason: str) -> str:
    return f"job {job_id!r} {what}" + (f": {reason}" if reason else "")


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else moment(ms)


def _value(stored: bytes | None, what: str) -> Any:
    return None if stored is None else ANY_JSON.decode(stored, what=what)
