"""What lies under one enqueue that is waited for: ``python -m benchmarks.floors``.

The same round trip with more and more on it, interleaved on one server: a blocking socket, the event loop's cheapest
protocol, our line, a script that does nothing, the whole enqueue. No asyncio library gets below the first rows.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import statistics
import time
from collections.abc import Awaitable, Callable

import redis.asyncio

from benchmarks.payload import ticket
from benchmarks.server import ServerProcess
from jobqueue import Queue, connect
from jobqueue.backends.redis.connection import Line

PING = b"*1\r\n$4\r\nPING\r\n"
NOTHING = "return 1"


class Bare(asyncio.Protocol):
    """The least that the event loop can do: write, and end a future when something comes."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        del data
        if self._answer is not None:
            self._answer.set_result(None)

    async def ping(self) -> None:
        """One round trip."""
        assert self._transport is not None
        self._answer = self._loop.create_future()
        self._transport.write(PING)
        await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


async def measure(url: str, port: int, *, rounds: int, calls: int) -> dict[str, float]:
    """Medians of µs a call."""
    blocking = socket.create_connection(("127.0.0.1", port))
    blocking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _, bare = await asyncio.get_running_loop().create_connection(Bare, "127.0.0.1", port)
    client = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    line = Line(client.connection_pool)
    sha = await line.call("SCRIPT", "LOAD", NOTHING)

    async def ping_blocking() -> None:
        blocking.sendall(PING)
        blocking.recv(64)

    async with connect(url, fallback="never") as backend:
        queue = Queue("floors", backend=backend)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "PING, a blocking socket": ping_blocking,
            "PING, the event loop's cheapest protocol": bare.ping,
            "PING, a line of the backend": lambda: line.call("PING"),
            "a script that does nothing": lambda: line.call("EVALSHA", sha, 0),
            "enqueue": lambda: queue.enqueue("ticket.created", ticket(1)),
        }
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(rounds + 1):
            for name, step in steps.items():
                began = time.perf_counter()
                for _ in range(calls):
                    await step()
                if number:
                    times[name].append((time.perf_counter() - began) / calls * 1e6)
    blocking.close()
    bare.close()
    await line.close()
    await client.aclose()
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="valkey", choices=["valkey", "redis"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=1000)
    given = parser.parse_args()
    with ServerProcess(given.server) as server:
        found = asyncio.run(measure(server.url, server.port, rounds=given.rounds, calls=given.calls))
    for name, median in found.items():
        print(f"{median:8.1f} µs  {name}")


if __name__ == "__main__":
    main()
