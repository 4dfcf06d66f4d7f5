"""A job as it is stored, its states, and the one table of how it moves between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple


class JobState(StrEnum):
    """Where a job is in its life. A job is in exactly one state at any moment."""

    BLOCKED = "blocked"
    DELAYED = "delayed"
    WAITING = "waiting"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """True for the three states in which nothing more will happen by itself."""
        return self in FINISHED


FINISHED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
UNSTARTED = frozenset({JobState.BLOCKED, JobState.DELAYED, JobState.WAITING})


class Trigger(StrEnum):
    """What moves a job from one state to the next."""

    ENQUEUED = "enqueued"
    DEPENDENCIES_DONE = "last dependency done"
    DEPENDENCY_FAILED = "dependency failed, and it is to fail too"
    PARKED = "waits for jobs it has added"
    DUE = "due"
    PROMOTED = "promoted"
    RESCHEDULED = "rescheduled"
    CLAIMED = "claimed"
    SUCCEEDED = "completed"
    ERRED = "error, attempts left"
    GAVE_UP = "error, none left; unrecoverable; data invalid"
    RELEASED = "released: shutdown, rate limit, unknown type, snooze"
    LEASE_EXPIRED = "lease expired"
    STALLED_OUT = "lease expired, over the limit of stalls"
    CANCELLED = "cancelled"
    EXPIRED = "expired in queue"
    RETRIED = "retried by hand"


class Transition(NamedTuple):
    """One row of the table: from ``source`` (None: the job did not exist) on ``trigger`` to ``target``."""

    source: JobState | None
    trigger: Trigger
    target: JobState


def _rows() -> tuple[Transition, ...]:
    s, t = JobState, Trigger
    return (
        Transition(None, t.ENQUEUED, s.WAITING),
        Transition(None, t.ENQUEUED, s.DELAYED),
        Transition(None, t.ENQUEUED, s.BLOCKED),
        Transition(s.BLOCKED, t.DEPENDENCIES_DONE, s.WAITING),
        Transition(s.BLOCKED, t.DEPENDENCIES_DONE, s.DELAYED),
        Transition(s.BLOCKED, t.DEPENDENCY_FAILED, s.FAILED),
        Transition(s.DELAYED, t.DUE, s.WAITING),
        Transition(s.DELAYED, t.PROMOTED, s.WAITING),
        Transition(s.DELAYED, t.RESCHEDULED, s.DELAYED),
        Transition(s.WAITING, t.RESCHEDULED, s.DELAYED),
        Transition(s.WAITING, t.CLAIMED, s.ACTIVE),
        Transition(s.ACTIVE, t.SUCCEEDED, s.COMPLETED),
        Transition(s.ACTIVE, t.ERRED, s.DELAYED),
        Transition(s.ACTIVE, t.ERRED, s.WAITING),
        Transition(s.ACTIVE, t.GAVE_UP, s.FAILED),
        Transition(s.ACTIVE, t.RELEASED, s.WAITING),
        Transition(s.ACTIVE, t.RELEASED, s.DELAYED),
        Transition(s.ACTIVE, t.PARKED, s.BLOCKED),
        Transition(s.ACTIVE, t.PARKED, s.WAITING),
        Transition(s.ACTIVE, t.DEPENDENCY_FAILED, s.FAILED),
        Transition(s.ACTIVE, t.LEASE_EXPIRED, s.WAITING),
        Transition(s.ACTIVE, t.STALLED_OUT, s.FAILED),
        Transition(s.BLOCKED, t.CANCELLED, s.CANCELLED),
        Transition(s.DELAYED, t.CANCELLED, s.CANCELLED),
        Transition(s.WAITING, t.CANCELLED, s.CANCELLED),
        Transition(s.ACTIVE, t.CANCELLED, s.CANCELLED),
        Transition(s.BLOCKED, t.EXPIRED, s.FAILED),
        Transition(s.DELAYED, t.EXPIRED, s.FAILED),
        Transition(s.WAITING, t.EXPIRED, s.FAILED),
        Transition(s.FAILED, t.RETRIED, s.WAITING),
        Transition(s.CANCELLED, t.RETRIED, s.WAITING),
        Transition(s.COMPLETED, t.RETRIED, s.WAITING),
        Transition(s.FAILED, t.RETRIED, s.BLOCKED),
        Transition(s.CANCELLED, t.RETRIED, s.BLOCKED),
        Transition(s.COMPLETED, t.RETRIED, s.BLOCKED),
    )


TRANSITIONS: tuple[Transition, ...] = _rows()
"""Section 4 of the design as data. The memory backend checks its moves against it, docs/states.md is generated from
it, and the model-based tests read it."""


def allows(source: JobState | None, trigger: Trigger, target: JobState) -> bool:
    """Whether the table has this row."""
    return (source, trigger, target) in _ALLOWED


_ALLOWED = frozenset(map(tuple, TRANSITIONS))


@dataclass(frozen=True, slots=True)
class JobError:
    """Why an attempt failed. All three are text and bounded; ``type`` is the exception's class name."""

    type: str
    message: str = ""
    traceback: str = ""


BACKEND_ERRORS = frozenset({"Expired", "WorkerLost", "Unreadable", "DependencyFailed"})
"""The types of errors that a backend writes by itself, without any process that holds a codec's keys."""


@dataclass(slots=True)
class JobRecord:
    """A job as a backend stores it. Times are integer milliseconds since 1970; payloads are JSON in UTF-8.

    ``options`` is what the caller asked for and only the worker needs (retry, timeout, retention, tags): JSON that no
    backend looks into. ``failures`` counts spent attempts, ``stalls`` lost workers. ``token`` and ``worker`` are set
    while the job is active. ``group`` and ``unique`` (its key) are empty where it has none.
    """

    id: str
    queue: str
    type: str
    data: bytes = b"null"
    state: JobState = JobState.WAITING
    priority: int = 3
    options: bytes = b""
    created_ms: int = 0
    run_at_ms: int | None = None
    expires_ms: int | None = None
    started_ms: int | None = None
    finished_ms: int | None = None
    failures: int = 0
    stalls: int = 0
    result: bytes | None = None
    error: JobError | None = None
    reason: str = ""
    progress: bytes | None = None
    checkpoint: bytes | None = None
    token: int | None = None
    worker: str = ""
    cancel_requested: str | None = field(default=None)
    group: str = ""
    unique: str = ""

    @property
    def attempt(self) -> int:
        """The number of the attempt that runs, or ran last: 1 in the first try, 0 before it."""
        if self.state in (JobState.ACTIVE, JobState.COMPLETED):
            return self.failures + 1
        return self.failures
