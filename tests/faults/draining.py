"""Looking at a queue as a whole: until nothing is left to do, and at all that was done."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from jobqueue import Job, JobState, Queue

_PATIENCE = 120.0


async def drained(*queues: Queue) -> None:
    """Return when nothing is left to do. Raises TimeoutError when nothing has moved for a long time."""
    before, moved = None, time.monotonic()
    while True:
        counts = await asyncio.gather(*(queue.counts() for queue in queues))
        if not any(each.waiting or each.active or each.delayed or each.blocked for each in counts):
            return
        if (done := [(each.completed, each.failed) for each in counts]) != before:
            before, moved = done, time.monotonic()
        if time.monotonic() > moved + _PATIENCE:
            raise TimeoutError(f"nothing moves any more: {counts}")
        await asyncio.sleep(0.05)


async def all_jobs(queue: Queue, state: JobState) -> list[Job[Any, Any]]:
    """All of one state, page after page."""
    found: list[Job[Any, Any]] = []
    while page := await queue.jobs(state, limit=1000, offset=len(found)):
        found += page
    return found
