"""A receiver of webhooks: a small HTTP server on the loopback, which checks signatures by the reference library."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook as Verifier


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """Its ``webhook-id``."""
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body as JSON; raises where the signature is not of ``secret``."""
        return Verifier(secret).verify(self.body, dict(self.headers))

    @property
    def content(self) -> dict[str, Any]:
        """The body as JSON, unverified."""
        return json.loads(self.body)


Answers = Callable[[Received], tuple[int, Mapping[str, str]]]
HANG_UP = 0
"""A status that is none: the connection is closed without an answer."""


def well(_: Received) -> tuple[int, Mapping[str, str]]:
    """Takes everything."""
    return 204, {}


@dataclass
class Receiver:
    """What has come in, and how it is answered."""

    answers: Answers = well
    port: int = 0
    scheme: str = "http"
    host: str = "127.0.0.1"
    silent: bool = False
    received: list[Received] = field(default_factory=list[Received])
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self.scheme}://{self.host}:{self.port}/hooks"

    async def wait_for(self, count: int, *, seconds: float = 30) -> list[Received]:
        """The requests, once there are so many."""
        async with asyncio.timeout(seconds), self.news:
            await self.news.wait_for(lambda: len(self.received) >= count)
        return list(self.received)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            method, path, _ = first.split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            request = Received(method, path, headers, await reader.readexactly(int(headers["content-length"])))
            async with self.news:
                self.received.append(request)
                self.news.notify_all()
            if self.silent:
                await reader.read()
                return
            status, answered = self.answers(request)
            if status == HANG_UP:
                return
            text = "".join(f"{name}: {value}\r\n" for name, value in answered.items())
            writer.write(f"HTTP/1.1 {status} Whatever\r\n{text}content-length: 0\r\n\r\n".encode())
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            # The sender has gone.
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(
    answers: Answers = well, *, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncGenerator[Receiver]:
    """A receiver that listens; on a port of its own unless one is given."""
    receiver = Receiver(answers, scheme="http" if tls is None else "https")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
