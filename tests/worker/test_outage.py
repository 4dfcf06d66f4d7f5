"""A worker whose backend is away: it says so once, is patient, and keeps what it holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from jobqueue import BackendUnavailable, Job, Queue, Registry, Worker
from jobqueue.backends import MemoryBackend
from jobqueue.backends.protocol import Backend, Exchange, Extension, NewRecord, Page, Presence, Upkeep, UpkeepReport
from jobqueue.errors import BackendFull
from jobqueue.model.record import JobState
from jobqueue.patience import LONGEST_PAUSE, Patience
from jobqueue.worker.outage import Outage
from jobqueue.worker.upkeep import ORPHANS


class Absent(MemoryBackend):
    """Away for as long as its test says. It has a handle for the lease thread, as a server would."""

    away = False
    asked: Sequence[str] = ()

    def _look(self, what: str) -> None:
        self.asked = (*self.asked, what)
        if self.away:
            raise BackendUnavailable("away")

    def detached(self) -> Backend | None:
        return Handle(self)

    async def exchange(self, queue: str, request: Exchange) -> Page:
        self._look("exchange")
        return await super().exchange(queue, request)

    async def upkeep(self, queue: str, request: Upkeep) -> UpkeepReport:
        self._look(f"upkeep of {request.limit}")
        return await super().upkeep(queue, request)

    async def wait(self, queue: str, seconds: float) -> bool:
        self._look("wait")
        return await super().wait(queue, seconds)


class Handle(MemoryBackend):
    """What the lease thread calls: the first three renewals fail."""

    def __init__(self, home: Absent) -> None:
        super().__init__()
        self._home = home
        self._failures = 3

    async def extend(self, queue: str, worker: str, leases: Sequence[tuple[str, int]], lease_ms: int) -> Extension:
        if self._failures:
            self._failures -= 1
            raise BackendUnavailable("away")
        self._home.asked = (*self._home.asked, "renewed")
        return Extension(frozenset(), {})


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (what is waited for is in a list or in a log)
            await asyncio.sleep(0.01)


async def test_an_outage_is_two_lines_however_many_notice_it(caplog: pytest.LogCaptureFixture) -> None:
    backend = Absent()
    await backend.open()
    queue = Queue("tickets", backend=backend)
    registry = Registry()
    gate = asyncio.Event()

    running: list[str] = []

    @registry.processor("n")
    async def wait(job: Job[int]) -> None:
        running.append(job.id)
        await gate.wait()

    with caplog.at_level(logging.INFO, "jobqueue"):
        async with Worker(queue, registry=registry, concurrency=4):
            for number in range(4):
                await queue.enqueue("n", number)
            await _until(lambda: len(running) == 4)
            backend.away = True
            gate.set()
            await _until(lambda: backend.asked[-20:].count("exchange") >= 6)
            backend.away = False
            await _until(lambda: "backend.restored" in caplog.messages)
    assert caplog.messages.count("backend.lost") == 1
    assert caplog.messages.count("backend.restored") == 1


def test_an_outage_is_over_when_all_who_noticed_it_are_back(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("tickets")
    with caplog.at_level(logging.INFO, "jobqueue"):
        outage.answered("w/0")
        outage.lost("w/0", BackendUnavailable("away"))
        outage.lost("w/1", BackendFull("no memory"))
        outage.lost("w/0", BackendUnavailable("away"))
        outage.answered("w/0")
        assert caplog.messages == ["backend.lost"]
        outage.answered("w/1")
        assert caplog.messages == ["backend.lost", "backend.restored"]
        outage.lost("w/1", BackendUnavailable("away"))
        assert caplog.messages == ["backend.lost", "backend.restored", "backend.lost"]


def test_patience_grows_to_a_bound_and_starts_again_when_rewarded() -> None:
    patience = Patience()
    pauses = [patience.pause() for _ in range(20)]
    assert pauses[0] <= 0.05
    assert all(LONGEST_PAUSE / 2 <= pause <= LONGEST_PAUSE for pause in pauses[8:])
    assert len(set(pauses[8:])) > 1, "nobody keeps in step with others"
    assert patience.pause(most=0.3) <= 0.3
    patience.rewarded()
    assert patience.pause() <= 0.05


async def test_a_renewal_that_failed_is_tried_again_before_the_lease_is_over() -> None:
    backend = Absent()
    await backend.open()
    queue = Queue("tickets", backend=backend)
    registry = Registry()
    gate = asyncio.Event()

    @registry.processor("n")
    async def wait(job: Job[int]) -> None:
        await gate.wait()

    loop = asyncio.get_running_loop()
    async with Worker(queue, registry=registry, lease=6):
        await queue.enqueue("n", 1)
        began = loop.time()
        await _until(lambda: "renewed" in backend.asked)
        took = loop.time() - began
        gate.set()
    # At a third of the lease each it would have come after four of them, when the lease had run out.
    assert took < 6


async def test_after_an_outage_upkeep_lets_results_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobqueue.worker.upkeep.LONGEST_PAUSE", 0.3)
    backend = Absent()
    await backend.open()
    backend.away = True
    extended: list[float] = []
    loop = asyncio.get_running_loop()
    real = backend.extend

    async def extend(*words: Any) -> Extension:
        if backend.away:
            raise BackendUnavailable("away")
        extended.append(loop.time())
        return await real(*words)

    monkeypatch.setattr(backend, "extend", extend)
    upkept: list[float] = []
    upkeep = backend.upkeep

    async def kept(queue: str, request: Upkeep) -> UpkeepReport:
        report = await upkeep(queue, request)
        upkept.append(loop.time())
        return report

    monkeypatch.setattr(backend, "upkeep", kept)
    async with Worker(Queue("tickets", backend=backend), registry=Registry(), lease=30):
        await _until(lambda: f"upkeep of {ORPHANS}" in backend.asked)
        backend.away = False
        await _until(lambda: bool(upkept))
    assert upkept[0] - extended[0] >= 0.29


async def test_a_dead_worker_s_jobs_are_recovered_some_at_a_time(backend: Backend) -> None:
    count = ORPHANS + 50
    await backend.enqueue("tickets", [NewRecord(f"j{number}", "n", b"1") for number in range(count)])
    page = await backend.exchange("tickets", Exchange("dead", "dead/0", 1, claim=count, lease_ms=1))
    assert len(page.leases) == count
    await asyncio.sleep(0.01)
    presence = Presence(worker="w", host="here", pid=1, slots=1, busy=0, started_ms=0)
    request = Upkeep(presence=presence, presence_ms=60_000, limit=ORPHANS)
    first = await backend.upkeep("tickets", request)
    assert (len(first.recovered), first.more) == (ORPHANS, True)
    second = await backend.upkeep("tickets", request)
    assert (len(second.recovered), second.more) == (50, False)
    waiting = [job.id for job in await backend.find("tickets", JobState.WAITING, limit=count)]
    assert sorted(waiting) == sorted(f"j{number}" for number in range(count))
