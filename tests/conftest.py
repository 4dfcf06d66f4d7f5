"""What all tests share: real servers, one of each a session, and a backend of every kind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import fakeredis
import pytest
import redis.asyncio

from jobqueue.backends import Backend, ClusterBackend, MemoryBackend, RedisBackend, SealedBackend
from jobqueue.clock import SYSTEM_CLOCK, Clock
from tests.cluster import Cluster, cluster
from tests.codecs import CODECS
from tests.faults.parts import free_port
from tests.servers import GuardedServer, guarded_server, redis_or_skip, server, valkey_binary
from tests.tls import Certificates, tls_server

pytest_plugins = ["pytester"]

KINDS = (
    *("memory", "fakeredis", "valkey", "redis", "valkey-acl", "redis-acl", "redis-tls", "cluster"),
    *(f"{kind}+{codec}" for kind in ("memory", "valkey") for codec in CODECS),
)
"""On ``-acl`` servers and on ``cluster`` the library's user may do no more than the ACL file that ships with it says;
what follows a plus is the codec in front."""


@pytest.fixture(scope="session")
def valkey_url() -> Generator[str]:
    """A Valkey of this session's own."""
    with server(valkey_binary()) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Generator[str]:
    """A Redis of this session's own; without redis-server on the PATH the tests that ask for it are skipped."""
    with server(redis_or_skip()) as url:
        yield url


@pytest.fixture(scope="session")
def guarded_valkey() -> Generator[GuardedServer]:
    """A Valkey of this session's own, under the shipped ACL file."""
    with guarded_server(valkey_binary()) as guarded:
        yield guarded


@pytest.fixture(scope="session")
def guarded_redis() -> Generator[GuardedServer]:
    """A Redis of this session's own, under the shipped ACL file; skipped without redis-server."""
    with guarded_server(redis_or_skip()) as guarded:
        yield guarded


@pytest.fixture(scope="session")
def redis_tls_url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A Redis of this session's own that speaks nothing but TLS; skipped without redis-server."""
    folder = tmp_path_factory.mktemp("tls")
    certificates = Certificates.made_in(folder)
    with tls_server(redis_or_skip(), folder, certificates) as url:
        yield f"{url}?{certificates.url_options()}"


@pytest.fixture(scope="session")
def valkey_tcp_url() -> Generator[str]:
    """A Valkey of this session's own on a TCP port, without TLS."""
    port = free_port()
    with server(valkey_binary(), options=("--port", str(port), "--bind", "127.0.0.1")):
        yield f"redis://127.0.0.1:{port}/0"


@pytest.fixture(scope="session")
def six_nodes() -> Generator[Cluster]:
    """A cluster of this session's own. Its nodes are patient: none is failed because the machine is busy."""
    with cluster() as formed:
        yield formed


@pytest.fixture
def backend_clock() -> Clock:
    """The clock of ``backend``: the machine's, unless a test module says otherwise."""
    return SYSTEM_CLOCK


@pytest.fixture(params=KINDS)
async def backend(request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    """An open backend of each kind in turn, empty at first, closed afterwards."""
    async with opened(str(request.param), request, backend_clock) as backend:
        yield backend


@asynccontextmanager
async def opened(name: str, request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    """An open backend of the kind of that name, empty at first, closed afterwards."""
    kind, _, codec = name.partition("+")
    async with _opened(kind, request, backend_clock) as backend:
        yield SealedBackend(backend, CODECS[codec]) if codec else backend


@asynccontextmanager
async def _opened(kind: str, request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    if kind == "memory":
        memory = MemoryBackend(clock=backend_clock)
        await memory.open()
        yield memory
        await memory.close()
        return
    if kind == "cluster":
        formed: Cluster = request.getfixturevalue("six_nodes")
        await asyncio.to_thread(formed.empty)
        routed = ClusterBackend.from_url(formed.user_url, clock=backend_clock)
        await routed.open()
        yield routed
        await routed.close()
        return
    if kind == "fakeredis":
        client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    elif kind.endswith("-acl"):
        guarded: GuardedServer = request.getfixturevalue(f"guarded_{kind.removesuffix('-acl')}")
        await _empty(guarded.admin_url)
        client = redis.asyncio.Redis.from_url(guarded.user_url)  # pyright: ignore[reportUnknownMemberType]
    else:
        url: str = request.getfixturevalue(f"{kind.replace('-', '_')}_url")
        await _empty(url)
        client = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    backend = RedisBackend(client, clock=backend_clock)
    await backend.open()
    yield backend
    await backend.close()
    await client.aclose()


async def _empty(url: str) -> None:
    async with redis.asyncio.Redis.from_url(url) as admin:  # pyright: ignore[reportUnknownMemberType]
        await admin.flushall()  # pyright: ignore[reportUnknownMemberType]
