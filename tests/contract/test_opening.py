"""Opening a backend: what is lost on the way is asked for again; where nobody listens, nobody waits."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator

import pytest

from jobqueue import BackendUnavailable, Queue, connect
from jobqueue.backends import MemoryBackend, RedisBackend
from tests.faults.parts import free_port
from tests.faults.proxy import Proxy
from tests.servers import server, valkey_binary


@pytest.fixture
async def proxy(valkey_tcp_url: str) -> AsyncGenerator[Proxy]:
    port = int(valkey_tcp_url.rpartition(":")[2].partition("/")[0])
    async with Proxy(port, random.Random(0)) as found:
        yield found
    # A few turns of the loop, in which both sides of its connections are closed.
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("fallback", ["memory", "never"])
async def test_a_lost_reply_is_asked_for_again(proxy: Proxy, fallback: str) -> None:
    proxy.share = 1
    opening = asyncio.ensure_future(_opened(proxy.url, fallback))
    await proxy.until(3)
    proxy.share = 0
    backend = await opening
    assert isinstance(backend, RedisBackend)
    await backend.close()


async def _opened(url: str, fallback: str) -> object:
    return await connect(url, fallback=fallback, deadline=20)  # pyright: ignore[reportArgumentType]


async def test_a_backend_of_one_s_own_does_too(proxy: Proxy) -> None:
    proxy.share = 1
    backend = RedisBackend.from_url(proxy.url, deadline=20)
    opening = asyncio.ensure_future(backend.open())
    await proxy.until(3)
    proxy.share = 0
    await opening
    await backend.close()


async def test_replies_that_are_always_lost_are_given_up(proxy: Proxy) -> None:
    proxy.share = 1
    with pytest.raises(BackendUnavailable):
        await connect(proxy.url, fallback="never", deadline=0.5)
    assert isinstance(await connect(proxy.url, deadline=0.5), MemoryBackend)
    assert proxy.dropped > 3


async def test_nobody_waits_where_nobody_listens() -> None:
    began = time.monotonic()
    assert isinstance(await connect(f"redis://127.0.0.1:{free_port()}", deadline=60), MemoryBackend)
    assert time.monotonic() - began < 30


async def test_without_a_fallback_a_server_may_come_later() -> None:
    port = free_port()
    opening = asyncio.ensure_future(_opened(f"redis://127.0.0.1:{port}", "never"))
    await asyncio.sleep(0.1)
    with server(valkey_binary(), options=("--port", str(port), "--bind", "127.0.0.1")):
        backend = await opening
        assert isinstance(backend, RedisBackend)
        await Queue("late", backend=backend).enqueue("any", 1)
        await backend.close()
