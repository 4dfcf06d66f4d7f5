"""A TCP proxy that delays what passes, so that a loopback looks like a network: ``python -m benchmarks.proxy``.

It runs as a process of its own. ``select`` instead of ``epoll`` is on purpose: the event loop's ``epoll`` rounds every
wait up to a whole millisecond, which is as much as the delay of one direction.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import socket
import subprocess
import sys
import time
from collections import deque
from types import TracebackType

from benchmarks.resp import Server
from benchmarks.server import free_port

_OWN_COST = 0.0002  # what the proxy itself takes for one direction on an idle machine; taken off the delay


class Direction(asyncio.Protocol):
    """One side of a connection: hands what it reads to the other side, ``delay`` seconds later and in order."""

    def __init__(self, delay: float) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Direction | None = None
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        self._due: deque[tuple[float, bytes | None]] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self._pass(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._pass(None)

    def _pass(self, data: bytes | None) -> None:
        at = self._loop.time() + self._delay
        self._due.append((at, data))
        self._loop.call_at(at, self._deliver)

    def _deliver(self) -> None:
        _, data = self._due.popleft()
        if self.other is None or self.other.transport is None:
            return
        if data is None:
            self.other.transport.close()
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)


async def serve(port: int, target: int, round_trip: float) -> None:
    """Forward ``port`` to ``target``, taking ``round_trip`` seconds there and back, for ever."""
    loop = asyncio.get_running_loop()
    delay = max(0.0, round_trip / 2 - _OWN_COST)
    dialling: set[asyncio.Task[None]] = set()

    def accepted() -> Direction:
        near = Direction(delay)
        task = loop.create_task(dial(near))
        dialling.add(task)
        task.add_done_callback(dialling.discard)
        return near

    async def dial(near: Direction) -> None:
        _, far = await loop.create_connection(lambda: Direction(delay), "127.0.0.1", target)
        near.other, far.other = far, near

    server = await loop.create_server(accepted, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


class ProxyProcess:
    """The proxy, started in its own process."""

    def __init__(self, target: int, round_trip: float = 0.002) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._target = target
        self._round_trip = round_trip
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ProxyProcess:
        words = ["--port", self.port, "--target", self._target, "--round-trip", self._round_trip]
        self._process = subprocess.Popen([sys.executable, "-m", "benchmarks.proxy", *map(str, words)])
        deadline = time.monotonic() + 10
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port)):
                    return self
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def round_trip(self, samples: int = 50) -> float:
        """The median round trip of a PING through the proxy, in seconds: what the contestants really get."""
        taken: list[float] = []
        with Server(self.url) as server:
            for _ in range(samples):
                before = time.perf_counter()
                server.ask("PING")
                taken.append(time.perf_counter() - before)
        return sorted(taken)[samples // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", type=int, required=True)
    parser.add_argument("--round-trip", type=float, default=0.002)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(given.port, given.target, given.round_trip))


if __name__ == "__main__":
    main()
