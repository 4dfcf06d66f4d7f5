"""Whoever is on call is told of effects that no queue takes, and of no more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from jobqueue import BackendFull, Job, JobState, Queue, Registry, Retry, Undelivered, Worker
from jobqueue.backends import MemoryBackend
from jobqueue.errors import BackendError
from jobqueue.worker.stuck import Stuck


def refusal(queue: str, why: BackendError) -> Undelivered:
    error = Undelivered(queue=queue)
    error.__cause__ = why
    return error


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None, str | None]]:
    records = (record for record in caplog.records if record.getMessage().startswith("outbox."))
    return [(record.getMessage(), getattr(record, "to", None), getattr(record, "error", None)) for record in records]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing passes by itself."""
    monkeypatch.setattr("jobqueue.worker.stuck.PASSING", 0.0)


@pytest.mark.usefixtures("at_once")
def test_each_queue_that_takes_nothing_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    stuck = Stuck("tickets")
    with caplog.at_level(logging.INFO, "jobqueue"):
        for _ in range(3):
            stuck.refused(refusal("letters", BackendFull("no memory")))
        stuck.refused(refusal("mail", BackendFull("no memory")))
        stuck.refused(refusal("letters", BackendFull("no memory")))
        stuck.emptied()
        stuck.emptied()
    assert said(caplog) == [
        ("outbox.stuck", "letters", "BackendFull"),
        ("outbox.stuck", "mail", "BackendFull"),
        ("outbox.cleared", None, None),
    ]


def test_what_passes_is_nothing_to_tell(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    now, stuck = 0.0, Stuck("tickets")
    monkeypatch.setattr("jobqueue.worker.stuck.monotonic", lambda: now)
    with caplog.at_level(logging.INFO, "jobqueue"):
        for _ in range(3):
            for _ in range(3):
                stuck.refused(refusal("letters", BackendFull("no memory")))
                now += 1
            stuck.emptied()
        assert not said(caplog)
        for _ in range(4):
            stuck.refused(refusal("letters", BackendFull("no memory")))
            now += 1
    assert said(caplog) == [("outbox.stuck", "letters", "BackendFull")]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (what is waited for is in a log)
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("by_another_worker", [False, True])
async def test_a_worker_tells_of_letters_that_have_no_room(
    caplog: pytest.LogCaptureFixture, by_another_worker: bool
) -> None:
    backend = MemoryBackend(max_jobs=3)
    await backend.open()
    registry = Registry()

    @registry.processor("n")
    async def fail(job: Job[int]) -> None:
        raise ValueError(job.data)

    queue = Queue("tickets", backend=backend, dead_letter="letters")
    other = Queue("mail", backend=backend)
    waiting = await other.enqueue("n", 1)
    await other.enqueue("n", 2)
    with caplog.at_level(logging.INFO, "jobqueue"):
        async with Worker(queue, registry=registry, lease=0.3):
            await queue.enqueue("n", 3, retry=Retry(attempts=1))
            await _until(lambda: bool(said(caplog)))
            await other.remove(waiting.id)
            if by_another_worker:
                assert await backend.deliver("tickets") == 1
            await _until(lambda: len(said(caplog)) > 1)
    assert said(caplog) == [("outbox.stuck", "letters", "BackendFull"), ("outbox.cleared", None, None)]
    assert (await backend.status("letters")).counts[JobState.WAITING] == 1
