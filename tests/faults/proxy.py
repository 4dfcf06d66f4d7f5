"""A TCP proxy between clients and their server, which can do to a connection whatever networks do.

It holds data back (``delay``), lets little of it through at a time (``rate``), cuts it into pieces (``slices``),
swallows all of one direction while the connection stays open (``swallow``), drops a reply after its request went
through (``share``), and resets connections.
"""

from __future__ import annotations

import asyncio
import random
from typing import Literal

Way = Literal["requests", "replies"]

_CHUNK = 65536
_UNHURRIED = 64
"""Chunks held back at a time: a connection with this many on their way takes no more, as a full buffer would."""


class Proxy:
    """Settings may be changed at any time; they hold for what comes in from then on."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port, self._chance = port, chance
        self.share = 0.0
        """Of the replies, the part that is dropped, with their connection."""
        self.dropped = 0
        self.delay = 0.0
        """Seconds that everything takes, each way."""
        self.rate = 0.0
        """Bytes in a second that get through a connection, each way; 0 is without a limit."""
        self.slices = 0
        """Bytes that go out at a time; 0 is all there are."""
        self.swallow: Way | None = None
        """The direction of which nothing arrives any more."""
        self.accepted: list[float] = []
        """When each connection was made, in the loop's time."""
        self._more = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def smooth(self) -> None:
        """Pass everything on as it comes."""
        self.share = self.delay = self.rate = 0.0
        self.slices, self.swallow = 0, None

    async def until(self, count: int) -> None:
        """Return when so many replies have been dropped."""
        while self.dropped < count:
            await self._more.wait()
            self._more.clear()

    def reset(self) -> None:
        """Cut every connection, on both sides, without a farewell."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append(asyncio.get_running_loop().time())
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            # The server is down: whoever stands before it can only hang up.
            writer.transport.abort()
            return
        sides = (writer, upstream_writer)
        ways = [
            asyncio.create_task(self._pass("requests", reader, upstream_writer)),
            asyncio.create_task(self._pass("replies", upstream_reader, writer)),
        ]
        self._tasks.update(ways)
        self._writers.update(sides)
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._tasks.difference_update(ways)
        self._writers.difference_update(sides)
        for side in sides:
            side.close()

    async def _pass(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take in one direction. What it takes in goes out in another task, so that a delay does not add up."""
        line: asyncio.Queue[tuple[float, bytes] | None] = asyncio.Queue(_UNHURRIED)
        out = asyncio.create_task(self._send(line, writer))
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(_CHUNK):
                if self.swallow == way:
                    continue
                if way == "replies" and self._chance.random() < self.share:
                    self.dropped += 1
                    self._more.set()
                    return
                await line.put((loop.time() + self.delay, data))
            await line.put(None)
            await out
        except ConnectionError:
            return
        finally:
            out.cancel()
            await asyncio.gather(out, return_exceptions=True)

    async def _send(self, line: asyncio.Queue[tuple[float, bytes] | None], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while item := await line.get():
            due, data = item
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            size = self.slices or len(data)
            if self.rate:
                size = min(size, max(1, round(self.rate / 50)))
            for start in range(0, len(data), size):
                piece = data[start : start + size]
                writer.write(piece)
                await writer.drain()
                if self.rate:
                    await asyncio.sleep(len(piece) / self.rate)
                elif size < len(data):
                    # Or the next piece would join this one on its way to the kernel.
                    await asyncio.sleep(0)
