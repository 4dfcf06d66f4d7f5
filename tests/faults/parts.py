"""The real parts of a fault run: a server that can be killed, and worker processes. The proxy between is proxy.py."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from jobqueue.clock import SYSTEM_CLOCK, Clock
from tests.faults.ledger import Ledger, entries
from tests.servers import valkey_binary

ROOT = Path(__file__).parents[2]


class DurableServer:
    """A Valkey on a port of its own, whose append-only file is synced with every write."""

    fsync = "always"
    restore_signals = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "server"
        self.folder.mkdir()
        self.environment: dict[str, str] = {}
        """What is added to its environment."""
        self.worker_environment: dict[str, str] = {}
        """What is added to that of its workers."""
        self.clock: Clock = SYSTEM_CLOCK
        """What its clients go by."""
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def plain_url(self) -> str:
        """The server itself, for clients that know no more than that."""
        return self.url

    def start(self) -> None:
        """Start it, with whatever its file holds; returns when it answers."""
        self._process = subprocess.Popen(
            [
                valkey_binary(), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder),
                "--save", "", "--appendonly", "yes", "--appendfsync", self.fsync,
            ],
            stdout=subprocess.DEVNULL,
            env=os.environ | self.environment,
            restore_signals=self.restore_signals,
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

    def end(self) -> None:
        """The run is over."""
        self.kill()

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """SIGSTOP."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def facts(self) -> dict[str, Any]:
        """What it tells of itself: all of INFO."""
        with redis.Redis.from_url(self.url) as client:  # pyright: ignore[reportUnknownMemberType]
            return client.info("everything")  # pyright: ignore[reportUnknownMemberType]

    def connections(self) -> int:
        """How many clients it has."""
        return int(self.facts()["connected_clients"])

    def configure(self, **settings: str | int) -> None:
        """CONFIG SET, with underscores for hyphens."""
        with redis.Redis.from_url(self.url) as client:  # pyright: ignore[reportUnknownMemberType]
            for name, value in settings.items():
                client.config_set(name.replace("_", "-"), value)  # pyright: ignore[reportUnknownMemberType]


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
        environment: dict[str, str],
        crew: str,
    ) -> None:
        self._words: Sequence[str] = (url, str(path), str(lease), str(longest))
        self._environment = os.environ | environment
        self._ledger = ledger
        self._crew = crew
        self._path = path
        self.processes: list[subprocess.Popen[bytes]] = []
        self._supervisor: threading.Thread | None = None
        self._ending = threading.Event()
        self.words = path.with_name("workers.log")
        """What they say: without logging set up, warnings and worse, one a line."""

    def add(self) -> None:
        """One more."""
        command = [sys.executable, "-m", self._crew, *self._words]
        with self.words.open("ab") as words:
            self.processes.append(subprocess.Popen(command, cwd=ROOT, stderr=words, env=self._environment))

    async def all_ready(self) -> None:
        """Return when each of them has said that it claims jobs."""
        # Other processes write the file: there is nothing here that could be waited on.
        while not {process.pid for process in self.processes} <= {  # noqa: ASYNC110
            entry.process for entry in entries(self._path) if entry.deed == "ready"
        }:
            await asyncio.sleep(0.02)

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

    def said(self, what: str = "") -> int:
        """How many lines of theirs hold ``what``."""
        return sum(what in line for line in self.words.read_text(encoding="utf-8").splitlines())

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


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
