"""What an attempt came to: a closed union that every backend matches exhaustively.

Policy has already been decided when one of these is made: a backend never asks whether a job should be retried, only
carries out what it is told.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobqueue.model.record import JobError


@dataclass(frozen=True, slots=True)
class Retention:
    """How finished jobs of one kind are kept, as the job that just finished asks for it.

    ``count``: keep the newest so many (None: all; 0: drop this job at once and leave the others). ``age_ms``: drop this
    job so long after it finished (None: never).
    """

    count: int | None = None
    age_ms: int | None = None


KEEP_ALL = Retention()


@dataclass(slots=True)
class Completed:
    """The processor returned; ``result`` is JSON, None for null."""

    result: bytes | None = None
    keep: Retention = Retention(count=100)


@dataclass(frozen=True, slots=True)
class RetryAt:
    """The attempt failed and is spent; another follows after ``delay_ms`` (0: at once, at the end of its priority)."""

    delay_ms: int
    error: JobError


@dataclass(frozen=True, slots=True)
class Failed:
    """The job failed for good. ``spent`` is False where no attempt was made (the data was invalid).

    ``dead_letter`` names the queue that gets a letter; None: no letter.
    """

    error: JobError
    keep: Retention = KEEP_ALL
    dead_letter: str | None = None
    spent: bool = True


@dataclass(frozen=True, slots=True)
class Released:
    """Handed back without spending an attempt: to the front of its priority, or into ``delayed`` for ``delay_ms``.

    ``hold_queue_ms`` stops the whole queue, or the job's group if it has one, from being claimed for that long (a
    processor was rate limited).
    """

    reason: str
    delay_ms: int = 0
    hold_queue_ms: int = 0


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancel request was carried out while the job ran."""

    reason: str
    keep: Retention = KEEP_ALL


@dataclass(frozen=True, slots=True)
class Parked:
    """The job waits for jobs that it has added: blocked until they are done, without spending an attempt; it then goes
    to the front of its priority. At once if they are done already.
    """


Outcome = Completed | RetryAt | Failed | Released | Cancelled | Parked
