"""What is said of jobs that find no room, of a unique key that is taken, of what cannot be handed over: the same words
for every backend.
"""

from __future__ import annotations

from jobqueue.errors import BackendError, GroupFull, InvalidOption, KeyHeld, QueueFull, Undelivered


def full(queue: str, limit: int, group: str = "") -> QueueFull:
    """The error for a queue, or a group of it, that holds as many jobs as it may."""
    if group:
        message = (
            f"group {group!r} of queue {queue!r} has its limit of {limit} waiting jobs; nothing was written. "
            "Try later, or pass wait="
        )
        return GroupFull(message, queue=queue, limit=limit, group=group)
    message = f"queue {queue!r} has its limit of {limit} unstarted jobs; nothing was written. Try later, or pass wait="
    return QueueFull(message, queue=queue, limit=limit)


def key_is_held(job_id: str, other: str) -> KeyHeld:
    """The error for a finished job that cannot begin again."""
    return KeyHeld(
        f"job {job_id!r} cannot be retried: job {other!r} holds its unique key and is to do the same; cancel that first"
    )


def undelivered(queue: str, target: str, why: Exception) -> Undelivered:
    """The error for what ``queue`` owes ``target``. Only our own words are repeated: others may quote a payload."""
    words = str(why) if isinstance(why, BackendError) else f"{type(why).__name__} where it was read"
    error = Undelivered(f"what queue {queue!r} owes queue {target!r} cannot be handed over: {words}", queue=target)
    error.__cause__ = why
    return error


def no_cursor(after: str) -> InvalidOption:
    """The error for what does not say after which event to begin."""
    return InvalidOption(f"after must be an event's id, or '0' for the oldest kept, not {after!r:.60}")
