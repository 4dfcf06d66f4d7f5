"""What a forked child does not share with its parent; the whole of it, with processes, is fault F29."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import cast

import pytest
import redis.asyncio
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from jobqueue.backends.redis import forking
from jobqueue.backends.redis.connection import Line
from jobqueue.backends.redis.routes import Routes
from jobqueue.backends.redis.sentinels import Sentinels
from jobqueue.backends.redis.slots import Address
from jobqueue.errors import BackendUnavailable

NOBODY = Address("127.0.0.1", 1)


def test_a_child_looks_for_the_nodes_of_a_cluster_by_itself() -> None:
    async def ask(line: Line) -> object:
        return await line.call("PING")

    async def look() -> list[object]:
        # Two at once, so that one waits for the other's look.
        asked = (routes.carry(key, ask) for key in ("{a}", "{b}"))
        return list(await asyncio.gather(*asked, return_exceptions=True))

    routes = Routes(redis.asyncio.Redis(host=NOBODY.host, port=NOBODY.port), [NOBODY])
    for _ in range(2):
        told = asyncio.run(look())
        assert [type(error) for error in told] == [BackendUnavailable] * 2, told
        forking._forked()  # pyright: ignore[reportPrivateUsage]


class _Transport:
    def __init__(self) -> None:
        self.aborted = False

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def parents_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """One that is not closed when the fork comes."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_child_asks_sentinels_by_itself_and_leaves_its_parent_s_connections(
    parents_loop: asyncio.AbstractEventLoop,
) -> None:
    def reach(host: str, port: int) -> AbstractConnection:
        asked.add((host, port))
        if waiting is not None:
            waiting.set()
        raise RedisConnectionError("nobody there")

    async def connected(port: int, line: _Transport) -> None:
        sentinels.found(("127.0.0.1", port), cast("asyncio.Transport", line))

    async def child() -> None:
        nonlocal waiting
        waiting = asyncio.Event()
        await connected(2, own)
        await waiting.wait()

    asked: set[tuple[str, int]] = set()
    waiting: asyncio.Event | None = None
    sentinels = Sentinels([NOBODY], "jobs", reach)
    inherited, own = _Transport(), _Transport()
    parents_loop.run_until_complete(connected(1, inherited))
    forking._forked()  # pyright: ignore[reportPrivateUsage]
    asyncio.run(child())
    assert asked == {NOBODY}
    parents_loop.run_until_complete(asyncio.sleep(0))
    assert not inherited.aborted
