"""How Redis keeps the sets and hashes that every exchange works on: looked up, not searched (lib/tables.lua)."""

from __future__ import annotations

from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import NewRecord
from jobqueue.testing.contract.steps import QUEUE, claim, put


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_a_batch_makes_tables_and_leaves_no_trace_in_them(kind: str, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    client: Any = redis.asyncio.Redis.from_url(url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType]
    backend = RedisBackend(redis.asyncio.Redis.from_url(url), namespace="tables")  # pyright: ignore[reportUnknownMemberType]
    await backend.open()

    async def kept(key: str) -> str:
        return str(await client.object("encoding", f"tables:{{{QUEUE}}}:{key}"))

    await put(backend, *(f"plain{number}" for number in range(20)))
    await claim(backend, 5)
    assert [await kept("active"), await kept("leases")] == ["listpack", "listpack"]
    await backend.enqueue(QUEUE, [NewRecord(f"g{n}", "ticket.created", b"1", group=f"g{n % 18}") for n in range(40)])
    await claim(backend, 40)
    assert [await kept("active"), await kept("busy"), await kept("turns")] == ["skiplist"] * 3
    assert await kept("leases") == "hashtable"
    names = {f"plain{number}" for number in range(20)} | {f"g{number}" for number in range(40)}
    assert set(await client.zrange(f"tables:{{{QUEUE}}}:active", 0, -1)) < names
    assert set(await client.hkeys(f"tables:{{{QUEUE}}}:leases")) < names
    assert await client.zcard(f"tables:{{{QUEUE}}}:active") == 45
    await backend.close()
    await client.aclose()
