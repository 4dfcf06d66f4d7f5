"""A client that goes on long after it began."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobqueue.backends import RedisBackend
from jobqueue.backends.redis.courier import Courier


class Straggler:
    """A client that stands still in the middle of handing something over, and goes on later."""

    def __init__(self, backend: RedisBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        self.backend = backend
        self._monkeypatch = monkeypatch

    @asynccontextmanager
    async def stopped_before(self, errand: str, doing: Coroutine[Any, Any, Any]) -> AsyncGenerator[None]:
        """It is ``doing`` this, and comes as far as the errand; what stands in the block happens meanwhile."""
        held, go_on, own = asyncio.Event(), asyncio.Event(), getattr(Courier, errand)
        calls = self.backend._calls  # pyright: ignore[reportPrivateUsage]

        async def slow(courier: Courier, *words: Any) -> Any:
            if courier.calls is calls:
                held.set()
                await go_on.wait()
            return await own(courier, *words)

        self._monkeypatch.setattr(Courier, errand, slow)
        task = asyncio.create_task(doing)
        async with asyncio.timeout(10):
            await held.wait()
        yield
        go_on.set()
        await task
        self._monkeypatch.setattr(Courier, errand, own)
