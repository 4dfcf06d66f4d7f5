"""One POST: to an address that was checked, without redirects, proxies or cookies, and with an end.

Imported only when somebody delivers: httpcore2 is an extra.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httpcore2

from jobqueue.webhooks.failures import AddressRefused, DeliveryFailed
from jobqueue.webhooks.guard import Guard


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint said. Its body is not read."""

    status: int
    retry_after: str | None = None


class Sender:
    """Posts, each time over a connection of its own, so that each time the address is looked up and judged."""

    def __init__(self, guard: Guard, *, timeout: float, ssl_context: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._timeout = timeout
        self._ssl = ssl_context or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send, and wait for the answer for ``timeout`` seconds in all. Raises DeliveryFailed where there is none."""
        plain = urlsplit(url).scheme == "http"
        pool = httpcore2.AsyncConnectionPool(
            ssl_context=self._ssl,
            network_backend=_Pinned(self._guard, plain=plain),
            max_connections=1,
            max_keepalive_connections=0,
        )
        sent = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            async with (
                asyncio.timeout(self._timeout),
                pool,
                pool.stream("POST", url, headers=sent, content=body) as response,
            ):
                answered = {name.lower(): value for name, value in response.headers}
                retry_after = answered.get(b"retry-after")
                return Answer(response.status, None if retry_after is None else retry_after.decode("latin-1"))
        except AddressRefused:
            raise
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {self._timeout:g} s") from None
        except (
            OSError,
            httpcore2.NetworkError,
            httpcore2.ProtocolError,
            httpcore2.TimeoutException,
            httpcore2.UnsupportedProtocol,
        ) as error:
            raise DeliveryFailed(f"{type(error).__name__}: {error!s:.200}") from None


class _Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to none but addresses that the guard has let through; TLS is still spoken with the host's name."""

    def __init__(self, guard: Guard, *, plain: bool) -> None:
        self._guard = guard
        self._plain = plain
        # A package that it needs is looked for at import, which hides its type.
        self._network = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._guard.addresses(host, port, plain=self._plain):
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError as error:
                failure = error
        raise failure or OSError("the host has no address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
