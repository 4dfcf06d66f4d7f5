"""Lines to the server: connections of our own that carry one call at a time and never repeat it by themselves.

Why not the client's ``execute_command``: it repeats a call that timed out, up to ten times in redis-py 8, so
that a script whose reply was lost would run again without knowing it; a cancelled command can leave its reply
in a shared connection (CVE-2023-28858); and it costs a fifth more time. A line that was disturbed in any way is
closed; the next call opens it anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar, cast

import hiredis
from redis.asyncio.connection import ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError as RedisConnectionError,
    MovedError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError as RedisTimeoutError,
    TryAgainError,
)

from jobqueue.backends.redis.causes import shut_out, untrusted
from jobqueue.backends.redis.forking import watch
from jobqueue.backends.redis.opening import opened
from jobqueue.backends.redis.wire import Wire, wire_of
from jobqueue.errors import AccessDenied, BackendError, BackendFull, BackendUnavailable, WrongServer

ResultT = TypeVar("ResultT")

_pack = cast("Callable[[Sequence[Any]], bytes]", hiredis.pack_command)  # pyright: ignore[reportUnknownMemberType]
"""Several times faster than the client's own Python."""
_CALL_SECONDS = 5.0
_LINES = 16
"""Lines for ordinary calls: more would only queue up in the server, which runs one script at a time."""

_FULL = ("OOM", "MISCONF")
_FEW = "NOREPLICAS"
_AWAY = ("LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "UNBLOCKED", "BUSY")
_ELSEWHERE = ("MOVED", "ASK")
_DENIED = ("NOAUTH", "WRONGPASS", "NOPERM")
_IN_SCRIPT = re.compile(r"^ERR Error running script.*?: -([A-Z]+) ")


class NoScript(Exception):
    """The server does not know the script (it was restarted, or its scripts were flushed)."""


class GivenUp(BackendError):
    """The caller of this call has made another one since, as far as the server knows: nothing was done."""


class StaleFlow(BackendError):
    """The flow was read too long ago to be written: it must be read again."""


class NotDone(Exception):
    """The first of two commands went through, and the second was not run."""


class Redirected(BackendError):
    """This server is a node of a cluster, and the key is another's: connect with redis+cluster://.

    ``host`` is empty where it is the one that answered. ``asked``: the key's slot is on its way there (ASK, not MOVED).
    """

    def __init__(self, told: str) -> None:
        super().__init__()
        word, slot, address = told.split(" ")[:3]
        host, _, port = address.rpartition(":")
        self.asked = word == "ASK"
        self.slot, self.host, self.port = int(slot), host, int(port)


class Lines(Protocol):
    """Lines to wherever a key lives. ``key`` is None for a question to any server."""

    async def carry(
        self, key: str | None, use: Callable[[Line], Awaitable[ResultT]], *, whole: bool = False
    ) -> ResultT:
        """Make an ordinary call on a line; waits while all are in use.

        ``whole``: it touches other keys of the same hash tag than ``key``. ``use`` is called again where nothing was
        done because the key has moved.
        """
        ...

    async def hold(self, key: str, use: Callable[[Line], Awaitable[ResultT]]) -> ResultT:
        """Make a call that blocks, on a line that is not counted; as ``carry`` otherwise."""
        ...

    async def close(self) -> None:
        """Close every line, also those in use: their calls end as if the server had gone."""
        ...


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
            wire = await self._open_wire(seconds)
            return await wire.ask(_pack(words), seconds)
        except (TimeoutError, RedisError, OSError) as error:
            raise await self._meaning(error) from error
        except BaseException:
            # Cancelled between request and reply: the reply must never reach the next call.
            await self.close()
            raise

    async def call_behind(self, first: Sequence[Any], words: Sequence[Any], *, seconds: float) -> Any:
        """Send ``first`` and, in the same packet, ``words``; return the reply to the latter.

        What stands behind a command that blocks is run by the server the moment that ends, a round trip earlier than
        if it were sent then. Raises as ``call``, and NotDone where ``first`` went through and the other was not run.
        """
        try:
            wire = await self._open_wire(seconds)
            early, reply = await wire.ask_both(_pack(first), _pack(words), seconds)
        except (TimeoutError, RedisError, OSError) as error:
            raise await self._meaning(error) from error
        except BaseException:
            await self.close()
            raise
        if isinstance(early, ResponseError):
            raise await self._meaning(early) from early
        if isinstance(reply, ResponseError):
            meaning = await self._meaning(reply)
            raise NotDone if isinstance(meaning, (NoScript, Redirected)) else meaning from reply
        return reply

    async def close(self) -> None:
        """Let go of the connection; the next call opens a new one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            await wire.close()

    async def _meaning(self, error: TimeoutError | RedisError | OSError) -> BaseException:
        """What to raise for ``error``, when the line is fit for the next call."""
        meaning = translated(error)
        if isinstance(meaning, BackendUnavailable) or not isinstance(error, ResponseError):
            # Disturbed; or a replica that was a primary, or a server that is loading: look again from the beginning.
            await self.close()
        return meaning

    async def _open_wire(self, seconds: float) -> Wire:
        if self._wire is not None:
            if not self._wire.lost:
                return self._wire
            # The server has hung up while nobody asked it anything: no call has been lost by that.
            await self.close()
        return await self._open(seconds)

    async def _open(self, seconds: float) -> Wire:
        connection = self._pool.make_connection()
        connection.retry = Retry(NoBackoff(), 0)
        try:
            async with asyncio.timeout(seconds):
                await opened(connection)
        except (TimeoutError, RedisTimeoutError) as error:
            await connection.disconnect(nowait=True)
            if isinstance(connection, SSLConnection):
                raise RedisTimeoutError("no answer to the beginning of TLS: does the server speak it?") from error
            raise
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._wire = wire_of(connection)
        return self._wire


class Switchboard:
    """The lines to one server: idle ones are reused, last in first out, and at most so many are in use at once."""

    def __init__(self, pool: ConnectionPool, lines: int = _LINES) -> None:
        self._pool = pool
        self._idle: list[Line] = []
        self._lines = lines
        self._free = asyncio.Semaphore(lines)
        self._all: set[Line] = set()
        self._of_parents: list[Line] = []
        watch(self)

    @property
    def is_idle(self) -> bool:
        """Whether no call is under way."""
        return len(self._idle) == len(self._all)

    async def carry(
        self, key: str | None, use: Callable[[Line], Awaitable[ResultT]], *, whole: bool = False
    ) -> ResultT:
        """One ordinary call on any line; all keys live here."""
        del key, whole
        await self._free.acquire()
        line = self._idle.pop() if self._idle else self._new()
        try:
            return await use(line)
        finally:
            self._idle.append(line)
            self._free.release()

    async def hold(self, key: str, use: Callable[[Line], Awaitable[ResultT]]) -> ResultT:
        """A call that blocks: its line is not counted, and closed afterwards if it was disturbed."""
        del key
        line = self._idle.pop() if self._idle else self._new()
        try:
            return await use(line)
        finally:
            self._idle.append(line)

    def begin_anew(self) -> None:
        """After a fork: the lines are the parent's."""
        self._of_parents += self._all
        self._all = set()
        self._idle = []
        self._free = asyncio.Semaphore(self._lines)

    async def close(self) -> None:
        """Close every line, also those in use: their calls end as if the server had gone. The next call opens anew."""
        for line in list(self._all):
            await line.close()

    def _new(self) -> Line:
        line = Line(self._pool)
        self._all.add(line)
        return line


def translated(error: BaseException) -> BaseException:
    """A redis error as one of ours. Server messages hold no payloads; client ones may hold an address, never a
    password.
    """
    text = str(error)
    word = text.partition(" ")[0].rstrip(":")
    if inner := _IN_SCRIPT.search(text):
        # Before Redis 7 an error inside a script is told behind where it happened.
        word = inner[1]
    if word == "NOSCRIPT" or text.startswith("No matching script"):
        return NoScript()
    if word == "GIVENUP":
        return GivenUp()
    if word == "STALE":
        return StaleFlow()
    if word in _ELSEWHERE:
        return Redirected(text)
    if isinstance(error, AskError):
        # The client's own reading of it (MovedError is one of these), without the word.
        return Redirected(f"{'MOVED' if isinstance(error, MovedError) else 'ASK'} {text}")
    # While connecting redis-py wraps the refusal in an ordinary ConnectionError.
    refusals = (AuthenticationError, NoPermissionError)
    if isinstance(error, refusals) or isinstance(error.__cause__, refusals) or word in _DENIED:
        return AccessDenied(f"the server refused access: {text}; check the user, its password and its permissions")
    if reason := shut_out(error):
        return AccessDenied(reason)
    if reason := untrusted(error):
        return WrongServer(reason)
    if word == _FEW:
        return BackendUnavailable(
            f"the server takes no writes while too few replicas follow it (min-replicas-to-write): {text}"
        )
    if word in _FULL or "command not allowed when used memory" in text:
        return BackendFull(f"the server takes no more data: {text}")
    away = (
        RedisConnectionError,
        RedisTimeoutError,
        BusyLoadingError,
        ReadOnlyError,
        ClusterDownError,
        TryAgainError,
        OSError,
        asyncio.TimeoutError,
    )
    if isinstance(error, away) or word in _AWAY:
        return BackendUnavailable(f"the server cannot be reached: {text or type(error).__name__}")
    return BackendError(f"the server refused a command: {text}")
