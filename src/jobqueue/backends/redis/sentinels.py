"""Finding the primary through its sentinels, for every new connection.

1. The sentinels are asked for the primary's address, the one first that answered last; the next a moment later where it
   is silent, so that a sentinel that has gone costs a moment and not a timeout.
2. The address is connected to, and the server asked whether it is the primary. If it is not, the sentinel that named it
   is asked last from then on.
3. While connections are open the sentinels are asked again, twice a second. Where the primary has moved, connections to
   the old one are cut: a call that waits there would wait in vain, and what is still written there, by a primary that
   was only stopped for a while and does not know yet that it is none any more, will be lost.

redis-py's own pool for sentinels is not used: it asks ``SENTINEL MASTERS``, which names the old primary until all
replicas have been turned round, it does not ask the server for its role, it holds connections to sentinels that belong
to one event loop (a worker has two), and it waits for a silent sentinel before it asks the next one.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError as RedisConnectionError, NoPermissionError, RedisError

from jobqueue.backends.redis.causes import UnknownService, is_explained, nobody_listens
from jobqueue.backends.redis.forking import watch
from jobqueue.backends.redis.opening import last_words, opened

_HEAD_START = 0.2
_ANSWER_SECONDS = 1.0
_LOOK_EVERY = 0.5

Address = tuple[str, int]


class Sentinels:
    """The sentinels of one service, and what they were last heard to say. Several event loops may share it."""

    def __init__(self, addresses: Sequence[Address], service: str, reach: Callable[[str, int], AbstractConnection]):
        self._order = list(addresses)
        self.service = service
        self.reach = reach
        self._lock = threading.Lock()
        self._primary: Address | None = None
        self._lines: weakref.WeakKeyDictionary[asyncio.Transport, tuple[Address, asyncio.AbstractEventLoop]]
        self._lines = weakref.WeakKeyDictionary()
        self._lookout: asyncio.AbstractEventLoop | None = None
        """The event loop that asks again for all the others."""
        self._looks: set[asyncio.Task[None]] = set()
        self.probe: Callable[[], AbstractConnection] | None = None
        """Makes a connection that finds the primary by itself when it is opened."""
        watch(self)

    def begin_anew(self) -> None:
        """After a fork: the connections, and the event loop that asks for them, are the parent's."""
        self._lock = threading.Lock()
        self._lines = weakref.WeakKeyDictionary()
        self._lookout = None

    @property
    def addresses(self) -> list[Address]:
        """Of the sentinels, in the order in which they are asked next."""
        return list(self._order)

    async def primary(self) -> tuple[Address, Address]:
        """The primary's address, and which sentinel named it.

        Raises redis-py's errors: UnknownService where those who answered do not watch it.
        """
        silent = list(self._order)
        asked: dict[asyncio.Task[Address | None], Address] = {}
        faults: list[tuple[Address, BaseException]] = []
        strangers = False
        try:
            while silent or asked:
                if silent:
                    sentinel = silent.pop(0)
                    asked[asyncio.create_task(self._ask(sentinel))] = sentinel
                answered, _ = await asyncio.wait(
                    asked, timeout=_HEAD_START if silent else None, return_when=asyncio.FIRST_COMPLETED
                )
                for task in answered:
                    sentinel = asked.pop(task)
                    if (error := task.exception()) is not None:
                        faults.append((sentinel, error))
                    elif (address := task.result()) is None:
                        strangers = True
                    else:
                        self._ask_next(sentinel, first=True)
                        return address, sentinel
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if strangers:
            raise UnknownService(f"the sentinels watch no service called {self.service!r}")
        raise _summed_up(faults)

    def distrust(self, sentinel: Address) -> None:
        """It named a server that is not the primary."""
        self._ask_next(sentinel, first=False)

    def found(self, address: Address, line: asyncio.Transport) -> None:
        """A connection to the primary has been opened; those to a former one are cut."""
        here = asyncio.get_running_loop()
        with self._lock:
            self._lines[line] = (address, here)
            self._primary = address
            former = [(other, loop) for other, (there, loop) in self._lines.items() if there != address]
            if self._lookout is None or self._lookout.is_closed():
                self._lookout = here
                here.call_later(_LOOK_EVERY, self._look)
        for other, loop in former:
            # A loop that has ended took its connections with it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(other.abort)

    def _look(self) -> None:
        """Called by the lookout's loop, for as long as it has connections."""
        here = asyncio.get_running_loop()
        with self._lock:
            if not any(loop is here and not line.is_closing() for line, (_, loop) in self._lines.items()):
                # Another loop's next connection brings another lookout.
                self._lookout = None
                return
        look = here.create_task(self._look_around())
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)
        look.add_done_callback(lambda _: here.call_later(_LOOK_EVERY, self._look))

    async def _look_around(self) -> None:
        # Sentinels that do not answer leave everything as it is: there is a primary, or the next call will say so.
        with suppress(RedisError, OSError, TimeoutError):
            address, _ = await self.primary()
            if address == self._primary or self.probe is None:
                return
            connection = self.probe()
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await opened(connection)
            finally:
                await connection.disconnect(nowait=True)

    def _ask_next(self, sentinel: Address, *, first: bool) -> None:
        others = [other for other in self._order if other != sentinel]
        self._order = [sentinel, *others] if first else [*others, sentinel]

    async def _ask(self, sentinel: Address) -> Address | None:
        connection = self.reach(*sentinel)
        connection.retry = Retry(NoBackoff(), 0)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await opened(connection)
                await connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
                answer = cast("list[bytes] | None", await connection.read_response(disable_decoding=True))
        finally:
            await connection.disconnect(nowait=True)
        return (answer[0].decode(), int(answer[1])) if answer else None


def _summed_up(faults: Sequence[tuple[Address, BaseException]]) -> BaseException:
    """One error for all sentinels: what somebody must put right comes before what may pass."""
    for (host, port), error in faults:
        if isinstance(error, (AuthenticationError, NoPermissionError)):
            return AuthenticationError(
                f"{error} (the sentinel {host}:{port}; see sentinel_username, sentinel_password)"
            )
        if is_explained(error):
            return error
    told = "; ".join(f"{host}:{port}: {str(error) or type(error).__name__}" for (host, port), error in faults)
    summary = RedisConnectionError(f"no sentinel answered: {told}")
    if all(nobody_listens(error) for _, error in faults):
        summary.__cause__ = faults[-1][1]
    return summary


class PrimaryConnection(Connection):
    """A connection to whoever is the primary when it is opened."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType]
        self.sentinels = sentinels

    async def connect(self) -> None:
        """Ask, connect, and make sure. Raises redis-py's errors."""
        (self.host, self.port), sentinel = await self.sentinels.primary()
        try:
            await super().connect()
        except RedisConnectionError as error:
            if isinstance(error, AuthenticationError) or isinstance(error.__cause__, AuthenticationError):
                raise
            if isinstance(self, SSLConnection) and (reason := await last_words(self, error)):
                raise reason from error
            # Not "nobody listens": there are sentinels, and sooner or later a primary.
            raise RedisConnectionError(str(error)) from None
        if not await self._is_primary():
            await self.disconnect(nowait=True)
            self.sentinels.distrust(sentinel)
            raise RedisConnectionError(f"{self.host}:{self.port} is not the primary any more")
        writer = cast("asyncio.StreamWriter", self._writer)
        self.sentinels.found((self.host, self.port), cast("asyncio.Transport", writer.transport))

    async def _is_primary(self) -> bool:
        await self.send_command("ROLE")
        try:
            role = cast("list[Any]", await self.read_response(disable_decoding=True))
        except NoPermissionError:
            # A user who may not ask will be told by the first write.
            return True
        except RedisError:
            await self.disconnect(nowait=True)
            raise
        return role[0] == b"master"


class PrimaryTLSConnection(PrimaryConnection, SSLConnection):
    """The same over TLS. The primary's certificate must hold what the sentinels call it: an address, or its name with
    ``sentinel announce-hostnames yes``.
    """
