"""Workers that die between a job's end and its receiver: nothing is lost, and a repeat is known by its id."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest
import redis.asyncio

from jobqueue import NewJob, Queue, Webhook, connect
from tests.webhooks.receiver import Received, Receiver


@pytest.fixture
async def tickets(valkey_url: str) -> AsyncGenerator[Queue]:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    async with connect(valkey_url, fallback="never") as backend:
        yield Queue("tickets", backend=backend)


@asynccontextmanager
async def worker(url: str, when: str = "never") -> AsyncGenerator[asyncio.subprocess.Process]:
    """A worker in a process of its own."""
    command = [sys.executable, "-m", "tests.webhooks.dying_worker", url, when]
    process = await asyncio.create_subprocess_exec(*command)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def outbox(url: str) -> int:
    """How many effects wait in it."""
    async with redis.asyncio.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        return int(await client.xlen("jobqueue:{tickets}:outbox"))


@pytest.mark.parametrize("when", ["settled", "handed"])
async def test_a_worker_dies_between_an_end_and_its_delivery(
    when: str, tickets: Queue, valkey_url: str, receiver: Receiver
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url))
    job = await tickets.enqueue("invoice.send", 1)
    async with worker(valkey_url, when) as process:
        assert await process.wait() == -signal.SIGKILL
    assert await tickets.get(job.id) is None, "it is not kept: all that is left of it is what is in the outbox"
    assert await outbox(valkey_url) == 1
    before = await tickets.webhooks.deliveries()
    assert len(before) == (1 if when == "handed" else 0)
    async with worker(valkey_url):
        (request,) = await receiver.wait_for(1)
        await tickets.enqueue("invoice.send", 2, job_id="another")
        requests = await receiver.wait_for(2)
    assert request.content["data"]["job_id"] == job.id
    assert [delivery.id for delivery in before] in ([], [request.id])
    assert len({one.id for one in requests}) == len(receiver.received) == 2, "handed over twice, it is sent once"


async def test_a_worker_dies_before_it_hears_the_answer(tickets: Queue, valkey_url: str, receiver: Receiver) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url))
    secret = await tickets.webhooks.secret("books")
    await tickets.enqueue("invoice.send", 1)
    async with worker(valkey_url) as process:

        def kill_it(_: Received) -> tuple[int, Mapping[str, str]]:
            if len(receiver.received) == 1:
                os.kill(process.pid, signal.SIGKILL)
            return 204, {}

        receiver.answers = kill_it
        await receiver.wait_for(1)
        assert await process.wait() == -signal.SIGKILL
        async with worker(valkey_url):
            first, second = await receiver.wait_for(2)
    assert first.id == second.id
    assert first.verified(secret) == second.verified(secret)


async def test_workers_die_at_any_moment(tickets: Queue, valkey_url: str, receiver: Receiver) -> None:
    draw = random.Random(7)
    receiver.answers = lambda _: (500 if draw.random() < 0.2 else 204, {})
    await tickets.webhooks.put(Webhook("books", receiver.url, events=["job.completed"]))
    jobs = [NewJob("invoice.send", number, job_id=f"i-{number}") for number in range(200)]
    await tickets.enqueue_many(jobs)
    for _ in range(3):
        seen = len(receiver.received)
        async with worker(valkey_url):
            await receiver.wait_for(min(seen + draw.randint(5, 40), 200))
    async with worker(valkey_url), asyncio.timeout(40):
        while len({one.content["data"]["job_id"] for one in receiver.received}) < 200:
            await receiver.wait_for(len(receiver.received) + 1)
    ids: dict[str, set[str]] = defaultdict(set)
    for request in receiver.received:
        ids[request.content["data"]["job_id"]].add(request.id)
    assert set(ids) == {f"i-{number}" for number in range(200)}
    assert {len(each) for each in ids.values()} == {1}, "each job completed once, and is told under one id"
