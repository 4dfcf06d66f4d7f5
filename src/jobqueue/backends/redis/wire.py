"""Wires: what carries one call at a time over a connection that redis-py has opened.

redis-py connects, authenticates and speaks TLS; then ``DirectWire`` takes the transport over and reads replies as they
come in. A reply through the client's stream reader costs two more turns of the event loop and a timeout object of its
own, which is a third of a round trip on a local network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError, ResponseError

_NOTHING = object()
_PUSH: type[Any] = getattr(hiredis, "PushNotification", type(None))


class Wire(Protocol):
    """One open connection."""

    async def ask(self, packed: bytes, seconds: float) -> Any:
        """Send a packed command and return its reply; an error reply is raised as ResponseError.

        Raises TimeoutError after ``seconds``, OSError or RedisError where the connection is lost. After anything but
        a reply or a ResponseError the wire must be closed.
        """
        ...

    async def ask_both(self, first: bytes, second: bytes, seconds: float) -> tuple[Any, Any]:
        """Send two packed commands at once and return both replies, errors among them; raises as ``ask`` otherwise."""
        ...

    async def close(self) -> None:
        """Hang up at once."""
        ...

    @property
    def lost(self) -> bool:
        """Whether it is known already that the connection is gone."""
        ...


def wire_of(connection: AbstractConnection) -> Wire:
    """The fastest wire for a connection that has just been opened."""
    writer = cast("object", getattr(connection, "_writer", None))
    if isinstance(writer, asyncio.StreamWriter) and hasattr(writer.transport, "set_protocol"):
        return DirectWire(connection, writer)
    # Not a socket: fakeredis, or a client of the future that keeps its streams elsewhere.
    return ClientWire(connection)


class ClientWire:
    """Goes through the client's own reader and writer."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection

    async def ask(self, packed: bytes, seconds: float) -> Any:
        await self._connection.send_packed_command(packed, check_health=False)
        return cast("Any", await self._connection.read_response(disable_decoding=True, timeout=seconds))

    async def ask_both(self, first: bytes, second: bytes, seconds: float) -> tuple[Any, Any]:
        # One after the other: a server that is imitated may begin with the second while the first one still waits.
        return await self._outcome(first, seconds), await self._outcome(second, seconds)

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)

    @property
    def lost(self) -> bool:
        return False

    async def _outcome(self, packed: bytes, seconds: float) -> Any:
        try:
            return await self.ask(packed, seconds)
        except ResponseError as refusal:
            return refusal


class DirectWire(asyncio.Protocol):
    """Reads from the transport itself."""

    def __init__(self, connection: AbstractConnection, writer: asyncio.StreamWriter) -> None:
        self._loop = asyncio.get_running_loop()
        # The stream writer closes its transport when it is forgotten, so it is held, and the client lets go of it.
        self._writer = writer
        connection._writer = connection._reader = None  # pyright: ignore[reportPrivateUsage]
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_protocol(self)
        make_reader = cast("Callable[..., Any]", hiredis.Reader)
        self._replies = make_reader(replyError=ResponseError, notEnoughData=_NOTHING)
        self._waiter: asyncio.Future[Any] | None = None
        self._early: list[Any] | None = None
        """Where a reply goes that comes ahead of the one that is waited for."""
        self._give_up = 0.0
        self._alarm: asyncio.TimerHandle | None = None
        self._lost: Exception | None = None

    @property
    def lost(self) -> bool:
        return self._lost is not None

    async def ask(self, packed: bytes, seconds: float) -> Any:
        if self._lost is not None:
            raise self._lost
        self._waiter = self._loop.create_future()
        self._give_up = self._loop.time() + seconds
        if self._alarm is None or self._alarm.when() > self._give_up:
            self._set_alarm()
        self._transport.write(packed)
        try:
            reply = await self._waiter
        finally:
            self._waiter = None
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def ask_both(self, first: bytes, second: bytes, seconds: float) -> tuple[Any, Any]:
        early: list[Any] = []
        self._early = early
        try:
            last = await self.ask(first + second, seconds)
        except ResponseError as refusal:
            last = refusal
        return early[0], last

    async def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        self._fail(RedisConnectionError("the connection was closed"))
        # Not close(): over TLS that would wait for the server's farewell, up to half a minute where it has gone.
        self._transport.abort()

    # The protocol.

    def data_received(self, data: bytes) -> None:
        """The server has sent something."""
        try:
            self._replies.feed(data)
            reply = self._replies.gets()
            while reply is not _NOTHING:
                if not isinstance(reply, _PUSH):
                    self._answer(reply)
                reply = self._replies.gets()
        except hiredis.HiredisError as error:
            self._fail(RedisConnectionError(f"not an answer of Redis: {error}"))
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server, or something in between, has hung up."""
        self._fail(exc or RedisConnectionError("the server closed the connection"))

    def _answer(self, reply: Any) -> None:
        if self._early is not None:
            self._early.append(reply)
            self._early = None
            return
        if self._waiter is None or self._waiter.done():
            # Nobody asked: whatever comes next could be taken for the wrong answer.
            self._fail(RedisConnectionError("an answer to no question"))
            self._transport.abort()
            return
        self._waiter.set_result(reply)

    def _fail(self, error: Exception) -> None:
        self._lost = self._lost or error
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._lost)

    # One alarm for many calls: setting one for each would cost more than sending it.

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._give_up, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._give_up:
            self._fail(TimeoutError("the server did not answer in time"))
        else:
            self._set_alarm()
