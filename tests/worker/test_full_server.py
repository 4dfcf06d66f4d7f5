"""A server without memory refuses new jobs whole, and workers drain it."""

from __future__ import annotations

import pytest
import redis.asyncio

from jobqueue import BackendFull, Job, Keep, NewJob, Queue, Registry, Worker
from jobqueue.backends import RedisBackend
from tests.servers import server, valkey_binary


async def test_a_full_server_refuses_jobs_and_is_drained() -> None:
    registry = Registry()
    ran: set[str] = set()

    @registry.processor("n")
    async def note(job: Job[str]) -> None:
        ran.add(job.id)

    with server(valkey_binary()) as url:
        admin = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
        backend = RedisBackend(admin)
        await backend.open()
        tickets = Queue("tickets", backend=backend)
        accepted: set[str] = {(await tickets.enqueue("n", "first")).id}
        used = (await admin.info("memory"))["used_memory"]  # pyright: ignore[reportUnknownMemberType]
        await admin.config_set("maxmemory", int(used) + 4_000_000)  # pyright: ignore[reportUnknownMemberType]

        with pytest.raises(BackendFull):
            await _fill(tickets, accepted)
        assert (await tickets.counts()).total == len(accepted), "a refused batch leaves nothing behind"

        await Worker(tickets, registry=registry).drain()
        assert ran == accepted
        assert (await tickets.enqueue("n", "again")).id not in accepted
        await backend.close()
        await admin.aclose()


async def _fill(tickets: Queue, accepted: set[str]) -> None:
    for _ in range(1000):
        batch = [NewJob("n", "x" * 1000, keep=Keep(completed=0)) for _ in range(50)]
        accepted |= {job.id for job in await tickets.enqueue_many(batch)}
