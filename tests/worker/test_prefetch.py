"""Claiming ahead of free slots: only short jobs, never for long, and not at all when told so."""

from __future__ import annotations

import asyncio

import pytest

from jobqueue import Job, NewJob, Queue, Registry, Worker
from jobqueue.worker.prefetch import SHORT_SECONDS, Prefetch


@pytest.mark.parametrize("prefetch", [True, False])
async def test_more_jobs_are_held_than_there_are_slots_only_with_prefetch(
    tickets: Queue, registry: Registry, prefetch: bool
) -> None:
    most = 0

    @registry.processor("look")
    async def look(job: Job[int]) -> None:
        nonlocal most
        most = max(most, (await tickets.counts()).active)

    await tickets.enqueue_many([NewJob("look", n) for n in range(300)])
    await Worker(tickets, registry=registry, concurrency=1, prefetch=prefetch).drain()
    assert most > 1 if prefetch else most == 1


async def test_what_waits_behind_a_long_job_goes_to_another_worker(tickets: Queue, registry: Registry) -> None:
    started, release, ran = asyncio.Event(), asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    @registry.processor("short")
    async def short(job: Job[int]) -> None:
        seen.append(job.data)
        if len(seen) == 600:
            ran.set()

    @registry.processor("long")
    async def long(job: Job) -> None:
        started.set()
        await release.wait()

    before = [NewJob("short", n) for n in range(300)]
    after = [NewJob("short", n) for n in range(300, 600)]
    await tickets.enqueue_many([*before, NewJob("long"), *after])
    async with asyncio.timeout(20), Worker(tickets, registry=registry, concurrency=1):
        await started.wait()
        async with Worker(tickets, registry=registry, concurrency=1):
            # The first worker's only slot is taken, so whatever it had claimed ahead must come here.
            await ran.wait()
        release.set()
    assert sorted(seen) == list(range(600))


async def test_a_pause_hands_back_what_was_claimed_ahead(tickets: Queue, registry: Registry) -> None:
    paused = asyncio.Event()

    @registry.processor("short")
    async def short(job: Job[int]) -> None:
        if job.data == 200:
            await tickets.pause()
            paused.set()

    await tickets.enqueue_many([NewJob("short", n) for n in range(1000)])
    async with asyncio.timeout(20):
        async with Worker(tickets, registry=registry, concurrency=2):
            await paused.wait()
        counts = await tickets.counts()
    assert counts.active == 0
    assert counts.waiting > 0


def test_nothing_is_claimed_ahead_of_long_jobs() -> None:
    prefetch = Prefetch(10)
    for _ in range(100):
        prefetch.ran(2 * SHORT_SECONDS)
        prefetch.answered(0.001)
    assert prefetch.ahead == 0


def test_as_many_are_claimed_ahead_as_run_until_the_answer_is_here() -> None:
    prefetch = Prefetch(10)
    for _ in range(2000):
        prefetch.ran(0.005)
        prefetch.answered(0.001)
    # Ten slots get through two jobs in a millisecond.
    assert prefetch.ahead == 2


def test_one_long_job_ends_it_at_once_and_short_ones_bring_it_back() -> None:
    prefetch = Prefetch(1)
    for _ in range(2000):
        prefetch.ran(0.0001)
        prefetch.answered(0.001)
    assert prefetch.ahead == 10
    prefetch.ran(60)
    assert prefetch.ahead == 0
    prefetch.answered(0.001)
    assert prefetch.ahead == 0
    for _ in range(2000):
        prefetch.ran(0.0001)
    prefetch.answered(0.001)
    assert prefetch.ahead == 10


def test_there_is_an_upper_bound() -> None:
    prefetch = Prefetch(1000)
    for _ in range(100):
        prefetch.ran(0)
        prefetch.answered(1)
    assert prefetch.ahead == 100


def test_a_server_that_was_away_does_not_have_more_claimed_than_can_start_in_time() -> None:
    prefetch = Prefetch(1)
    for _ in range(2000):
        prefetch.ran(0.01)
        prefetch.answered(30)
    # A job may wait 50 ms here, of which 25 are planned with: two and a half jobs.
    assert prefetch.ahead == 3
