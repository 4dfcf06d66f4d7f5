"""What may be asked of a job or a queue that exists: amendments, notes and commands, each a closed union."""

from __future__ import annotations

from dataclasses import dataclass

from jobqueue.model.limits import GroupLimits, Limits
from jobqueue.model.outcome import KEEP_ALL, Retention
from jobqueue.model.record import JobState

MAX_BATCH = 1000
"""The most jobs that one call may touch; callers split what is larger."""

# Amendments: what a person or a producer may do to one job.


@dataclass(frozen=True, slots=True)
class Retry:
    """failed, cancelled, completed → waiting (end of its priority), with fresh attempts and stalls.

    A job that waits for others, or failed because one of them did, is blocked until those are done; where they still
    are failed, it fails again.
    One with a unique key takes it again; while another unfinished job holds that, it cannot be retried.
    ``data`` replaces the payload where given. ``finished_ms``: only if the job finished at just that time.
    """

    data: bytes | None = None
    finished_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Promote:
    """delayed → waiting."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """blocked, delayed, waiting → cancelled at once. active: the worker is ordered to cancel; still active on
    return.
    """

    reason: str = ""
    keep: Retention = KEEP_ALL


@dataclass(frozen=True, slots=True)
class Remove:
    """Forget the job and its logs, whatever its state but active."""


@dataclass(frozen=True, slots=True)
class Reprioritize:
    """Change the priority of an unfinished job; a waiting one goes to the end of its new priority."""

    priority: int


@dataclass(frozen=True, slots=True)
class Reschedule:
    """delayed, waiting → delayed until the new time. Just one of the two is set."""

    delay_ms: int | None = None
    run_at_ms: int | None = None


Amendment = Retry | Promote | Cancel | Remove | Reprioritize | Reschedule


# Notes: what a running job may write about itself, under its token.


@dataclass(frozen=True, slots=True)
class Progress:
    """The job's progress: any JSON value."""

    value: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State that the next attempt can read: any JSON value."""

    value: bytes


@dataclass(frozen=True, slots=True)
class LogLines:
    """Lines (JSON objects) to append to the job's logs; the newest :data:`LOG_LINES_KEPT` are kept."""

    lines: tuple[bytes, ...]


LOG_LINES_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Begun:
    """The job begins, which was reserved when it was claimed: from now on a lost lease is a stall."""


Note = Progress | Checkpoint | LogLines | Begun


# Commands: what a person may do to a whole queue.


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing is claimed until resumed; running jobs go on."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Undo a pause, and end a hold (:class:`~jobqueue.RateLimited`)."""


@dataclass(frozen=True, slots=True)
class Purge:
    """Drop every waiting job, and every delayed one too if asked."""

    delayed: bool = False


@dataclass(frozen=True, slots=True)
class Clean:
    """Forget jobs of one state (not active) that entered it more than ``older_than_ms`` ago, oldest first."""

    state: JobState
    older_than_ms: int = 0
    limit: int = MAX_BATCH


@dataclass(frozen=True, slots=True)
class RetryFailed:
    """Retry failed jobs, oldest first; those whose unique key another job holds stay as they are."""

    limit: int = MAX_BATCH


@dataclass(frozen=True, slots=True)
class Obliterate:
    """Forget the queue: afterwards no key of it is left.

    Raises InvalidState while jobs are active, unless ``force``; then their workers find their leases lost.
    """

    force: bool = False


@dataclass(frozen=True, slots=True)
class SetLimits:
    """Put the limits of the queue named in ``names`` (fields of Limits), None: all of them.

    With ``declared`` they are what code declares: nothing is changed if that very declaration was the last one made, so
    that what was set by hand meanwhile stands until the code says something new.
    """

    limits: Limits
    names: frozenset[str] | None = None
    declared: bool = False


@dataclass(frozen=True, slots=True)
class SetGroupLimits:
    """Put the limits of one group named in ``names`` (fields of GroupLimits); None there: as for all groups."""

    group: str
    limits: GroupLimits
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class PauseGroup:
    """Nothing of the group is claimed until resumed; running jobs go on."""

    group: str


@dataclass(frozen=True, slots=True)
class ResumeGroup:
    """Undo a pause of the group, and end a hold."""

    group: str


@dataclass(frozen=True, slots=True)
class PurgeGroup:
    """Drop every waiting job of the group."""

    group: str


Command = (
    Pause
    | Resume
    | Purge
    | Clean
    | RetryFailed
    | Obliterate
    | SetLimits
    | SetGroupLimits
    | PauseGroup
    | ResumeGroup
    | PurgeGroup
)
