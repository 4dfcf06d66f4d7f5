"""What lies under one enqueue that is waited for: ``python -m benchmarks.floors``.

The same round trip with more and more on it, interleaved on one server: a blocking socket, the event loop's cheapest
protocol, our line, a script that does nothing, the whole enqueue. No asyncio library gets below the first rows.

``--rest 10`` waits 10 ms before every call, as an idle worker does before a job comes: by then the processors have
slept and their caches hold something else, and the very same steps take a multiple.
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


async def measure(server: ServerProcess, *, rounds: int, calls: int, rest: float) -> dict[str, tuple[float, float]]:
    """Medians of µs a call, and of what the server's own clock says of it; ``rest`` in seconds before each."""
    blocking = socket.create_connection(("127.0.0.1", server.port))
    blocking.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _, bare = await asyncio.get_running_loop().create_connection(Bare, "127.0.0.1", server.port)
    client = redis.asyncio.Redis.from_url(server.url)  # pyright: ignore[reportUnknownMemberType]
    line = Line(client.connection_pool)
    sha = await line.call("SCRIPT", "LOAD", NOTHING)

    async def ping_blocking() -> None:
        blocking.sendall(PING)
        blocking.recv(64)

    async with connect(server.url, fallback="never") as backend:
        queue = Queue("floors", backend=backend)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "PING, a blocking socket": ping_blocking,
            "PING, the event loop's cheapest protocol": bare.ping,
            "PING, a line of the backend": lambda: line.call("PING"),
            "a script that does nothing": lambda: line.call("EVALSHA", sha, 0),
            "enqueue": lambda: queue.enqueue("ticket.created", ticket(1)),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
        for number in range(rounds + 1):
            for name, step in steps.items():
                before, spent = _server_time(server), 0.0
                for _ in range(calls):
                    if rest:
                        await asyncio.sleep(rest)
                    began = time.perf_counter()
                    await step()
                    spent += time.perf_counter() - began
                if number:
                    times[name].append((spent / calls * 1e6, (_server_time(server) - before) / calls))
    blocking.close()
    bare.close()
    await line.close()
    await client.aclose()
    return {
        name: (statistics.median(whole for whole, _ in found), statistics.median(served for _, served in found))
        for name, found in times.items()
    }


def _server_time(server: ServerProcess) -> float:
    """µs that the server has spent in the commands that are sent here, the commands of their scripts among them."""
    told = server.control.info("commandstats")
    lines = [told[name] for name in ("cmdstat_ping", "cmdstat_evalsha") if name in told]
    return sum(float(line.split("usec=")[1].split(",")[0]) for line in lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, prog="python -m benchmarks.floors", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--server", default="valkey", choices=["valkey", "redis"])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, help="in each round (1000; 40 with a rest)")
    parser.add_argument("--rest", type=float, default=0, help="ms before each call (0)")
    given = parser.parse_args()
    calls = given.calls or (40 if given.rest else 1000)
    with ServerProcess(given.server) as server:
        found = asyncio.run(measure(server, rounds=given.rounds, calls=calls, rest=given.rest / 1000))
    print("µs a call   of it in the server's command")
    for name, (whole, served) in found.items():
        print(f"{whole:8.1f}   {served:8.1f}   {name}")


if __name__ == "__main__":
    main()
