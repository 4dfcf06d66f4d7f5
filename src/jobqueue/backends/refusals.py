"""What a producer is told whose jobs find no room: the same words for every backend."""

from __future__ import annotations

from jobqueue.errors import GroupFull, QueueFull


def full(queue: str, limit: int, group: str = "") -> QueueFull:
    """The error for a queue, or a group of it, that holds as many jobs as it may."""
    if group:
        message = f"group {group!r} of queue {queue!r} has its limit of {limit} waiting jobs; nothing was written"
        return GroupFull(message, queue=queue, limit=limit, group=group)
    message = f"queue {queue!r} has its limit of {limit} unstarted jobs; nothing was written. Try later, or pass wait="
    return QueueFull(message, queue=queue, limit=limit)
