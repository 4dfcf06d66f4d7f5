"""Everything this library raises, as one tree.

    JobQueueError
    ├── ConfigurationError            a URL, setting or environment that cannot work
    │   └── MissingExtra              an optional package is not installed
    ├── InvalidInput (ValueError)     refused in the caller's stack, nothing written
    │   ├── InvalidName               a queue, type, job id, tag or namespace
    │   ├── InvalidOption             priority, delay, retry, timeout …
    │   │   └── UnknownOption (TypeError)
    │   ├── InvalidData               not JSON, or not what the job type's model asks for
    │   │   └── BadSignature          stored, and not sealed by a key of ours (see connect's ``codec``)
    │   └── PayloadTooLarge           over the size limit
    ├── QueueFull                     too many jobs wait; nothing was written
    │   └── GroupFull                 too many jobs of one group wait
    ├── RegistrationError             a processor or job type declared twice or at odds
    ├── BackendError                  the storage below
    │   ├── BackendUnavailable        not reachable within the deadline
    │   ├── BackendFull               memory or disk is full; nothing was written
    │   ├── AccessDenied              wrong password, or a command or key not permitted
    │   ├── WrongServer (Configura…)  not the server that the URL describes: its certificate, its service
    │   ├── Undelivered               what another queue is owed cannot be handed over now; it is kept
    │   └── BackendClosed             used after close()
    ├── JobNotFound (LookupError)     no job of that id in the queue
    ├── ScheduleNotFound (LookupError)  no schedule of that id in the queue
    ├── WebhookNotFound (LookupError)   no webhook of that id in the queue
    ├── InvalidState                  the job is in a state that does not allow the operation
    │   └── KeyHeld                   another job holds its unique key
    ├── LeaseLost                     the job is no longer this worker's
    ├── JobFailed                     job.result(): the job failed for good
    ├── JobCancelled                  job.result(): the job was cancelled
    ├── JobTimeout                    an attempt ran longer than its timeout
    └── JobSignal                     raised by a processor to say what should happen next
        ├── Unrecoverable             fail now, whatever attempts are left
        ├── Snooze                    run again later, without spending an attempt
        ├── WaitForChildren           run again when the jobs it has added are done
        └── RateLimited               stop the queue or the group for a time, without spending an attempt

The first line of a class's docstring is its message where none is given, so that no error is ever
raised blank (an idea of procrastinate's).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any


class JobQueueError(Exception):
    """Something went wrong in jobqueue."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or type(self).__name__).partition("\n")[0])


class ConfigurationError(JobQueueError):
    """The configuration cannot work."""


class MissingExtra(ConfigurationError):
    """An optional package is needed for this; install the extra that brings it."""


class InvalidInput(JobQueueError, ValueError):
    """The input was refused; nothing was written."""


class InvalidName(InvalidInput):
    """The name has characters outside the allowed set."""


class InvalidOption(InvalidInput):
    """An option has a value that cannot be used."""


class UnknownOption(InvalidOption, TypeError):
    """There is no such option."""


class InvalidData(InvalidInput):
    """The job's data is not what its type asks for.

    ``errors`` holds pydantic's error list (without the offending input), or is empty where the data is not
    JSON at all.
    """

    def __init__(self, message: str | None = None, *, errors: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(message)
        self.errors: list[dict[str, Any]] = list(errors)


class BadSignature(InvalidData):
    """What is stored was not signed or encrypted with a key of ours, or was changed or moved since."""


class PayloadTooLarge(InvalidInput):
    """The job's data is larger than the limit; store it elsewhere and enqueue a reference."""


class QueueFull(JobQueueError):
    """The queue holds as many unstarted jobs as it may; nothing was written.

    ``queue`` names it, ``limit`` is its ``max_waiting``. Try again later, or enqueue with ``wait=`` seconds.
    """

    def __init__(self, message: str | None = None, *, queue: str = "", limit: int = 0) -> None:
        super().__init__(message)
        self.queue = queue
        self.limit = limit


class GroupFull(QueueFull):
    """The group holds as many waiting jobs as it may; nothing was written. ``group`` names it."""

    def __init__(self, message: str | None = None, *, queue: str = "", limit: int = 0, group: str = "") -> None:
        super().__init__(message, queue=queue, limit=limit)
        self.group = group


class RegistrationError(JobQueueError):
    """The processor or job type is declared twice, or at odds with an earlier declaration."""


class BackendError(JobQueueError):
    """The backend could not do what was asked."""


class BackendUnavailable(BackendError):
    """The backend could not be reached within the deadline."""


class BackendFull(BackendError):
    """The backend takes no more data: its memory or its disk is full. Nothing was written."""


class AccessDenied(BackendError):
    """The server refused the credentials, or the user lacks a permission."""


class WrongServer(BackendError, ConfigurationError):
    """The server that was reached is not the one that the URL describes."""


class Undelivered(BackendError):
    """What a queue owes another one cannot be handed over now. It stays in its outbox, and workers go on trying.

    ``queue`` names the other one, ``__cause__`` is what went wrong there.
    """

    def __init__(self, message: str | None = None, *, queue: str = "") -> None:
        super().__init__(message)
        self.queue = queue


class BackendClosed(BackendError):
    """The backend is closed; open a new one with connect()."""


class JobNotFound(JobQueueError, LookupError):
    """There is no job of that id in the queue."""


class ScheduleNotFound(JobQueueError, LookupError):
    """There is no schedule of that id in the queue."""


class WebhookNotFound(JobQueueError, LookupError):
    """There is no webhook of that id in the queue."""


class InvalidState(JobQueueError):
    """The job is in a state that does not allow the operation."""


class KeyHeld(InvalidState):
    """The job cannot begin again as long as another one holds its unique key."""


class LeaseLost(JobQueueError):
    """The job is no longer this worker's; its result was refused."""


class JobFailed(JobQueueError):
    """The job failed for good.

    ``error_type``, ``error_message`` and ``traceback`` say why, as far as they were kept.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        error_type: str = "",
        error_message: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.error_message = error_message
        self.traceback = traceback


class JobCancelled(JobQueueError):
    """The job was cancelled."""

    def __init__(self, message: str | None = None, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class JobTimeout(JobQueueError):
    """The attempt ran longer than its timeout."""


class JobSignal(JobQueueError):
    """Raised by a processor to say what should happen next."""


class Unrecoverable(JobSignal):
    """The processor says that no retry can help."""


class Snooze(JobSignal):
    """The processor asks to be run again later.

    ``after`` is in seconds (or a ``timedelta``). No attempt is spent. Raises InvalidOption where it is negative.
    """

    def __init__(self, after: float | timedelta, message: str | None = None) -> None:
        super().__init__(message)
        self.after: float = _seconds(type(self).__name__, after)


class WaitForChildren(JobSignal):
    """The processor waits for jobs it has added; it runs again when they are done.

    Raised by ``job.wait_for_children()``: let it pass. No attempt is spent.
    """


class RateLimited(JobSignal):
    """The processor was told to slow down.

    ``after`` is in seconds (or a ``timedelta``). For that time nothing of the job's group is started, or, where it has
    none, nothing of the whole queue; the job goes back to the front of its priority and no attempt is spent.
    ``resume()`` of the queue or the group ends it early.
    """

    def __init__(self, after: float | timedelta, message: str | None = None) -> None:
        super().__init__(message)
        self.after: float = _seconds(type(self).__name__, after)


def _seconds(signal: str, after: object) -> float:
    seconds = after.total_seconds() if isinstance(after, timedelta) else after
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise InvalidOption(f"{signal}: after must be seconds or a timedelta, not {type(after).__name__}")
    if not 0 <= seconds < math.inf:
        # A job that asked for less than nothing would come back at once, for ever.
        raise InvalidOption(f"{signal}: after must be 0 or more seconds, not {seconds!r}")
    return float(seconds)
