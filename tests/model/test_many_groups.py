"""A hundred thousand groups (ten thousand without JOBQUEUE_MANY_GROUPS=1): nothing is left behind."""

from __future__ import annotations

import os

import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import Exchange, NewRecord, Settlement
from jobqueue.model.outcome import Completed, Retention

GROUPS = 100_000 if os.environ.get("JOBQUEUE_MANY_GROUPS") else 10_000
LEFT = {"meta", "calls", "wake", "events"}


async def test_many_groups_come_and_go(valkey_url: str) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)  # pyright: ignore[reportUnknownMemberType]
    await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    backend = RedisBackend(client)
    await backend.open()
    for start in range(0, GROUPS, 1000):
        jobs = [NewRecord(f"j{number}", "a", b"1", group=f"g{number}") for number in range(start, start + 1000)]
        await backend.enqueue("tickets", jobs)
    assert len(await backend.groups("tickets", limit=1000)) == 1000
    settlements: list[Settlement] = []
    seen: set[str] = set()
    for sequence in range(1, GROUPS // 500 + 2):
        page = await backend.exchange("tickets", Exchange("w", "w/0", sequence, settlements, claim=500))
        seen |= {lease.group for lease in page.leases}
        settlements = [Settlement(lease.id, lease.token or 0, Completed(None, Retention(0))) for lease in page.leases]
    assert len(seen) == GROUPS
    keys = [key async for key in client.scan_iter("jobqueue:{tickets}:*")]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert {key.decode().partition("}:")[2] for key in keys} <= LEFT  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    await backend.close()
    await client.aclose()
