"""A very small blocking Redis client: enough to ask a server for facts, and to count how often it was asked.

It stands on the standard library alone, because it is used in every rival's environment.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit


class ServerRefusal(Exception):
    """The server answered with an error."""


class Server:
    """A connection to the server under test, used for evidence and bookkeeping only."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname or "127.0.0.1", parts.port or 6379), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")
        self.sent = 0

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._socket.close()

    def ask(self, *words: str | int) -> Any:
        """One command and its reply; strings come back decoded."""
        return self.ask_all([words])[0]

    def ask_all(self, commands: list[tuple[str | int, ...]]) -> list[Any]:
        """Several commands in one round trip."""
        self.sent += len(commands)
        self._socket.sendall(b"".join(_encoded(words) for words in commands))
        replies = [self._reply() for _ in commands]
        for reply in replies:
            if isinstance(reply, ServerRefusal):
                raise reply
        return replies

    def total(self, *commands: tuple[str | int, ...]) -> int:
        """The sum of several integer replies, in one round trip."""
        return sum(int(reply or 0) for reply in self.ask_all(list(commands)))

    def keys(self, pattern: str) -> int:
        """How many keys match; walks the key space, so it is for after the clock has stopped."""
        cursor, found = "0", 0
        while True:
            cursor, page = self.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 5000)
            found += len(page)
            if cursor == "0":
                return found

    def info(self, section: str = "everything") -> dict[str, str]:
        """INFO, as a dictionary."""
        lines = str(self.ask("INFO", section)).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def _reply(self) -> Any:
        line = self._reader.readline()
        if not line:
            raise ConnectionError("the server hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ServerRefusal(rest.decode())
        if kind == b":":
            return int(rest)
        size = int(rest)
        if size < 0:
            return None
        if kind == b"$":
            return self._reader.read(size + 2)[:-2].decode(errors="replace")
        return [self._reply() for _ in range(size)]


def _encoded(words: tuple[str | int, ...]) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        raw = str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
    return b"".join(parts)
