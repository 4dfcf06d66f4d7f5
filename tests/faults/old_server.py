"""A server that is too old: it answers PING and INFO as Redis 5 does, and knows nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

_INFO = b"# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\n# Replication\r\nrole:master\r\n"


@asynccontextmanager
async def old_server() -> AsyncGenerator[str]:
    """Gives its URL. (No binary of Redis 5 comes with any package that the tests could ask for.)"""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while command := await _command(reader):
        match command[0]:
            case b"PING":
                writer.write(b"+PONG\r\n")
            case b"INFO":
                writer.write(b"$%d\r\n%s\r\n" % (len(_INFO), _INFO))
            case b"SELECT":
                writer.write(b"+OK\r\n")
            case unknown:
                first = b", ".join(b"`%s`" % word for word in command[1:])
                writer.write(b"-ERR unknown command `%s`, with args beginning with: %s, \r\n" % (unknown, first))
        await writer.drain()
    writer.close()


async def _command(reader: asyncio.StreamReader) -> list[bytes]:
    """The next one; empty when the client has gone."""
    if not (head := await reader.readline()):
        return []
    words: list[bytes] = []
    for _ in range(int(head[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words
