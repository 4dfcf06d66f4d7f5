"""A worker that stops, is killed, or loses its lease or its server."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from typing import Any

import pytest

from jobqueue import BackendUnavailable, InvalidOption, Job, JobState, NewJob, Queue, Registry, Retry, Worker
from jobqueue.backends import Backend, MemoryBackend, RedisBackend
from jobqueue.backends.protocol import Exchange, Extension
from jobqueue.model.events import EventType
from jobqueue.model.record import JobRecord
from jobqueue.worker.ready import Ready
from tests.servers import server, valkey_binary


async def test_a_clean_stop_hands_jobs_back_without_an_attempt(tickets: Queue, registry: Registry) -> None:
    started = asyncio.Event()
    runs: list[str] = []

    @registry.processor("n")
    async def long(job: Job[int]) -> None:
        runs.append(job.id)
        started.set()
        if len(runs) == 1:
            await asyncio.sleep(60)

    async with Worker(tickets, registry=registry, concurrency=1, grace=0):
        job = await tickets.enqueue("n", 1)
        await tickets.enqueue("n", 2)
        await asyncio.wait_for(started.wait(), 10)
    await job.refresh()
    assert (job.state, job.attempt, job.stalls) == (JobState.WAITING, 0, 0)
    assert (await tickets.jobs("waiting"))[0].id == job.id, "it goes to the front"
    await Worker(tickets, registry=registry).drain()
    assert (await tickets.counts()).completed == 2


async def test_running_jobs_get_their_grace(tickets: Queue, registry: Registry) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    @registry.processor("n")
    async def graceful(job: Job[int]) -> str:
        started.set()
        await finish.wait()
        return "done"

    worker = Worker(tickets, registry=registry)
    await worker.start()
    job = await tickets.enqueue("n", 1)
    await asyncio.wait_for(started.wait(), 10)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    finish.set()
    await asyncio.wait_for(stopping, 10)
    await job.refresh()
    assert job.state is JobState.COMPLETED


async def test_a_stubborn_processor_is_reported_and_its_neighbours_are_settled(
    tickets: Queue, registry: Registry, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobqueue.worker.worker._CANCEL_SECONDS", 0.1)
    started = asyncio.Event()
    let_go = asyncio.Event()

    @registry.processor("stubborn")
    async def stubborn(job: Job[Any]) -> None:
        started.set()
        while not let_go.is_set():
            try:
                await asyncio.wait_for(let_go.wait(), 0.3)
            except (asyncio.CancelledError, TimeoutError):
                if asyncio.get_running_loop().time() > deadline:
                    raise

    deadline = asyncio.get_running_loop().time() + 1
    worker = Worker(tickets, registry=registry, grace=0)
    await worker.start()
    job = await tickets.enqueue("stubborn")
    await asyncio.wait_for(started.wait(), 10)
    with caplog.at_level(logging.ERROR, "jobqueue"):
        await asyncio.wait_for(worker.stop(), 10)
    assert [record.message for record in caplog.records if record.message == "job.stubborn"] == ["job.stubborn"]
    await job.refresh()
    assert job.state is JobState.ACTIVE, "left to its lease"


async def test_a_dead_worker_s_job_runs_elsewhere(tickets: Queue, registry: Registry, backend: Backend) -> None:
    runs: list[int] = []

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        runs.append(job.stalls)

    job = await tickets.enqueue("n", 1)
    await backend.exchange("tickets", Exchange("dead", "dead/0", 1, claim=1, lease_ms=50))
    async with Worker(tickets, registry=registry, lease=0.3):
        await job.result(timeout=10)
    await job.refresh()
    assert (runs, job.attempt, job.stalls) == ([1], 1, 1)


async def test_a_lost_lease_cancels_the_processor_and_refuses_its_result(
    tickets: Queue, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    @registry.processor("n")
    async def long(job: Job[int]) -> None:
        started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with caplog.at_level(logging.WARNING, "jobqueue"):
        async with Worker(tickets, registry=registry, lease=0.3):
            await tickets.enqueue("n", 1)
            await asyncio.wait_for(started.wait(), 10)
            await tickets.obliterate(force=True)
            await asyncio.wait_for(cancelled.wait(), 10)
    assert "lease.lost" in [record.message for record in caplog.records]
    assert (await tickets.counts()).total == 0


async def test_an_old_answer_about_a_lease_costs_no_new_attempt(
    backend: Backend, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, again, answered = asyncio.Event(), asyncio.Event(), asyncio.Event()
    runs: list[int] = []
    renew = backend.extend

    async def renew_late(queue: str, worker: str, leases: Sequence[tuple[str, int]], lease_ms: int) -> Extension:
        asked.set()
        await again.wait()
        extension = await renew(queue, worker, leases, lease_ms)
        if not answered.is_set():
            assert extension.lost, "that was the lease of the first attempt"
            answered.set()
        return extension

    monkeypatch.setattr(backend, "extend", renew_late)
    # As on a backend that cannot be reached from another thread: the answer comes just when it is said to.
    monkeypatch.setattr(backend, "detached", lambda: None)

    @registry.processor("n", retry=Retry(attempts=2, backoff="fixed", delay=0.001))
    async def falter(job: Job[int]) -> int:
        runs.append(job.attempt)
        if job.attempt == 1:
            await asked.wait()
            raise ConnectionError
        again.set()
        await answered.wait()
        return job.data

    queue = Queue("tickets", backend=backend)
    with caplog.at_level(logging.WARNING, "jobqueue"):
        async with Worker(queue, registry=registry, lease=2):
            job = await queue.enqueue("n", 7)
            assert await job.result(timeout=20) == 7
    assert runs == [1, 2]
    assert "lease.lost" not in [record.message for record in caplog.records]


async def test_lines_written_in_a_processor_are_the_job_s_logs(tickets: Queue, registry: Registry) -> None:
    seen: list[tuple[str, str, int]] = []

    class Host(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            known = record.__dict__
            seen.append((known["job_id"], known["job_type"], known["job_attempt"]))

    @registry.processor("n")
    async def chatty(job: Job[int]) -> None:
        logging.getLogger("app").warning("about %s", job.data)

    host = Host()
    logging.getLogger().addHandler(host)
    try:
        async with Worker(tickets, registry=registry):
            job = await tickets.enqueue("n", 7)
            await job.result(timeout=10)
    finally:
        logging.getLogger().removeHandler(host)
    (line,) = await job.logs()
    assert (line.level, line.message, line.attempt) == ("warning", "about 7", 1)
    assert seen == [(job.id, "n", 1)]


async def test_a_worker_outlives_its_server() -> None:
    registry = Registry()
    ran = asyncio.Queue[int]()

    @registry.processor("n")
    async def note(job: Job[int]) -> None:
        ran.put_nowait(job.data)

    with server(valkey_binary()) as url:
        backend = RedisBackend.from_url(url, deadline=0.2)
        await backend.open()
        tickets = Queue("tickets", backend=backend)
        worker = Worker(tickets, registry=registry)
        await worker.start()
        await tickets.enqueue("n", 1)
        assert await asyncio.wait_for(ran.get(), 10) == 1
        path = url.removeprefix("unix://")
    with pytest.raises(BackendUnavailable):
        await tickets.enqueue("n", 2)
    with server(valkey_binary(), path) as _:
        for _ in range(100):
            try:
                await tickets.enqueue_many([NewJob("n", 3)])
                break
            except BackendUnavailable:
                await asyncio.sleep(0.05)
        assert await asyncio.wait_for(ran.get(), 20) == 3
        await worker.stop()
        await backend.close()


async def test_a_job_whose_lease_ran_out_before_it_could_start_is_handed_back(
    tickets: Queue, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    stops: list[float] = []
    was_stopped = asyncio.Event()
    ready_take = Ready.take

    def take(self: Ready) -> JobRecord | None:
        if len(self) and not was_stopped.is_set():
            # The process was stopped for a long time between the claim and the start, once.
            was_stopped.set()
            stops.append(1000.0)
        return ready_take(self)

    def clock() -> float:
        return time.perf_counter() + (stops.pop() if stops else 0)

    @registry.processor("n")
    async def same(job: Job[int]) -> int:
        return job.data

    monkeypatch.setattr(Ready, "take", take)
    monkeypatch.setattr("jobqueue.worker.ready.perf_counter", clock)
    backend = await tickets.backend()
    job = await tickets.enqueue("n", 7)
    async with Worker(tickets, registry=registry):
        assert await job.result(timeout=10) == 7
    told = [event.type for event in (await backend.events("tickets", "0", 0)).events]
    assert told.count(EventType.STARTED) == 2
    assert told.count(EventType.RELEASED) == 1
    await job.refresh()
    assert job.attempt == 1


async def test_after_run_signals_do_what_they_did_before(tickets: Queue, registry: Registry) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        worker = Worker(tickets, registry=registry)
        await worker.start()
        asyncio.get_running_loop().call_later(0, signal.raise_signal, signal.SIGTERM)
        await asyncio.wait_for(worker.run(), 10)
        assert heard == []
        signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_signals_do_not_reach_a_thread() -> None:
    def run() -> None:
        asyncio.run(Worker(Queue("tickets", backend=MemoryBackend()), registry=Registry()).run())

    with pytest.raises(InvalidOption, match="signals=False"):
        await asyncio.to_thread(run)


async def test_two_workers_of_a_process_leave_signals_to_the_process(registry: Registry) -> None:
    tickets = Queue("tickets", backend=MemoryBackend())
    one, other = (Worker(tickets, registry=registry) for _ in range(2))
    await one.start()
    running = asyncio.create_task(one.run())
    await asyncio.sleep(0)
    await other.start()
    asyncio.get_running_loop().call_later(0, signal.raise_signal, signal.SIGTERM)
    await asyncio.wait_for(other.run(), 10)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, "what is left ends the process"
    await one.stop()
    await asyncio.wait_for(running, 10)
