"""From a URL to a client that has not connected yet, or to an error that says what is wrong with the URL.

Nothing that a message quotes is taken from where a password could be.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import redis.asyncio
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.exceptions import RedisError

from jobqueue.backends.redis.sentinels import Address, PrimaryConnection, PrimaryTLSConnection, Sentinels
from jobqueue.errors import ConfigurationError

SENTINEL_PORT = 26379
_SENTINEL = "+sentinel"
_EXAMPLE = "redis+sentinel://user:password@host1:26379,host2:26379/service/0"
_PRIMARY_SECONDS = 2.0
"""To connect to a primary: a machine that has gone does not refuse, and its sentinels will name another."""
_OF_SENTINELS = ("sentinel_username", "sentinel_password", "sentinel_ssl")
_SOCKET_OPTIONS = ("socket_keepalive", "socket_keepalive_options", "socket_type")


def client_for(url: str, *, connect_timeout: float) -> redis.asyncio.Redis:
    """A client for a URL of one server, or of sentinels. ``connect_timeout`` is in seconds, unless the URL has its own.

    Raises ConfigurationError: not a URL, an option that redis-py does not know, a certificate file that is not there.
    """
    scheme = url.partition("://")[0]
    if scheme.endswith(_SENTINEL):
        return _through_sentinels(url, connect_timeout)
    pool = _pool(url, connect_timeout)
    return redis.asyncio.Redis.from_pool(pool)


def is_imitated(client: redis.asyncio.Redis) -> bool:
    """Whether there is no server behind the client, but fakeredis."""
    return type(client).__module__.partition(".")[0] == "fakeredis"


def _pool(url: str, connect_timeout: float) -> ConnectionPool:
    scheme, _, rest = url.partition("://")
    path = rest.partition("?")[0].rpartition("@")[2].partition("/")[2]
    if scheme in ("redis", "rediss") and path and not path.isdigit():
        raise ConfigurationError("not a Redis URL: after the host comes the number of a database, and nothing else")
    try:
        pool = ConnectionPool.from_url(url, socket_connect_timeout=connect_timeout)  # pyright: ignore[reportUnknownMemberType]
    except ValueError as error:
        # urllib quotes what it took for a port, which may be half a password.
        told = str(error) if str(error).startswith("Invalid value for") else "look at its host and port"
        raise ConfigurationError(f"not a Redis URL: {told}; a password's special characters are written %XX") from None
    options = pool.connection_kwargs
    if pool.connection_class is SSLConnection and options.get("ssl_cert_reqs") != "none":
        # Not every redis-py looks at the name by itself.
        options.setdefault("ssl_check_hostname", True)
    _try_out(pool)
    return pool


def _try_out(pool: ConnectionPool) -> None:
    """Make a connection, which is not opened, so that a wrong option is told here and not at the first call."""
    try:
        connection = pool.make_connection()
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()  # pyright: ignore[reportUnknownMemberType]
    except TypeError as error:
        raise ConfigurationError(f"the URL has an option that redis-py does not know: {_unknown(error)}") from None
    except (OSError, ValueError, RedisError) as error:
        if not isinstance(error, (ssl.SSLError, FileNotFoundError, PermissionError)):
            raise ConfigurationError(f"the URL has an option that cannot be used: {error}") from None
        raise ConfigurationError(
            f"a certificate or key cannot be read ({error.strerror or error}): look at ssl_ca_certs, ssl_certfile and "
            "ssl_keyfile in the URL"
        ) from None


def _unknown(error: TypeError) -> str:
    """The option's name, without its value."""
    return str(error).rpartition("argument ")[2] or "see its documentation"


def _through_sentinels(url: str, connect_timeout: float) -> redis.asyncio.Redis:
    scheme, _, rest = url.partition("://")
    secure = scheme.startswith("rediss")
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    access, at, hosts = place.rpartition("@")
    service, _, database = path.partition("/")
    if not service:
        raise ConfigurationError(f"the URL names no service, which its sentinels could be asked for: {_EXAMPLE}")
    if database and not database.isdigit():
        raise ConfigurationError(f"after the service comes the number of a database, and nothing else: {_EXAMPLE}")
    given = dict(parse_qsl(query, keep_blank_values=True))
    own = {name: given.pop(name) for name in _OF_SENTINELS if name in given}
    servers = f"redis{'s' if secure else ''}://{access}{at}primary/{database or 0}"
    plain = _pool(f"{servers}?{urlencode(given)}" if given else servers, min(connect_timeout, _PRIMARY_SECONDS))
    options = dict(plain.connection_kwargs)
    sentinels = Sentinels(_addresses(hosts), unquote(service), _reaching(options, own, secure=secure))
    kind = PrimaryTLSConnection if secure else PrimaryConnection
    options["sentinels"] = sentinels
    pool = ConnectionPool(connection_class=kind, **options)
    sentinels.probe = pool.make_connection
    return redis.asyncio.Redis.from_pool(pool)


def _reaching(options: dict[str, Any], own: dict[str, str], *, secure: bool) -> partial[AbstractConnection]:
    """How a sentinel is connected to: with credentials of its own, over TLS where its servers are."""
    tls = own.get("sentinel_ssl", "true" if secure else "false").lower()
    if tls not in ("true", "false"):
        raise ConfigurationError("sentinel_ssl in the URL must be true or false")
    shared = {
        name: value
        for name, value in options.items()
        if name in _SOCKET_OPTIONS or (tls == "true" and name.startswith("ssl_"))
    }
    return partial(
        _sentinel,
        SSLConnection if tls == "true" else Connection,
        {
            **shared,
            "protocol": 2,
            "username": own.get("sentinel_username") or None,
            "password": own.get("sentinel_password") or None,
        },
    )


def _sentinel(kind: type[Connection], options: dict[str, Any], host: str, port: int) -> Connection:
    return kind(host=host, port=port, **options)


def _addresses(hosts: str) -> list[Address]:
    found = [_address(host) for host in hosts.split(",") if host]
    if not found:
        raise ConfigurationError(f"the URL names no sentinel: {_EXAMPLE}")
    return list(dict.fromkeys(found))


def _address(text: str) -> Address:
    """``host``, ``host:port`` or ``[IPv6]:port``."""
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        port = port.removeprefix(":") if closed else "?"
    else:
        host, _, port = text.partition(":")
    if not host or not (port or "1").isdigit() or not 0 < int(port or SENTINEL_PORT) < 65536:
        raise ConfigurationError(f"the URL has a sentinel without a proper host and port: {_EXAMPLE}")
    return unquote(host), int(port or SENTINEL_PORT)
