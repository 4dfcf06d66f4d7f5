"""Lines to the server: connections of our own that carry one call at a time and never repeat it by themselves.

Why not the client's ``execute_command``: it repeats a call that timed out, up to ten times in redis-py 8, so
that a script whose reply was lost would run again without knowing it; a cancelled command can leave its reply
in a shared connection (CVE-2023-28858); and it costs a fifth more time. A line that was disturbed in any way is
closed; the next call opens it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import hiredis
import redis.asyncio
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError as RedisConnectionError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
)

from jobqueue.backends.redis.wire import Wire, wire_of
from jobqueue.errors import AccessDenied, BackendError, BackendFull, BackendUnavailable

_CALL_SECONDS = 5.0
_LINES = 16
"""Lines for ordinary calls: more would only queue up in the server, which runs one script at a time."""

_FULL = ("OOM", "MISCONF", "NOREPLICAS")
_AWAY = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "UNBLOCKED", "BUSY")
_DENIED = ("NOAUTH", "WRONGPASS", "NOPERM")


class NoScript(Exception):
    """The server does not know the script (it was restarted, or its scripts were flushed)."""


class Line:
    """One connection; open from its first call until it is disturbed or closed."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self._wire: Wire | None = None

    async def call(self, *words: Any, seconds: float = _CALL_SECONDS) -> Any:
        """Send one command and return its reply as bytes, integers and lists.

        Raises a BackendError, or NoScript. After BackendUnavailable the command may have run.
        """
        try:
            wire = self._wire
            if wire is None:
                wire = await self._open(seconds)
            # hiredis packs several times faster than the client's own Python.
            packed = cast("bytes", hiredis.pack_command(words))  # pyright: ignore[reportUnknownMemberType]
            return await wire.ask(packed, seconds)
        except ResponseError as error:
            translated = _translate(error)
            if isinstance(translated, BackendUnavailable):
                # A replica that was a primary, or a server that is loading: look again from the beginning.
                await self.close()
            raise translated from error
        except (TimeoutError, RedisError, OSError) as error:
            await self.close()
            raise _translate(error) from error
        except BaseException:
            # Cancelled between request and reply: the reply must never reach the next call.
            await self.close()
            raise

    async def close(self) -> None:
        """Let go of the connection; the next call opens a new one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _open(self, seconds: float) -> Wire:
        connection = self._pool.make_connection()
        connection.retry = Retry(NoBackoff(), 0)
        try:
            async with asyncio.timeout(seconds):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._wire = wire_of(connection)
        return self._wire


class Switchboard:
    """The lines of one backend: idle ones are reused, last in first out, and at most so many are in use at once."""

    def __init__(self, client: redis.asyncio.Redis, lines: int = _LINES) -> None:
        self._pool: ConnectionPool = client.connection_pool
        self._idle: list[Line] = []
        self._free = asyncio.Semaphore(lines)
        self._all: set[Line] = set()

    async def take(self) -> Line:
        """A line for one ordinary call, to be given back; waits while all are in use."""
        await self._free.acquire()
        return self._idle.pop() if self._idle else self._new()

    def give_back(self, line: Line) -> None:
        """The call is over, however it went."""
        self._idle.append(line)
        self._free.release()

    async def call(self, *words: Any) -> Any:
        """One ordinary call on any line."""
        line = await self.take()
        try:
            return await line.call(*words)
        finally:
            self.give_back(line)

    @asynccontextmanager
    async def own_line(self) -> AsyncGenerator[Line]:
        """A line for a call that blocks: it is not counted, and closed afterwards if it was disturbed."""
        line = self._idle.pop() if self._idle else self._new()
        try:
            yield line
        finally:
            self._idle.append(line)

    async def close(self) -> None:
        """Close every line, also those in use: their calls end as if the server had gone."""
        for line in list(self._all):
            await line.close()
        self._all.clear()
        self._idle.clear()

    def _new(self) -> Line:
        line = Line(self._pool)
        self._all.add(line)
        return line


def _translate(error: BaseException) -> BaseException:
    """A redis error as one of ours. Server messages hold no payloads; client ones may hold an address, never a
    password.
    """
    text = str(error)
    word = text.partition(" ")[0].rstrip(":")
    if word == "NOSCRIPT" or text.startswith("No matching script"):
        return NoScript()
    # While connecting redis-py wraps the refusal in an ordinary ConnectionError.
    refusals = (AuthenticationError, NoPermissionError)
    if isinstance(error, refusals) or isinstance(error.__cause__, refusals) or word in _DENIED:
        return AccessDenied(f"the server refused access: {text}; check the user, its password and its permissions")
    if word in _FULL or "command not allowed when used memory" in text:
        return BackendFull(f"the server takes no more data: {text}")
    away = (
        RedisConnectionError,
        RedisTimeoutError,
        BusyLoadingError,
        ReadOnlyError,
        OSError,
        asyncio.TimeoutError,
    )
    if isinstance(error, away) or word in _AWAY:
        return BackendUnavailable(f"the server cannot be reached: {text or type(error).__name__}")
    return BackendError(f"the server refused a command: {text}")
