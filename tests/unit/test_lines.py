"""Lines to a server: a call that is cancelled ends, whenever that is."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.connection import ConnectionPool

from jobqueue.backends.redis.connection import Line


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that is asked is OK."""
    while asked := await reader.read(65536):
        commands = asked.count(b"\r\n*") + asked.startswith(b"*")
        writer.write(b"+OK\r\n" * commands)
    writer.close()


async def test_a_call_ends_when_it_is_cancelled_at_whatever_moment_of_its_beginning() -> None:
    """In the same process as its server, so that each moment is a turn of the event loop."""
    async with await asyncio.start_server(_answer, "127.0.0.1", 0) as server:
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
