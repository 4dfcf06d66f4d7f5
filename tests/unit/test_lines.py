"""Lines to a server: a call that is cancelled ends, whenever that is."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from redis.asyncio.connection import ConnectionPool

from jobqueue.backends.redis.connection import Line


class Agreeable:
    """Says OK to everything that is asked."""

    def __init__(self) -> None:
        self._answering: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    def hang_up(self) -> None:
        """Close all connections."""
        for writer in self._writers:
            writer.close()

    def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection has been made."""
        self._writers.append(writer)
        self._answering.add(asyncio.create_task(self._answer(reader, writer)))

    async def left_alone(self) -> None:
        """Return when all connections are gone."""
        await asyncio.gather(*self._answering)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while asked := await reader.read(65536):
                commands = asked.count(b"\r\n*") + asked.startswith(b"*")
                writer.write(b"+OK\r\n" * commands)
        writer.close()


async def test_a_call_ends_when_it_is_cancelled_at_whatever_moment_of_its_beginning() -> None:
    """In the same process as its server, so that each moment is a turn of the event loop."""
    agreeable = Agreeable()
    async with await asyncio.start_server(agreeable.answer, "127.0.0.1", 0) as server:
        address = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        turns = 0
        while True:
            line = Line(ConnectionPool.from_url(address))  # pyright: ignore[reportUnknownMemberType]
            call = asyncio.create_task(line.call("PING"))
            for _ in range(turns):
                await asyncio.sleep(0)
            if call.done():
                assert await call == b"OK"
                await line.close()
                break
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            turns += 1
        assert turns > 5
        await agreeable.left_alone()


async def test_a_line_that_was_closed_while_it_was_idle_is_opened_anew_before_anything_is_lost() -> None:
    agreeable = Agreeable()
    async with await asyncio.start_server(agreeable.answer, "127.0.0.1", 0) as server:
        address = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        line = Line(ConnectionPool.from_url(address))  # pyright: ignore[reportUnknownMemberType]
        assert await line.call("PING") == b"OK"
        agreeable.hang_up()
        wire = line._wire  # pyright: ignore[reportPrivateUsage]
        async with asyncio.timeout(10):
            while wire is not None and not wire.lost:  # noqa: ASYNC110  (the end of a connection is told to nobody else)
                await asyncio.sleep(0)
        assert await line.call("PING") == b"OK"
        await line.close()
        await agreeable.left_alone()
