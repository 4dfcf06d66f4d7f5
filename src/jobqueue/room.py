"""Waiting for room in a full queue."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from jobqueue.backends.protocol import Backend
from jobqueue.errors import QueueFull

PutT = TypeVar("PutT")

_LOOK_EVERY = 1.0
"""Seconds after which a waiting producer looks anyway: not everything that makes room says so."""


async def with_room(backend: Backend, queue: str, seconds: float, put: Callable[[int], Awaitable[PutT]]) -> PutT:
    """Call ``put`` (told for how many ms its caller goes on waiting) until it finds room, for ``seconds`` of real time.

    Raises QueueFull after that. Safe to cancel.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + seconds
    while True:
        left = give_up - loop.time()
        try:
            return await put(max(0, round(left * 1000)))
        except QueueFull:
            if left <= 0:
                raise
        await backend.wait_for_room(queue, max(0.0, min(_LOOK_EVERY, give_up - loop.time())))
