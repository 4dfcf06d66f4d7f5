"""A schedule that somebody wrote over is that schedule's misfortune, not its neighbours'."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
import redis.asyncio

from jobqueue import Job, NewJob, Queue, Registry, Schedule, Worker
from jobqueue.backends import RedisBackend
from jobqueue.testing import ManualClock

KEY = "jobqueue:{reports}:schedule:bad"
HUGE = "9" * 5000


async def asleep(clock: ManualClock) -> None:
    """Once the worker has had its first answers of a real server: its upkeep and its reminder sleep on the clock."""
    quiet = 0
    for _ in range(20_000):
        quiet = quiet + 1 if clock.sleepers >= 2 else 0
        if quiet == 20:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the worker does not come to rest")


@pytest.fixture(params=["valkey", "redis"])
async def client(request: pytest.FixtureRequest) -> AsyncGenerator[redis.asyncio.Redis]:
    url: str = request.getfixturevalue(f"{request.param}_url")
    async with redis.asyncio.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        yield client


@pytest.mark.parametrize(
    "command",
    [
        ("DEL", KEY),
        ("SET", KEY, "x"),
        ("HDEL", KEY, "revision"),
        ("HDEL", KEY, "tick", "due", "anchor", "runs"),
        *[
            ("HSET", KEY, field, value)
            for field in ("tick", "due", "anchor", "runs", "skipped", "plan", "job", "last", "last_at", "revision")
            for value in ("", "nan", "-1", HUGE, "999999999999999", "\x00", "[" * 500)
        ],
        ("HSET", KEY, "plan", '{"every_ms":1}'),
        ("HSET", KEY, "plan", '{"every_ms":1000,"jitter_ms":1e300}'),
        ("HSET", KEY, "plan", '{"every_ms":100000000000000000000000000}'),
        ("HSET", KEY, "plan", '{"cron":"@daily","timezone":"../../etc/passwd"}'),
        ("HSET", KEY, "plan", '{"cron":"@daily","end_ms":999999999999999999}'),
        ("HSET", KEY, "job", '{"id":"-","type":"report\\nforged","data":"1"}'),
        ("HSET", KEY, "job", '{"id":"-","type":"report","data":"1","options":"\\n"}'),
        ("HSET", KEY, "job", '{"id":"-","type":"report","data":"1","priority":-7}'),
        ("HSET", KEY, "job", '{"id":"-","type":"report","data":"1","expires_in_ms":1e30}'),
        ("ZADD", "jobqueue:{reports}:schedules", "-inf", "bad"),
        ("ZADD", "jobqueue:{reports}:schedules", "0", "nobody"),
    ],
    ids=lambda command: " ".join(word[:30] for word in command).replace("\x00", "NUL"),
)
async def test_its_neighbours_are_fired_all_the_same(client: redis.asyncio.Redis, command: tuple[str, ...]) -> None:
    clock, ran, registry = ManualClock(patience=5), list[str](), Registry()
    backend = RedisBackend(client, clock=clock)
    queue = Queue("reports", backend=backend)

    @registry.processor("report")
    async def report(job: Job) -> None:
        ran.append(job.id)

    for schedule in ("bad", "good"):
        await queue.schedules.put(Schedule(schedule, every=60, limit=2, job=NewJob("report")))
    await client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
    async with Worker(queue, registry=registry, clock=clock, lease=36_000) as worker:
        await asleep(clock)
        await clock.advance(seconds=130)
        await worker.drain()
        assert worker.running
    assert [job_id for job_id in ran if job_id.startswith("good")] == [
        "good:2026-01-01T00:01:00Z",
        "good:2026-01-01T00:02:00Z",
    ]
    assert "good" in [shown.id for shown in await queue.schedules.list()]

    # It can be put right again, or removed.
    await queue.schedules.put(Schedule("bad", every=30, job=NewJob("report")))
    mended = await queue.schedules.get("bad")
    assert mended is not None
    assert mended.next_run is not None
    assert await queue.schedules.remove("bad")
    await backend.close()
