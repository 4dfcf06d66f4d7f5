"""A server without memory refuses new jobs whole, and workers drain it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from jobqueue import BackendFull, InvalidState, Job, JobNotFound, Keep, NewJob, Queue, Registry, Worker
from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import (
    Cancel,
    Checkpoint,
    Exchange,
    LogLines,
    NewRecord,
    Obliterate,
    Pause,
    Presence,
    Progress,
    Promote,
    Remove,
    Reprioritize,
    Reschedule,
    Resume,
    Retry,
    Settlement,
    Upkeep,
)
from jobqueue.backends.scheduling import ScheduleChange
from jobqueue.model.links import Need
from jobqueue.model.outcome import Cancelled
from jobqueue.model.record import JobState
from tests.servers import redis_binary, server, valkey_binary


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


@pytest.fixture(params=["valkey", "redis"])
def binary(request: pytest.FixtureRequest) -> str:
    """Servers differ in what they refuse when they are full."""
    found = valkey_binary() if request.param == "valkey" else redis_binary()
    if found is None:
        pytest.skip("redis-server is not on the PATH (Debian: apt-get install redis-server)")
    return found


@asynccontextmanager
async def _filled(binary: str, *ids: str) -> AsyncGenerator[tuple[RedisBackend, dict[str, int], redis.asyncio.Redis]]:
    """A server with these jobs, all of them active (their tokens are given) but the last one; then there is no room."""
    with server(binary) as url:
        async with redis.asyncio.Redis.from_url(url) as admin:  # pyright: ignore[reportUnknownMemberType]
            backend = RedisBackend(admin)
            await backend.open()
            await backend.enqueue("tickets", [NewRecord(job_id, "n", b"1") for job_id in ids])
            page = await backend.exchange("tickets", Exchange("w", "w/0", 1, claim=len(ids) - 1, lease_ms=60_000))
            await admin.config_set("maxmemory", 1)  # pyright: ignore[reportUnknownMemberType]
            with pytest.raises(BackendFull):
                await backend.enqueue("tickets", [NewRecord("more", "n", b"1")])
            yield backend, {lease.id: lease.token or 0 for lease in page.leases}, admin
            await backend.close()


async def test_leases_are_kept_on_a_full_server(binary: str) -> None:
    async with _filled(binary, "a", "b") as (backend, tokens, admin):
        active = "jobqueue:{tickets}:active"
        before = await admin.zscore(active, "a") or 0
        extension = await backend.extend("tickets", "w", list(tokens.items()), 120_000)
        assert extension.lost == frozenset()
        assert (await admin.zscore(active, "a") or 0) > before + 30_000


async def test_running_jobs_may_say_how_far_they_are_on_a_full_server(binary: str) -> None:
    async with _filled(binary, "a", "b") as (backend, tokens, _):
        for note in (Progress(b"50"), Checkpoint(b"1"), LogLines((b'{"line":1}',))):
            assert await backend.annotate("tickets", "a", tokens["a"], note)
        job = await backend.get("tickets", "a")
        assert job is not None
        assert (job.progress, job.checkpoint) == (b"50", b"1")


async def test_a_worker_is_known_to_be_alive_on_a_full_server(binary: str) -> None:
    async with _filled(binary, "a", "b") as (backend, _, _):
        presence = Presence(worker="w", host="here", pid=1, slots=1, busy=1, started_ms=0)
        await backend.upkeep("tickets", Upkeep(presence=presence, presence_ms=60_000))
        assert [found.worker for found in await backend.workers("tickets")] == ["w"]


async def test_operators_can_act_on_a_full_server(binary: str) -> None:
    async with _filled(binary, "a", "b") as (backend, tokens, _):
        await backend.control("tickets", Pause())
        assert (await backend.status("tickets")).paused
        await backend.control("tickets", Resume())
        assert await backend.amend("tickets", "b", Reprioritize(1)) is JobState.WAITING
        assert await backend.amend("tickets", "b", Reschedule(delay_ms=60_000)) is JobState.DELAYED
        assert await backend.amend("tickets", "b", Promote()) is JobState.WAITING
        assert await backend.amend("tickets", "a", Cancel("no room")) is JobState.ACTIVE
        orders = await backend.orders("tickets", "w", 1)
        assert [order.job_id for order in orders] == ["a"]
        page = await backend.exchange(
            "tickets", Exchange("w", "w/0", 2, settlements=[Settlement("a", tokens["a"], Cancelled("no room"))])
        )
        assert page.refused == frozenset()
        assert await backend.amend("tickets", "a", Retry(data=b"2")) is JobState.WAITING
        await backend.control("tickets", Obliterate(force=True))
        assert (await backend.status("tickets")).counts[JobState.WAITING] == 0


async def test_a_full_server_still_says_what_is_refused_anyhow(binary: str) -> None:
    schedule = ScheduleChange("s", "another", None, "r1", b"{}", b"[]", None, None, anchor_ms=1)
    needy = NewRecord("c", "n", b"1", needs=(Need("tickets", "nobody"),))
    async with _filled(binary, "a", "b") as (backend, _, _):
        assert not await backend.write_schedule("tickets", schedule)
        with pytest.raises(JobNotFound):
            await backend.amend("tickets", "nobody", Remove())
        with pytest.raises(InvalidState):
            await backend.amend("tickets", "b", Promote())
        with pytest.raises(JobNotFound):
            await backend.enqueue("tickets", [needy])
