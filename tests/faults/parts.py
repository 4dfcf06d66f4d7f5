"""The real parts of a fault run: a server that can be killed, worker processes, and a proxy that drops replies."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import redis

from tests.faults.ledger import Ledger
from tests.servers import valkey_binary

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Outfit:
    """How a worker process differs from the plain one: its program, and what its environment says besides."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    module: str = "tests.faults.worker_process"

    @property
    def whole_environment(self) -> dict[str, str]:
        """This process's, and what there is besides."""
        return {**os.environ, **self.environment}


class DurableServer:
    """A Valkey on a port of its own, whose append-only file is synced with every write."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, with whatever its file holds; returns when it answers."""
        self._process = subprocess.Popen(
            [
                valkey_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder),
                "--save", "", "--appendonly", "yes", "--appendfsync", "always",
            ],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        client = redis.Redis.from_url(self.url)  # pyright: ignore[reportUnknownMemberType]
        deadline = time.monotonic() + 20
        while True:
            try:
                client.ping()  # pyright: ignore[reportUnknownMemberType]
            except (redis.ConnectionError, redis.BusyLoadingError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                client.close()
                return

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def connections(self) -> int:
        """How many clients it has."""
        with redis.Redis.from_url(self.url) as client:  # pyright: ignore[reportUnknownMemberType]
            return int(client.info("clients")["connected_clients"])  # pyright: ignore[reportUnknownMemberType]


class WorkerProcesses:
    """Workers, each in a process of its own, and what is done to them."""

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        path: Path,
        *,
        lease: float,
        longest: float,
        grace: float,
        outfits: Sequence[Outfit] = (),
    ) -> None:
        self._words: Sequence[str] = (url, str(path), str(lease), str(longest), str(grace))
        self._outfits = cycle(outfits or [Outfit()])
        self.folder = path.parent
        """Where the run's files are."""
        self._ledger = ledger
        self.path = path
        self._were_ready: set[int] = set()
        self._read = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self._supervisor: threading.Thread | None = None
        self._ending = threading.Event()

    def dress(self, outfits: Sequence[Outfit]) -> None:
        """Those that are added from now on wear these, in turn."""
        self._outfits = cycle(outfits)

    def add(self) -> None:
        """One more."""
        outfit = next(self._outfits)
        command = [sys.executable, "-m", outfit.module, *self._words]
        self.processes.append(subprocess.Popen(command, cwd=ROOT, env=outfit.whole_environment))

    async def all_ready(self) -> None:
        """Return when each of them has said that it claims jobs."""
        # Other processes write the file: there is nothing here that could be waited on.
        while not {process.pid for process in self.processes} <= self._ready():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _ready(self) -> set[int]:
        with self.path.open(encoding="ascii") as ledger:
            ledger.seek(self._read)
            for line in iter(ledger.readline, ""):
                self._read += len(line)
                deed, _, process, _ = line.split()
                if deed == "ready":
                    self._were_ready.add(int(process))
        return self._were_ready

    def kill(self, place: int) -> None:
        """SIGKILL one of them, and start another in its place."""
        victim = self.processes.pop(place)
        # Written first: whatever starts elsewhere from here on may be due to it.
        self._ledger.write("disturbed", process=victim.pid)
        victim.kill()
        victim.wait()
        # And again, for what it started between the first line and its end.
        self._ledger.write("disturbed", process=victim.pid)
        self.add()

    def stop(self, place: int) -> None:
        """SIGSTOP one of them."""
        victim = self.processes[place]
        self._ledger.write("disturbed", process=victim.pid)
        victim.send_signal(signal.SIGSTOP)
        self._ledger.write("disturbed", process=victim.pid)

    def wake(self, place: int) -> None:
        """SIGCONT."""
        self.processes[place].send_signal(signal.SIGCONT)

    def terminate(self, place: int) -> tuple[int, float]:
        """SIGTERM one of them and start another in its place; how it ended, and after how many seconds."""
        leaver = self.processes[place]
        began = time.monotonic()
        leaver.terminate()
        try:
            code = leaver.wait(60)
        except subprocess.TimeoutExpired:
            leaver.kill()
            code = leaver.wait()
        took = time.monotonic() - began
        self.processes.remove(leaver)
        self.add()
        return code, took

    def supervise(self) -> None:
        """From now on, start another for each that dies by itself."""
        self._supervisor = threading.Thread(target=self._replace, daemon=True)
        self._supervisor.start()

    def _replace(self) -> None:
        while not self._ending.wait(0.05):
            for dead in [process for process in self.processes if process.poll() is not None]:
                self.processes.remove(dead)
                self.add()

    def end(self) -> list[int]:
        """SIGTERM all; their exit codes."""
        if self._supervisor is not None:
            self._ending.set()
            self._supervisor.join()
            self._supervisor = None
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        codes: list[int] = []
        for process in self.processes:
            try:
                codes.append(process.wait(20))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        self.processes.clear()
        return codes


class Proxy:
    """A TCP proxy that can reset its connections, or let a request through and cut instead of passing the reply on."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port, self._chance = port, chance
        self.share = 0.0
        """Of the replies, the part that is dropped."""
        self.dropped = 0
        self.delay = 0.0
        """Seconds that everything takes, each way."""
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
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            # The server is down: whoever stands before it can only hang up.
            writer.transport.abort()
            return
        ways = [
            asyncio.create_task(self._pass(reader, upstream_writer, drop=False)),
            asyncio.create_task(self._pass(upstream_reader, writer, drop=True)),
        ]
        self._tasks.update(ways)
        self._writers.update((writer, upstream_writer))
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._tasks.difference_update(ways)
        self._writers.difference_update((writer, upstream_writer))
        for side in (writer, upstream_writer):
            side.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, drop: bool) -> None:
        try:
            while data := await reader.read(65536):
                if drop and self._chance.random() < self.share:
                    self.dropped += 1
                    self._more.set()
                    return
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            return


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
