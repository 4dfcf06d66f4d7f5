"""The seam's contract on every backend there is."""

from __future__ import annotations

import fakeredis
import pytest
import redis.asyncio

from jobqueue.backends import Backend, RedisBackend
from jobqueue.testing import ManualClock
from jobqueue.testing.contract import BackendContract


class TestBackends(BackendContract):
    """Memory, fakeredis, Valkey and Redis."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def backend_clock(self, clock: ManualClock) -> ManualClock:
        return clock


@pytest.mark.parametrize("kind", ["fakeredis", "valkey", "redis"])
async def test_obliterate_leaves_no_key(kind: str, request: pytest.FixtureRequest) -> None:
    if kind == "fakeredis":
        client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer())
    else:
        client = redis.asyncio.Redis.from_url(request.getfixturevalue(f"{kind}_url"))  # pyright: ignore[reportUnknownMemberType]
    backend: Backend = RedisBackend(client, namespace="leak-check")
    contract = TestBackends()
    await backend.open()
    await contract.test_obliterate_leaves_nothing(backend)
    assert [key async for key in client.scan_iter("leak-check*")] == []  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    await backend.close()
    await client.aclose()
