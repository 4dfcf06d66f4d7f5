"""Waiting for what becomes of deliveries, by their queue's events."""

from __future__ import annotations

import asyncio

from jobqueue import Delivery, JobState, Queue


async def ended(tickets: Queue, count: int, state: JobState = JobState.COMPLETED) -> list[Delivery]:
    """The deliveries of ``tickets``, once so many have come to ``state``."""
    hooks = Queue("webhooks", backend=await tickets.backend())
    cursor: str | None = "0"
    async with asyncio.timeout(30):
        found = await tickets.webhooks.deliveries(state=state)
        if len(found) < count:
            async for _ in hooks.events(after=cursor):
                found = await tickets.webhooks.deliveries(state=state)
                if len(found) >= count:
                    break
    return found
