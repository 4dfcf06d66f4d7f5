"""A call that is cut off, and what others do before it is repeated."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.redis.calls import Calls
from jobqueue.errors import BackendError, BackendUnavailable
from jobqueue.model.record import JobState
from jobqueue.testing import ManualClock
from jobqueue.testing.contract.steps import QUEUE


class How(Enum):
    """What becomes of the first try."""

    LOST = auto()
    """It takes effect, and its reply is lost."""
    UNSENT = auto()
    """The line was closed before."""
    LATE = auto()
    """It reaches the server after its repeat, as from a proxy or a socket of a server that stood still."""


class Cut:
    """The first call that one backend makes of any of ``scripts`` is cut off; then ``interlude`` is played."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, backend: RedisBackend, how: How, *scripts: str) -> None:
        self.struck = ""
        self.interlude: Callable[[], Awaitable[Any]] = _nothing
        self._late: Callable[[], Awaitable[Any]] | None = None
        own = backend._calls  # pyright: ignore[reportPrivateUsage]
        real = Calls.run

        async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
            if calls is not own or name not in scripts or self.struck:
                return await real(calls, name, prefix, *words)
            self.struck = name
            if how is How.LOST:
                await real(calls, name, prefix, *words)
            elif how is How.LATE:
                self._late = lambda: real(calls, name, prefix, *words)
            await self.interlude()
            raise BackendUnavailable("cut off")

        monkeypatch.setattr(Calls, "run", run)

    async def arrive(self) -> None:
        """The first try reaches the server after all."""
        assert self._late is not None
        # Where its caller has gone on, it is told so; nobody hears that.
        with contextlib.suppress(BackendError):
            await self._late()


async def _nothing() -> None:
    pass


class Stage:
    """A server with two clients: ``ours``, whose call is cut off, and ``theirs``."""

    def __init__(self, ours: RedisBackend, theirs: RedisBackend, clock: ManualClock) -> None:
        self.ours, self.theirs, self.clock = ours, theirs, clock

    async def seen(self) -> dict[str, Any]:
        """All that anybody could see of the queue."""
        found: dict[str, Any] = {
            str(state): [(job, await self.theirs.logs(QUEUE, job.id)) for job in await self.theirs.find(QUEUE, state)]
            for state in JobState
        }
        found["schedules"] = (await self.theirs.find_schedules(QUEUE)).records
        found["endpoints"] = await self.theirs.find_endpoints(QUEUE)
        found["events"] = (await self.theirs.events(QUEUE, "0", 0)).events
        found["status"] = await self.theirs.status(QUEUE)
        found["stats"] = await self.theirs.stats(QUEUE, 60)
        return found


@asynccontextmanager
async def staged(url: str) -> AsyncGenerator[Stage]:
    """On an empty server, in virtual time."""
    async with redis.asyncio.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        clock = ManualClock()
        ours, theirs = RedisBackend(client, clock=clock), RedisBackend(client, clock=clock)
        await ours.open()
        await theirs.open()
        try:
            yield Stage(ours, theirs, clock)
        finally:
            await ours.close()
            await theirs.close()
