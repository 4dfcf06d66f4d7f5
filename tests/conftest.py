"""What all tests share: real servers, one of each a session, and a backend of every kind."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import fakeredis
import pytest
import redis.asyncio

from jobqueue.backends import Backend, MemoryBackend, RedisBackend, SealedBackend
from jobqueue.clock import SYSTEM_CLOCK, Clock
from tests.codecs import CODECS
from tests.servers import GuardedServer, guarded_server, redis_binary, server, valkey_binary

pytest_plugins = ["pytester"]

KINDS = (
    *("memory", "fakeredis", "valkey", "redis", "valkey-acl", "redis-acl"),
    *(f"{kind}+{codec}" for kind in ("memory", "valkey") for codec in CODECS),
)
"""``-acl`` are servers on which the library's user may do no more than the ACL file that ships with it says; what
follows a plus is the codec in front."""


@pytest.fixture(scope="session")
def valkey_url() -> Generator[str]:
    """A Valkey of this session's own."""
    with server(valkey_binary()) as url:
        yield url


@pytest.fixture(scope="session")
def redis_url() -> Generator[str]:
    """A Redis of this session's own; without redis-server on the PATH the tests that ask for it are skipped."""
    with server(_redis_or_skip()) as url:
        yield url


@pytest.fixture(scope="session")
def guarded_valkey() -> Generator[GuardedServer]:
    """A Valkey of this session's own, under the shipped ACL file."""
    with guarded_server(valkey_binary()) as guarded:
        yield guarded


@pytest.fixture(scope="session")
def guarded_redis() -> Generator[GuardedServer]:
    """A Redis of this session's own, under the shipped ACL file; skipped without redis-server."""
    with guarded_server(_redis_or_skip()) as guarded:
        yield guarded


def _redis_or_skip() -> str:
    binary = redis_binary()
    if binary is None:
        pytest.skip("redis-server is not on the PATH (Debian: apt-get install redis-server)")
    return binary


@pytest.fixture
def backend_clock() -> Clock:
    """The clock of ``backend``: the machine's, unless a test module says otherwise."""
    return SYSTEM_CLOCK


@pytest.fixture(params=KINDS)
async def backend(request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    """An open backend of each kind in turn, empty at first, closed afterwards."""
    kind, _, codec = str(request.param).partition("+")
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
    if kind == "fakeredis":
        client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    elif kind.endswith("-acl"):
        guarded: GuardedServer = request.getfixturevalue(f"guarded_{kind.removesuffix('-acl')}")
        await _empty(guarded.admin_url)
        client = redis.asyncio.Redis.from_url(guarded.user_url)  # pyright: ignore[reportUnknownMemberType]
    else:
        url: str = request.getfixturevalue(f"{kind}_url")
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
