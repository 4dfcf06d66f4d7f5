"""A server with two clients, for tests that need no processes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from tests.faults.interludes import Stage, staged
from tests.faults.stragglers import Straggler


@pytest.fixture
async def stage(valkey_url: str) -> AsyncIterator[Stage]:
    async with staged(valkey_url) as found:
        yield found


@pytest.fixture
async def server(valkey_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        yield client


@pytest.fixture
def straggler(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Straggler:
    return Straggler(stage.ours, monkeypatch)
