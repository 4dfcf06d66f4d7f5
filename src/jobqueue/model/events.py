"""What can be told about a job while it lives, for ``queue.events()`` and everyone who waits for a result."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventType(StrEnum):
    """Every kind of event. The values are wire format: they may grow, never change."""

    ENQUEUED = "enqueued"
    DUPLICATE = "duplicate"
    DEDUPLICATED = "deduplicated"
    REPLACED = "replaced"
    STARTED = "started"
    COMPLETED = "completed"
    RETRYING = "retrying"
    FAILED = "failed"
    RELEASED = "released"
    RECOVERED = "recovered"
    BLOCKED = "blocked"
    UNBLOCKED = "unblocked"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    RETRIED = "retried"
    PROMOTED = "promoted"
    RESCHEDULED = "rescheduled"
    REPRIORITIZED = "reprioritized"
    REMOVED = "removed"
    PROGRESS = "progress"
    PAUSED = "paused"
    RESUMED = "resumed"
    PURGED = "purged"
    CLEANED = "cleaned"
    FLOWED = "flowed"


FINISHING = frozenset({EventType.COMPLETED, EventType.FAILED, EventType.CANCELLED})


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a queue.

    ``id`` is opaque and rises; hand it to ``queue.events(after=...)`` to go on from there. ``job_id`` is empty
    for events of the whole queue. ``detail`` is short text or JSON: the result of a completed job (if it is not
    over :data:`RESULT_IN_EVENT` bytes; else empty), the error's type for a failed one, the delay in ms for a
    retry, the progress value, the reason of a cancel, the number of jobs purged or cleaned. ``flowed`` says that
    the last job of a flow has ended, and carries the flow's id. ``deduplicated`` is about the job that stood, and
    carries the id of the one that fell because of its unique key; ``replaced`` likewise, where the job that stood has
    taken over what that one asked for.
    """

    id: str
    type: EventType
    job_id: str
    at_ms: int
    detail: str = ""


RESULT_IN_EVENT = 4096
"""Bytes of a result up to which it travels in the event itself; larger ones are read from the job."""

EVENTS_KEPT = 10_000
"""About how many events a queue keeps."""
