"""``redis+cluster://``: the Redis backend on a cluster, every queue on its slot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import redis.asyncio

from jobqueue.backends.protocol import Backend
from jobqueue.backends.redis.backend import RedisBackend
from jobqueue.backends.redis.connection import Lines
from jobqueue.backends.redis.routes import Routes
from jobqueue.backends.redis.slots import Address
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.errors import ConfigurationError

_PORT = 6379
_HOSTS = "the URL of a cluster names its hosts as host:port, with commas between them"


class ClusterBackend(RedisBackend):
    """Jobs in a cluster of Redis 6.2 or newer, or of Valkey.

    Each queue lives in one slot, and queues spread over the nodes by themselves. ``client`` is a client of any one
    node: its user, password and TLS settings hold for all nodes, which are found through it and through ``seeds`` (host
    and port each). ``deadline`` is how long, in seconds, a call is repeated while a node is away: a failover takes the
    cluster's node timeout and a second or two.
    """

    _in_cluster = True

    def __init__(
        self,
        client: redis.asyncio.Redis,
        seeds: Iterable[tuple[str, int]] = (),
        *,
        namespace: str = "jobqueue",
        clock: Clock = SYSTEM_CLOCK,
        deadline: float = 5.0,
    ) -> None:
        settings = client.connection_pool.connection_kwargs
        own = (str(settings.get("host", "localhost")), int(settings.get("port", _PORT)))
        self._routes = Routes(client, dict.fromkeys(Address(*seed) for seed in (*seeds, own)))
        super().__init__(client, namespace=namespace, clock=clock, deadline=deadline)

    @classmethod
    def from_url(
        cls,
        url: str,
        *,
        namespace: str = "jobqueue",
        clock: Clock = SYSTEM_CLOCK,
        deadline: float = 5.0,
        connect_timeout: float = 5.0,
    ) -> Self:
        """A backend for ``redis+cluster://user:password@host:port,host2:port2/?options``, or ``rediss+cluster://``.

        The hosts are where to begin: any node that can be reached tells of the others. Raises ConfigurationError.
        """
        first, seeds = _read(url)
        client = RedisBackend.client_for(first, connect_timeout=connect_timeout)
        made = cls(client, seeds, namespace=namespace, clock=clock, deadline=deadline)
        made._owned = True
        return made

    @property
    def nodes(self) -> tuple[tuple[str, int], ...]:
        """Host and port of every node that is known just now, those that it began with last."""
        return self._routes.nodes

    def _lines(self, client: redis.asyncio.Redis) -> Lines:
        del client
        return self._routes

    def detached(self) -> Backend | None:
        return ClusterBackend(
            self._client, self._routes.nodes, namespace=self._namespace, clock=self._clock, deadline=self._deadline
        )


def _read(url: str) -> tuple[str, list[Address]]:
    """A plain URL of the first host, and all of them. What may be secret in the URL is in no message."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ConfigurationError(_HOSTS) from None
    if parts.path.strip("/") not in ("", "0"):
        raise ConfigurationError("a cluster has database 0 only: leave the path of the URL empty")
    login, at, hosts = parts.netloc.rpartition("@")
    seeds = [_seed(host) for host in hosts.split(",")]
    host = f"[{seeds[0].host}]" if ":" in seeds[0].host else seeds[0].host
    first = f"{login}{at}{host}:{seeds[0].port}"
    return urlunsplit((parts.scheme.removesuffix("+cluster"), first, "/0", parts.query, "")), seeds


def _seed(text: str) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        raise ConfigurationError(_HOSTS)
    return Address(host, port or _PORT)
