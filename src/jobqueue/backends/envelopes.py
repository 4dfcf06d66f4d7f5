"""What of a job a codec seals, and to what each seal is bound.

| sealed | bound to |
|---|---|
| data, with options (inside the seal if the codec hides, else beside it and bound) | queue, id or key, type, options |
| result, error, progress, checkpoint, each log line | what it is, queue, id |
| a schedule's job | queue, schedule, plan |
| an endpoint's address and secrets | queue, endpoint |

Ids, keys, types, queues, priorities, times, counts and reasons stay as they are: backends work with them. A job with a
unique key may take over the data of another one with that key, so the data is bound to the key in place of the id.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from jobqueue.backends.endpoints import EndpointChange, EndpointRecord
from jobqueue.backends.protocol import Begun, Checkpoint, LogLines, NewRecord, Note, Progress, Settlement
from jobqueue.backends.scheduling import ScheduleChange, ScheduleRecord
from jobqueue.codecs.codec import Codec, bound_to
from jobqueue.errors import BadSignature
from jobqueue.model.events import Event, EventType
from jobqueue.model.letter import BAD_SIGNATURE
from jobqueue.model.links import FlowRecord, Input
from jobqueue.model.outcome import Completed, Failed, Outcome, RetryAt
from jobqueue.model.record import BACKEND_ERRORS, JobError, JobRecord, JobState
from jobqueue.model.refused import Refused, RefusedText

_ERROR = TypeAdapter(tuple[str, str, str])
_SEALED_EVENTS = {EventType.COMPLETED: b"result", EventType.PROGRESS: b"progress"}


class Envelopes:
    """Seals and opens with one codec. Opening never raises: what is refused is marked (model/refused.py)."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec

    # Schedules.

    def schedule(self, queue: str, change: ScheduleChange) -> ScheduleChange:
        """A schedule to be written."""
        return replace(change, job=self._codec.seal(change.job, _schedule(queue, change.id, change.plan)))

    def open_schedule(self, queue: str, record: ScheduleRecord) -> ScheduleRecord:
        """A schedule that was read."""
        return replace(record, job=self._opened(record.job, _schedule(queue, record.id, record.plan)))

    # Endpoints.

    def endpoint(self, queue: str, change: EndpointChange) -> EndpointChange:
        """An endpoint to be written; its notices carry all that is sealed of a job, so that it can be checked."""
        sealed = self._codec.seal(change.definition, _endpoint(queue, change.id))
        return replace(change, definition=sealed, rules=replace(change.rules, whole=True))

    def open_endpoint(self, queue: str, record: EndpointRecord) -> EndpointRecord:
        """An endpoint that was read."""
        return replace(
            record,
            definition=self._opened(record.definition, _endpoint(queue, record.id)),
            rules=replace(record.rules, whole=False),
        )

    # In.

    def job(self, queue: str, job: NewRecord) -> NewRecord:
        """A job to be written."""
        data, options = self.data(
            queue, job.id, job.type, job.data, job.options, job.unique.key if job.unique is not None else ""
        )
        return replace(job, data=data, options=options)

    def data(
        self, queue: str, job_id: str, job_type: str, data: bytes, options: bytes, unique: str = ""
    ) -> tuple[bytes, bytes]:
        """Data and options as they are stored."""
        if self._codec.hides:
            return self._codec.seal(b"%b\n%b" % (options, data), _job(queue, job_id, unique, job_type)), b""
        return self._codec.seal(data, _job(queue, job_id, unique, job_type, options)), options

    def settlement(self, queue: str, settlement: Settlement) -> Settlement:
        """An outcome and log lines to be handed in."""
        job_id = settlement.job_id
        outcome = self._outcome(queue, job_id, settlement.outcome)
        if not settlement.logs and outcome is settlement.outcome:
            return settlement
        return Settlement(job_id, settlement.token, outcome, self._lines(queue, job_id, settlement.logs))

    def note(self, queue: str, job_id: str, note: Note) -> Note:
        """A note to be written."""
        match note:
            case Progress(value):
                return Progress(self._codec.seal(value, _part(b"progress", queue, job_id)))
            case Checkpoint(value):
                return Checkpoint(self._codec.seal(value, _part(b"checkpoint", queue, job_id)))
            case LogLines(lines):
                return LogLines(self._lines(queue, job_id, lines))
            case Begun():
                return note

    def _outcome(self, queue: str, job_id: str, outcome: Outcome) -> Outcome:
        match outcome:
            case Completed(result, keep):
                # None too: else whoever takes a result away would have made it None.
                return Completed(self._codec.seal(result or b"null", _part(b"result", queue, job_id)), keep)
            case RetryAt(error=error) | Failed(error=error):
                return replace(outcome, error=self._error(queue, job_id, error))
            case _:
                return outcome

    def _error(self, queue: str, job_id: str, error: JobError) -> JobError:
        plain = to_json((error.type, error.message, error.traceback))
        return JobError(error.type, self._codec.seal(plain, _part(b"error", queue, job_id)).decode())

    def _lines(self, queue: str, job_id: str, lines: tuple[bytes, ...]) -> tuple[bytes, ...]:
        if not lines:
            return ()
        bound = _part(b"log", queue, job_id)
        return tuple([self._codec.seal(line, bound) for line in lines])

    # Out.

    def open_job(self, record: JobRecord) -> JobRecord:
        """Open, in place, all that ``record`` carries."""
        self._open_data(record)
        queue, job_id = record.queue, record.id
        if record.result is not None or record.state is JobState.COMPLETED:
            result = self._opened(record.result or b"null", _part(b"result", queue, job_id))
            record.result = None if result == b"null" else result
        if record.error is not None:
            record.error = self._opened_error(queue, job_id, record.error)
        if record.progress is not None:
            record.progress = self._opened(record.progress, _part(b"progress", queue, job_id))
        if record.checkpoint is not None:
            record.checkpoint = self._opened(record.checkpoint, _part(b"checkpoint", queue, job_id))
        return record

    def open_line(self, queue: str, job_id: str, line: bytes) -> bytes:
        """A log line; one that is refused says so in its place."""
        opened = self._opened(line, _part(b"log", queue, job_id))
        if isinstance(opened, Refused):
            return to_json({"at": 0, "attempt": 0, "level": "error", "message": f"the line {opened.why}"})
        return opened

    def open_event(self, queue: str, event: Event) -> Event:
        """An event whose detail may be sealed."""
        part = _SEALED_EVENTS.get(event.type)
        if part is None:
            return event
        opened = self._opened(event.detail.encode() or b"null", _part(part, queue, event.job_id))
        if isinstance(opened, Refused):
            return replace(event, detail=RefusedText(opened.why if event.detail else "is no longer stored"))
        return replace(event, detail=opened.decode("utf-8", "replace")) if event.detail else event

    def open_input(self, found: Input) -> Input:
        """What a job that was waited for returned, or why it failed. The seal is that job's own."""
        if found.state == "completed":
            return replace(found, result=self._opened_result(found.queue, found.id, found.result))
        if found.error is not None:
            return replace(found, error=self._opened_error(found.queue, found.id, found.error))
        return found

    def open_flow(self, flow: FlowRecord) -> FlowRecord:
        """The results that a flow remembers."""
        ended = {
            key: ended
            if ended.result is None
            else replace(ended, result=self._opened_result(*_named(key), ended.result))
            for key, ended in flow.ended.items()
        }
        return FlowRecord(flow.members, ended)

    def _opened_result(self, queue: str, job_id: str, stored: bytes | None) -> bytes | None:
        result = self._opened(stored or b"null", _part(b"result", queue, job_id))
        return None if result == b"null" else result

    def _open_data(self, record: JobRecord) -> None:
        options = b"" if self._codec.hides else record.options
        try:
            opened = self._codec.open(record.data, _job(record.queue, record.id, record.unique, record.type, options))
        except BadSignature as error:
            record.data, record.options = Refused(str(error)), b""
            return
        if opened is None:
            return
        if self._codec.hides:
            record.options, _, record.data = opened.partition(b"\n")
        else:
            record.data = opened

    def _opened(self, stored: bytes, bound: bytes) -> bytes:
        try:
            opened = self._codec.open(stored, bound)
        except BadSignature as error:
            return Refused(str(error))
        return stored if opened is None else opened

    def _opened_error(self, queue: str, job_id: str, error: JobError) -> JobError:
        stored = error.message.encode("utf-8", "replace")
        opened = self._opened(stored, _part(b"error", queue, job_id))
        if isinstance(opened, Refused):
            if error.type in BACKEND_ERRORS and not error.traceback:
                return error
            return JobError(BAD_SIGNATURE, f"the error {opened.why}")
        if opened is stored:
            return error
        try:
            kind, message, traceback = _ERROR.validate_json(opened)
        except ValidationError:
            return JobError(BAD_SIGNATURE, "the error is sealed and cannot be read")
        if kind != error.type:
            return JobError(BAD_SIGNATURE, "the error is sealed with another type")
        return JobError(kind, message, traceback)


def _job(queue: str, job_id: str, unique: str, job_type: str, options: bytes = b"") -> bytes:
    if unique:
        return bound_to(b"unique", queue.encode(), _bytes(unique), _bytes(job_type), options)
    return bound_to(b"job", queue.encode(), _bytes(job_id), _bytes(job_type), options)


def _named(key: str) -> tuple[str, str]:
    queue, _, job_id = key.partition("/")
    return queue, job_id


def _schedule(queue: str, schedule: str, plan: bytes) -> bytes:
    return bound_to(b"schedule", queue.encode(), _bytes(schedule), plan)


def _endpoint(queue: str, endpoint: str) -> bytes:
    return bound_to(b"endpoint", queue.encode(), _bytes(endpoint))


def _part(name: bytes, queue: str, job_id: str) -> bytes:
    return bound_to(name, queue.encode(), _bytes(job_id))


def _bytes(stored: str) -> bytes:
    # What somebody else wrote may be no text at all.
    return stored.encode("utf-8", "surrogatepass")
