"""jobqueue itself, on plain asyncio, on uvloop, and on its memory backend.

Completion: the exchange script takes a job out of ``active`` into ``completed`` in one step, so the lengths of
the unfinished sets are what is undone. Everything is as a user gets it without any setting: leases, events,
the last 100 completed kept.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel

from benchmarks import payload
from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records
from benchmarks.resp import Server
from jobqueue import Job, JobType, NewJob, Queue, Registry, Retry, Worker, connect
from jobqueue.backends import MemoryBackend
from jobqueue.model.record import JobState

KEEP = 100
PREFIX = "jobqueue:{bench}:"
UNFINISHED = ("waiting", "active", "delayed")


class Ticket(BaseModel):
    """The ticket, validated on both sides as a user would have it."""

    number: int
    ticket_id: str
    landlord_id: str
    tenant_id: str
    note: str


registry = Registry()


@registry.processor("noop", retry=Retry(attempts=3))
async def noop(job: Job[Ticket]) -> int:
    return handlers.noop(job.data.number)


@registry.processor("io")
async def io(job: Job[Ticket]) -> int:
    return await handlers.io(job.data.number)


@registry.processor("flaky", retry=Retry(attempts=3, delay=0))
async def flaky(job: Job[Ticket]) -> int:
    return handlers.flaky(job.data.number)


@registry.processor("broken", retry=Retry(attempts=1))
async def broken(job: Job[Ticket]) -> int:
    return handlers.broken(job.data.number)


TYPES: dict[str, JobType[Ticket, int]] = {
    name: JobType(name, Ticket, result=int) for name in ("noop", "io", "flaky", "broken")
}


class JobQueue(Contestant):
    libraries = ("jobqueue", "redis", "hiredis", "pydantic", "uvloop")
    settings: ClassVar[dict[str, str]] = {
        "everything": "the defaults: the last 100 completed kept, leases, events, three attempts",
    }

    async def open(self) -> None:
        url = "memory://" if self.variant == "memory" else self.url
        self._backend = await connect(url, fallback="never")
        self._queue = Queue("bench", backend=self._backend)

    async def close(self) -> None:
        await self._backend.close()

    def data(self, ticket: payload.Ticket) -> Ticket:
        return Ticket(**ticket)

    async def enqueue(self, order: Order) -> Job[Any, Any]:
        ticket = order.data
        if order.level is not None:
            return await self._queue.enqueue(TYPES[order.kind], ticket, priority=order.level + 1)
        if order.delay is not None:
            return await self._queue.enqueue(TYPES[order.kind], ticket, delay=order.delay)
        return await self._queue.enqueue(TYPES[order.kind], ticket)

    async def enqueue_bulk(self, orders: list[Order]) -> None:
        await self._queue.enqueue_many([_new_job(order) for order in orders])

    async def result(self, handle: Job[Any, Any]) -> Any:
        return await handle.result(timeout=10)

    async def start(self, concurrency: int) -> None:
        self._worker = Worker(self._queue, registry=registry, concurrency=concurrency)
        await self._worker.start()

    async def stop(self) -> None:
        await self._worker.stop()

    def undone(self, server: Server) -> int:
        if isinstance(self._backend, MemoryBackend):
            shelf = self._backend._shelf("bench")  # the only way to look without waiting for a turn of the loop
            return sum(shelf.count(JobState(state)) for state in UNFINISHED)
        return server.total(*(("ZCARD", PREFIX + state) for state in UNFINISHED))

    def records(self, server: Server) -> Records:
        if isinstance(self._backend, MemoryBackend):
            shelf = self._backend._shelf("bench")  # the only way to look without waiting for a turn of the loop
            return Records(shelf.count(JobState.COMPLETED), shelf.count(JobState.FAILED), KEEP)
        completed, failed = server.ask_all([("ZCARD", PREFIX + "completed"), ("ZCARD", PREFIX + "failed")])
        return Records(completed, failed, KEEP)


def _new_job(order: Order) -> NewJob:
    ticket = order.data
    if order.level is not None:
        return NewJob(TYPES[order.kind], ticket, priority=order.level + 1)
    if order.delay is not None:
        return NewJob(TYPES[order.kind], ticket, delay=order.delay)
    return NewJob(TYPES[order.kind], ticket)


CONTESTANT = JobQueue
