"""A real server of a fault run, which can be killed, stopped and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import redis

from jobqueue.clock import SYSTEM_CLOCK, Clock
from tests.servers import valkey_binary

ROOT = Path(__file__).parents[2]


class DurableServer:
    """A Valkey on a port of its own, whose append-only file is synced with every write."""

    fsync = "always"
    restore_signals = True
    options: tuple[str, ...] = ()
    """What else it is started with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "server"
        self.folder.mkdir()
        self.environment: dict[str, str] = {}
        """What is added to its environment."""
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
                "--save", "", "--appendonly", "yes", "--appendfsync", self.fsync, *self.options,
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


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
