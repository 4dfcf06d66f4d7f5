"""The dead letter: what is known of a job that failed for good, as the data of a job in the dead-letter queue."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from jobqueue.errors import BadSignature
from jobqueue.model.options import JobOptions
from jobqueue.model.payloads import MOST_STORED_BYTES
from jobqueue.model.record import JobError, JobRecord
from jobqueue.model.refused import Refused

DEAD_LETTER = "dead.letter"
"""The job type of letters; a processor registered for it is told of every job that fails for good."""
BAD_SIGNATURE = BadSignature.__name__
"""The error type of jobs that a codec refused."""


class DeadLetter(BaseModel):
    """A job that failed for good, as it was at that moment.

    ``origin`` is the queue it failed in, where it stays ``failed`` under ``job_id`` for as long as its
    retention says. ``data`` is its payload as JSON values, unvalidated: it may be the very reason for the
    failure. It is None where it is too large to be read, as nothing is that was written through this library. Where a
    codec refused the payload, ``data`` is None and the error's type BadSignature, whatever else
    the job had failed with. ``options`` is JSON, of what it was asked for at enqueue: retry, timeout, keep, tags.
    """

    model_config = ConfigDict(frozen=True)

    origin: str
    job_id: str
    type: str
    data: Any
    error: JobError
    attempts: int
    stalls: int
    priority: int
    created_at: datetime
    started_at: datetime | None
    failed_at: datetime
    group: str = ""
    options: str = ""


def letter_for(record: JobRecord) -> tuple[str, str, bytes]:
    """The id, type and data of the letter for a failed job.

    The id is made of the job and the moment it failed, so that a letter delivered twice is one letter and a
    job that fails again after a retry by hand leaves a second one.
    """
    failed_ms = record.finished_ms or 0
    letter = DeadLetter(
        origin=record.queue,
        job_id=record.id,
        type=record.type,
        data=_value(record.data),
        error=_error(record),
        attempts=record.failures,
        stalls=record.stalls,
        priority=record.priority,
        created_at=_moment(record.created_ms),
        started_at=None if record.started_ms is None else _moment(record.started_ms),
        failed_at=_moment(failed_ms),
        group=record.group,
        options=_options(record),
    )
    return f"{record.queue}/{record.id}/{failed_ms}", DEAD_LETTER, _json(letter)


def _options(record: JobRecord) -> str:
    """Without what ties it to other jobs, which may be gone when the letter is read."""
    asked = JobOptions.decode(record.options)
    return replace(asked, waits=False, flow="", refs=()).encode().decode()


def _error(record: JobRecord) -> JobError:
    error = record.error or JobError("Unknown")
    if isinstance(record.data, Refused) and error.type != BAD_SIGNATURE:
        # Nothing that is said of such a job may pass for the word of somebody who holds a key.
        return JobError(BAD_SIGNATURE, f"data {record.data.why}")
    return error


def _json(letter: DeadLetter) -> bytes:
    try:
        return letter.model_dump_json().encode()
    except (PydanticSerializationError, UnicodeError):
        # Values that JSON cannot carry got in past us: the letter must still arrive.
        return letter.model_copy(update={"data": repr(letter.data)}).model_dump_json().encode()


def _value(data: bytes) -> Any:
    if isinstance(data, Refused) or len(data) > MOST_STORED_BYTES:
        return None
    try:
        return from_json(data, allow_inf_nan=False)
    except (ValueError, ValidationError):
        return data.decode("utf-8", "replace")


def _moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
