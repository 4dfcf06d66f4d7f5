"""A worker's end, against processors that resist it; and who blocks an event loop is named."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jobqueue import Batch, Job, JobState, Queue, Registry, Worker
from jobqueue.backends import Backend, RedisBackend
from jobqueue.backends.redis.connection import Line, Switchboard
from jobqueue.backends.redis.routes import Routes
from jobqueue.worker.culprit import culprit
from tests.servers import server, valkey_binary

ROOT = Path(__file__).parents[2]

RESISTING = """
import asyncio, sys, time
from jobqueue import Job, Queue, Registry, Worker, connect

registry = Registry()

@registry.processor("deaf")
async def deaf(job: Job[int]) -> None:
    print("started", flush=True)
    while True:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass

@registry.processor("thread")
def thread(job: Job[int]) -> None:
    print("started", flush=True)
    time.sleep(600)

@registry.processor("obeying")
async def obeying(job: Job[int]) -> None:
    print("started", flush=True)
    await asyncio.sleep(600)

async def main():
    async with connect(sys.argv[1], fallback="never") as backend:
        queue = Queue("tickets", backend=backend)
        await Worker(queue, registry=registry, grace=60).run()
    print("ended by itself", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["obeying", "deaf", "thread"])
def test_a_second_signal_ends_the_process_within_a_second(kind: str) -> None:
    with server(valkey_binary()) as url:
        command = [sys.executable, "-c", RESISTING, url]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None

            async def enqueue() -> None:
                backend = RedisBackend.from_url(url)
                await Queue("tickets", backend=backend).enqueue(kind, 1, job_id="it")
                await backend.close()

            asyncio.run(enqueue())
            assert process.stdout.readline() == b"started\n"
            process.terminate()
            # Two of the same signal that are pending at once are one.
            time.sleep(0.2)
            began = time.monotonic()
            process.terminate()
            code = process.wait(20)
            took = time.monotonic() - began
            rest = process.stdout.read()

        async def state() -> tuple[JobState, int, int]:
            backend = RedisBackend.from_url(url)
            record = await backend.get("tickets", "it")
            await backend.close()
            assert record is not None
            return record.state, record.failures, record.stalls

        # A machine with other things to do is given time; nothing here would end in a minute by itself.
        assert took < 10
        if kind == "obeying":
            assert (code, rest) == (0, b"ended by itself\n")
            assert asyncio.run(state()) == (JobState.WAITING, 0, 0)
        else:
            assert code == -signal.SIGTERM
            assert asyncio.run(state()) == (JobState.ACTIVE, 0, 0), "left to its lease"


async def test_a_stop_waits_for_no_processor_that_swallows_its_cancellation(
    tickets: Queue, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobqueue.worker.worker._CANCEL_SECONDS", 0.1)
    started, let_go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @registry.processor("deaf")
    async def deaf(job: Job[None]) -> None:
        started.set()
        while not let_go.is_set():
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        ended.set()

    worker = Worker(tickets, registry=registry, grace=0)
    await worker.start()
    job = await tickets.enqueue("deaf")
    await asyncio.wait_for(started.wait(), 10)
    await asyncio.wait_for(worker.stop(), 10)
    assert not ended.is_set()
    await job.refresh()
    assert job.state is JobState.ACTIVE
    slots = [task for task in asyncio.all_tasks() if "slot" in task.get_name()]
    assert len(slots) == 1
    let_go.set()
    # It is through at last: its slot takes nothing more, and ends.
    await asyncio.wait_for(ended.wait(), 10)
    await asyncio.wait(slots, timeout=10)
    assert all(slot.done() for slot in slots)


def _blocking(seconds: float) -> None:
    time.sleep(seconds)


async def test_who_blocks_the_loop_is_named(
    tickets: Queue, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.processor("blocking")
    async def block(job: Job[None]) -> None:
        _blocking(1.5)

    @registry.processor("innocent")
    async def wait(job: Job[None]) -> None:
        await asyncio.sleep(0.2)

    with caplog.at_level(logging.WARNING, "jobqueue"):
        async with Worker(tickets, registry=registry, lease=0.6):
            await tickets.enqueue("innocent", job_id="innocent")
            job = await tickets.enqueue("blocking", job_id="blocking")
            await job.result(timeout=20)
    warnings = [vars(line) for line in caplog.records if line.message == "worker.blocked"]
    if isinstance(await tickets.backend(), RedisBackend):
        assert len(warnings) == 1, "leases are kept from a thread, which sees it, once"
    for warning in warnings:
        assert (warning["job_id"], warning["type"]) == ("blocking", "blocking")
        assert warning["where"].startswith(f"{__name__}:")
        assert warning["where"].endswith(" in _blocking")


async def test_a_batch_that_blocks_the_loop_is_named(
    tickets: Queue, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.processor("blocking", batch=Batch(size=2, wait=0.01))
    async def block(jobs: list[Job[None]]) -> None:
        _blocking(1.5)

    with caplog.at_level(logging.WARNING, "jobqueue"):
        async with Worker(tickets, registry=registry, lease=0.6):
            job = await tickets.enqueue("blocking", job_id="blocking")
            await job.result(timeout=20)
    warnings = [vars(line) for line in caplog.records if line.message == "worker.blocked"]
    for warning in warnings:
        assert (warning["job_id"], warning["type"]) == ("blocking", "blocking")
    if isinstance(await tickets.backend(), RedisBackend):
        assert len(warnings) == 1


def test_a_thread_without_a_job_is_no_job_s() -> None:
    let_go, there = threading.Event(), threading.Event()

    def idle() -> None:
        there.set()
        let_go.wait(10)

    thread = threading.Thread(target=idle)
    thread.start()
    there.wait(10)
    found = culprit(thread.ident or 0)
    let_go.set()
    thread.join()
    assert found is not None
    assert (found.job_id, found.type) == ("", "")
    assert found.where.endswith(" in idle")
    assert culprit(-1) is None


def test_workers_of_one_name_host_and_process_number_are_different(
    tickets: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    monkeypatch.setattr("socket.gethostname", lambda: "app")
    assert len({Worker(tickets, name="same").id for _ in range(100)}) == 100


async def test_a_worker_made_before_a_fork_is_another_one_in_the_child(
    tickets: Queue, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = Worker(tickets, registry=registry)
    before = worker.id
    number = os.getpid()
    monkeypatch.setattr("os.getpid", lambda: number + 1)
    await worker.start()
    await worker.stop()
    assert worker.id != before
    assert f"-{number + 1}-" in worker.id


@pytest.mark.parametrize("backend", ["valkey", "redis", "valkey-acl", "cluster"], indirect=True)
async def test_a_forked_child_calls_on_lines_and_under_names_of_its_own(backend: Backend) -> None:
    assert isinstance(backend, RedisBackend)
    await backend.queues()
    calls, lines = backend._calls, _lines(backend)  # pyright: ignore[reportPrivateUsage]
    identity = calls._identity  # pyright: ignore[reportPrivateUsage]
    assert lines
    _as_after_a_fork(backend)
    await backend.queues()
    assert calls._identity != identity  # pyright: ignore[reportPrivateUsage]
    assert _lines(backend)
    assert not lines & _lines(backend)
    # The parent would go on with these.
    for line in lines:
        await line.close()


def _switchboards(backend: RedisBackend) -> list[Switchboard]:
    lines = backend._calls._lines  # pyright: ignore[reportPrivateUsage]
    if isinstance(lines, Routes):
        return list(lines._boards.values())  # pyright: ignore[reportPrivateUsage]
    assert isinstance(lines, Switchboard)
    return [lines]


def _lines(backend: RedisBackend) -> set[Line]:
    return {line for board in _switchboards(backend) for line in board._all}  # pyright: ignore[reportPrivateUsage]


def _as_after_a_fork(backend: RedisBackend) -> None:
    calls = backend._calls  # pyright: ignore[reportPrivateUsage]
    if isinstance(calls._lines, Routes):  # pyright: ignore[reportPrivateUsage]
        calls._lines.begin_anew()  # pyright: ignore[reportPrivateUsage]
    for thing in (calls, *_switchboards(backend)):
        thing.begin_anew()
