"""A server that wants replicas it does not have takes nothing new, says so, and goes on when it has them."""

from __future__ import annotations

import asyncio

import pytest
import redis.asyncio

from jobqueue import BackendUnavailable, Job, Queue, Registry, Worker
from jobqueue.backends import RedisBackend
from tests.servers import redis_or_skip, server, valkey_binary


@pytest.mark.parametrize("kind", ["valkey", "redis"])
async def test_too_few_replicas_refuse_writes_until_there_are_enough(kind: str) -> None:
    registry, ran = Registry(), asyncio.Event()

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        ran.set()

    with server(valkey_binary() if kind == "valkey" else redis_or_skip()) as url:
        admin = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
        backend = RedisBackend(admin, deadline=0.3)
        await backend.open()
        tickets = Queue("tickets", backend=backend)
        await tickets.enqueue("n", 1, job_id="before")
        await admin.config_set("min-replicas-to-write", 1)  # pyright: ignore[reportUnknownMemberType]

        with pytest.raises(BackendUnavailable, match="min-replicas-to-write"):
            await tickets.enqueue("n", 2, job_id="refused")
        assert await tickets.get("refused") is None
        async with Worker(tickets, registry=registry):
            assert not ran.is_set()
            await admin.config_set("min-replicas-to-write", 0)  # pyright: ignore[reportUnknownMemberType]
            await asyncio.wait_for(ran.wait(), 30)
        assert (await tickets.enqueue("n", 2, job_id="refused")).id == "refused"
        await backend.close()
        await admin.aclose()
