"""SyncQueue: a producer for programs that are not asyncio."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from pydantic import BaseModel

from jobqueue import (
    BackendClosed,
    BackendUnavailable,
    InvalidOption,
    Job,
    JobFailed,
    JobNotFound,
    JobQueueError,
    JobState,
    JobType,
    Limits,
    NewJob,
    Queue,
    QueueFull,
    Registry,
    SyncQueue,
    Worker,
    close_sync,
    connect,
)


class Ticket(BaseModel):
    number: int


TICKET = JobType("sync.ticket", Ticket, result=int)


@pytest.fixture
def url(valkey_url: str) -> Generator[str]:
    with redis.Redis.from_url(valkey_url) as admin:  # pyright: ignore[reportUnknownMemberType]
        admin.flushall()  # pyright: ignore[reportUnknownMemberType]
    yield valkey_url
    close_sync()


@pytest.fixture
def worker(url: str) -> Generator[None]:
    """A worker on a loop and a thread of its own, as in another process."""
    registry = Registry()

    @registry.processor(TICKET)
    async def double(job: Job[Ticket]) -> int:
        if job.data.number < 0:
            raise ValueError("below zero")
        return job.data.number * 2

    started, stop = threading.Event(), threading.Event()

    async def work() -> None:
        async with connect(url) as backend, Worker(Queue("tickets", backend=backend), registry=registry):
            started.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    started.wait(20)
    yield
    stop.set()
    thread.join(20)


@pytest.mark.usefixtures("worker")
def test_a_job_is_put_in_and_its_result_waited_for(url: str) -> None:
    tickets = SyncQueue("tickets", url)
    job = tickets.enqueue(TICKET, Ticket(number=21), priority=1, job_id="ticket-21")
    assert (job.id, job.type, job.queue, job.data) == ("ticket-21", "sync.ticket", "tickets", Ticket(number=21))
    assert job.result(timeout=20) == 42
    job.refresh()
    assert (job.state, job.result_value, job.error) == (JobState.COMPLETED, 42, None)
    with pytest.raises(JobFailed, match="below zero"):
        tickets.enqueue(TICKET, Ticket(number=-1), retry=False).result(timeout=20)


def test_the_rest_of_what_a_producer_needs(url: str) -> None:
    tickets = SyncQueue("tickets", url)
    first, second = tickets.enqueue_many([NewJob("a.b"), NewJob("a.b", delay=60)])
    assert (tickets.counts().waiting, tickets.counts().delayed) == (1, 1)
    assert first.cancel("not needed") is JobState.CANCELLED
    first.retry()
    found = tickets.get(second.id)
    assert found is not None
    assert found.state is JobState.DELAYED
    assert tickets.get("nobody") is None


def test_errors_come_out_where_the_call_was_made(url: str) -> None:
    tickets = SyncQueue("tickets", url)
    with pytest.raises(InvalidOption, match="priority"):
        tickets.enqueue("a.b", priority=-1)
    job = tickets.enqueue("a.b")
    SyncQueue("tickets", url, namespace="other").counts()
    with redis.Redis.from_url(url) as admin:  # pyright: ignore[reportUnknownMemberType]
        admin.flushall()  # pyright: ignore[reportUnknownMemberType]
    with pytest.raises(JobNotFound):
        job.refresh()


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQUEUE_FALLBACK", "never")
    with pytest.raises(BackendUnavailable):
        SyncQueue("tickets", "redis://127.0.0.1:1").enqueue("a.b")
    close_sync()


def test_many_threads_share_one_connection_and_travel_together(url: str) -> None:
    tickets = SyncQueue("tickets", url)

    def put(number: int) -> str:
        return tickets.enqueue("a.b", number).id

    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(put, range(200)))
    assert len(set(ids)) == 200
    assert SyncQueue("tickets", url).counts().waiting == 200


def test_limits_are_declared_and_room_is_waited_for(url: str) -> None:
    with pytest.raises(InvalidOption, match="limits must be Limits"):
        SyncQueue("tickets", url, limits=3)  # pyright: ignore[reportArgumentType]
    tickets = SyncQueue("tickets", url, limits=Limits(max_waiting=1))
    tickets.enqueue("ticket.created")
    for refused in (
        lambda: tickets.enqueue("ticket.created", wait=0.05),
        lambda: tickets.enqueue_many([NewJob("ticket.created")], wait=0.05),
    ):
        with pytest.raises(QueueFull):
            refused()
    assert tickets.counts().waiting == 1


async def test_in_an_event_loop_it_says_what_to_use() -> None:
    with pytest.raises(JobQueueError, match="use Queue and await it"):
        SyncQueue("tickets", "memory://").enqueue("a.b")


def test_after_closing_the_next_call_opens_anew(url: str) -> None:
    tickets = SyncQueue("tickets", url)
    tickets.enqueue("a.b")
    close_sync()
    close_sync()
    tickets.enqueue("a.b")
    assert tickets.counts().waiting == 2
    assert sum(thread.name == "jobqueue sync" for thread in threading.enumerate()) == 1


def test_a_job_outlives_what_it_was_made_with(url: str) -> None:
    tickets = SyncQueue("tickets", url)
    job = tickets.enqueue(TICKET, Ticket(number=1))
    close_sync()
    job.refresh()
    assert job.data == Ticket(number=1)


def test_who_waits_is_told_that_all_was_closed(url: str) -> None:
    job = SyncQueue("tickets", url).enqueue("a.b")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(job.result)
        with redis.Redis.from_url(url) as admin:  # pyright: ignore[reportUnknownMemberType]
            while not admin.info("clients")["blocked_clients"]:  # pyright: ignore[reportUnknownMemberType]
                time.sleep(0.01)
        close_sync()
        with pytest.raises(BackendClosed, match="close_sync"):
            waiting.result(timeout=20)


_FORKING = """
import os, sys, warnings
warnings.simplefilter("ignore")
from jobqueue import SyncQueue
tickets = SyncQueue("tickets", sys.argv[1])
job = tickets.enqueue("a.b", job_id="parent")
child = os.fork()
job.refresh()
tickets.enqueue("a.b", job_id="child" if child == 0 else "parent-again")
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(tickets.counts().waiting)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork on this system")
def test_it_goes_on_in_both_processes_after_a_fork(url: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _FORKING, url], capture_output=True, text=True, timeout=50, check=False
    )
    assert (ended.stdout.strip(), ended.returncode) == ("3", 0), ended.stderr
