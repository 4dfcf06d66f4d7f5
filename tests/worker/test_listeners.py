"""@on: what is told in the worker's own process, when, and what is not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from jobqueue import Happening, InvalidOption, Job, JobEvent, Queue, Registry, Retry, Snooze, Worker
from jobqueue.backends import MemoryBackend
from jobqueue.testing import ManualClock


async def test_each_end_of_an_attempt_is_told_once(tickets: Queue, registry: Registry) -> None:
    told: list[tuple[str, str, Any]] = []
    enough = asyncio.Event()

    @registry.processor("a.b", retry=Retry(attempts=2, delay=0))
    async def run(job: Job[str]) -> str:
        match job.data, job.attempt:
            case "fine", _:
                return "done"
            case "later", _:
                raise Snooze(3600)
            case _:
                raise ValueError(job.data)

    @registry.on("job.completed", "job.failed", "job.retrying", "job.released")
    async def hear(event: JobEvent) -> None:
        detail = event.result if event.error is None else event.error.type
        told.append((event.job.data, event.name, detail or event.reason))
        if len(told) == 4:
            enough.set()

    async with Worker(tickets, registry=registry):
        for data in ("fine", "bad", "later"):
            await tickets.enqueue("a.b", data)
        async with asyncio.timeout(20):
            await enough.wait()
    assert sorted(told) == [
        ("bad", Happening.FAILED, "ValueError"),
        ("bad", Happening.RETRYING, "ValueError"),
        ("fine", Happening.COMPLETED, "done"),
        ("later", Happening.RELEASED, "snoozed"),
    ]


async def test_only_what_was_asked_for(tickets: Queue, registry: Registry) -> None:
    heard: list[str] = []

    async def run(job: Job[Any]) -> None: ...

    registry.processor("a.b")(run)
    registry.processor("c.d")(run)

    def listener(name: str) -> Callable[[JobEvent], None]:
        return lambda event: heard.append(f"{name} {event.job.type}")

    registry.on("job.completed", type="a.b")(listener("type"))
    registry.on("job.completed", queue="tickets")(listener("queue"))
    registry.on("job.completed", queue="elsewhere")(listener("elsewhere"))
    registry.on("job.failed")(listener("failed"))
    await tickets.enqueue("a.b")
    await tickets.enqueue("c.d")
    await Worker(tickets, registry=registry).drain()
    assert sorted(heard) == ["queue a.b", "queue c.d", "type a.b"]


async def test_what_is_untold_at_the_end_is_told_before_the_worker_leaves(tickets: Queue, registry: Registry) -> None:
    heard: list[str] = []

    @registry.processor("a.b")
    async def run(job: Job[Any]) -> None: ...

    @registry.on("job.completed")
    async def slowly(event: JobEvent) -> None:
        await asyncio.sleep(0.01)
        heard.append(event.job.id)

    jobs = [await tickets.enqueue("a.b") for _ in range(20)]
    async with Worker(tickets, registry=registry):
        for job in jobs:
            await job.result(timeout=20)
    assert sorted(heard) == sorted(job.id for job in jobs)


async def test_a_listener_s_mistake_is_logged_and_the_others_hear(
    tickets: Queue, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []

    @registry.processor("a.b")
    async def run(job: Job[Any]) -> None: ...

    @registry.on("job.completed")
    async def clumsy(event: JobEvent) -> None:
        raise RuntimeError("secret-canary")

    @registry.on("job.completed")
    def hear(event: JobEvent) -> None:
        heard.append(event.job.id)

    job = await tickets.enqueue("a.b")
    with caplog.at_level(logging.ERROR, logger="jobqueue"):
        await Worker(tickets, registry=registry).drain()
    assert heard == [job.id]
    (line,) = [record for record in caplog.records if record.message == "listener.failed"]
    assert (vars(line)["error"], vars(line)["job_id"]) == ("RuntimeError", job.id)
    assert "secret-canary" not in caplog.text


async def test_what_upkeep_has_failed_is_told_too() -> None:
    clock, registry = ManualClock(), Registry()
    heard = asyncio.Event()
    async with asyncio.timeout(20):
        backend = MemoryBackend(clock=clock)
        await backend.open()
        tickets = Queue("tickets", backend=backend)

        @registry.on("job.failed")
        async def hear(event: JobEvent) -> None:
            assert event.error is not None
            assert (event.job.id, event.error.type) == ("late", "Expired")
            heard.set()

        await tickets.pause()
        async with Worker(tickets, registry=registry, clock=clock):
            await tickets.enqueue("a.b", job_id="late", expires_in=10)
            await clock.advance(seconds=30)
            await heard.wait()
        await backend.close()


def test_names_are_checked(registry: Registry) -> None:
    with pytest.raises(InvalidOption, match=r"no such event: job\.done; there are job\.completed"):
        registry.on("job.done")
    with pytest.raises(InvalidOption, match="none was named"):
        registry.on()


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), ValueError("no")])
async def test_a_listener_that_raises_anything_harms_nobody(
    tickets: Queue, registry: Registry, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    heard = asyncio.Event()

    @registry.processor("a.b")
    async def run(job: Job[Any]) -> None: ...

    @registry.on("job.completed")
    async def fall(event: JobEvent) -> None:
        raise error

    class Hearing:
        async def __call__(self, event: JobEvent) -> None:
            heard.set()

    registry.on("job.completed")(Hearing())
    async with Worker(tickets, registry=registry) as worker, asyncio.timeout(20):
        await tickets.enqueue("a.b")
        await heard.wait()
        assert worker.running
    assert [record.error for record in caplog.records if record.message == "listener.failed"] == [  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        type(error).__name__
    ]
