"""What is said of jobs that find no room, or their unique key taken: the same words for every backend."""

from __future__ import annotations

from jobqueue.errors import GroupFull, InvalidOption, KeyHeld, QueueFull


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


def no_cursor(after: str) -> InvalidOption:
    """The error for what does not say after which event to begin."""
    return InvalidOption(f"after must be an event's id, or '0' for the oldest kept, not {after!r:.60}")
