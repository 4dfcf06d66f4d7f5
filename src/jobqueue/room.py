"""Waiting for room in a full queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobqueue.backends.protocol import Backend, Enqueued, NewRecord
from jobqueue.errors import GroupFull, QueueFull

_LOOK_EVERY = 1.0
"""Seconds after which a waiting producer looks anyway: not everything that makes room says so."""


async def put_with_room(backend: Backend, queue: str, records: Sequence[NewRecord], seconds: float) -> list[Enqueued]:
    """Enqueue as soon as there is room, within ``seconds`` of real time.

    Raises QueueFull after that, and at once where so many would not fit into an empty queue. Safe to cancel.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while True:
        left = give_up - loop.time()
        try:
            return await backend.enqueue(queue, records, wait_ms=max(0, round(left * 1000)))
        except QueueFull as full:
            if left <= 0 or _never_fit(records, full):
                raise
        await backend.wait_for_room(queue, max(0.0, min(_LOOK_EVERY, give_up - loop.time())))


def _never_fit(records: Sequence[NewRecord], full: QueueFull) -> bool:
    comers = {record.id for record in records if not isinstance(full, GroupFull) or record.group == full.group}
    return len(comers) > full.limit
