"""What a Python contestant has to be able to do. Everything that times it is shared, in ``session``.

It stands on the standard library alone, because it runs inside every rival's environment.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

from benchmarks.payload import Ticket
from benchmarks.resp import Server

LEVELS = 4


@dataclass(frozen=True, slots=True)
class Order:
    """One job to enqueue: its kind (``noop``, ``io``, ``flaky``, ``broken``), its ticket and what is asked of it."""

    kind: str
    ticket: Ticket
    data: Any
    """What the contestant's application has in its hands, made of the ticket before the clock starts."""
    level: int | None = None
    """Priority from 0, the most urgent, to 3."""
    delay: float | None = None
    """Seconds from now."""


@dataclass(frozen=True, slots=True)
class Records:
    """What the server holds of finished jobs, looked up after the clock has stopped."""

    completed: int
    failed: int
    keeps: int | None = None
    """The most completed jobs that this contestant is set to keep; None when it keeps every one of the run."""


def roomy(url: str) -> str:
    """The URL with room for a connection a slot: a redis-py pool refuses the 101st, and that job is late or lost."""
    return f"{url}?max_connections=2000"


class Contestant(ABC):
    """An asyncio library. ``lacks`` maps an ability to the reason why it is not there; it becomes a footnote."""

    libraries: ClassVar[tuple[str, ...]]
    settings: ClassVar[dict[str, str]] = {}
    lacks: ClassVar[dict[str, str]] = {}
    notes: ClassVar[dict[str, str]] = {}
    loop: ClassVar[str] = "asyncio"
    threaded: ClassVar[bool] = False

    def __init__(self, url: str, variant: str) -> None:
        self.url = url
        self.variant = variant

    async def open(self) -> None:
        """Connect as a producer."""

    async def close(self) -> None:
        """Disconnect the producer."""

    def data(self, ticket: Ticket) -> Any:
        """The ticket as an application that uses this library would have it: a dictionary, unless it has types."""
        return ticket

    @abstractmethod
    async def enqueue(self, order: Order) -> Any:
        """Enqueue one job; returns what ``result`` needs to wait for it."""

    async def enqueue_bulk(self, orders: list[Order]) -> None:
        """Enqueue many jobs by the library's own bulk call; without one, a hundred callers do it."""
        await concurrently(self, orders, 100)

    async def result(self, handle: Any) -> Any:
        """Wait for the job's result, the way the library's documentation shows."""
        raise NotImplementedError

    @abstractmethod
    async def start(self, concurrency: int) -> None:
        """Start a worker with ``concurrency`` slots, in this process if the library allows it."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop it cleanly."""

    @abstractmethod
    def undone(self, server: Server) -> int:
        """How many jobs the server still records as waiting, running or delayed. Polled, so as cheap as can be."""

    @abstractmethod
    def records(self, server: Server) -> Records:
        """What the server holds of finished jobs."""


class ThreadedContestant(Contestant):
    """A blocking library, whose concurrent callers are threads, as in a threaded web server."""

    threaded = True

    @abstractmethod
    def enqueue_now(self, order: Order) -> Any:
        """Enqueue one job."""

    def result_now(self, handle: Any) -> Any:
        """Wait for the job's result."""
        raise NotImplementedError

    async def enqueue(self, order: Order) -> Any:
        return self.enqueue_now(order)

    async def result(self, handle: Any) -> Any:
        return self.result_now(handle)


async def concurrently(contestant: Contestant, orders: list[Order], callers: int) -> None:
    """``callers`` callers enqueue the orders between them, each order by a call of its own."""
    if isinstance(contestant, ThreadedContestant):
        enqueue_now = contestant.enqueue_now

        def caller(share: list[Order]) -> None:
            for order in share:
                enqueue_now(order)

        # The default pool of threads is smaller than a hundred, so this one is made to measure.
        with ThreadPoolExecutor(callers) as threads:
            for done in [threads.submit(caller, orders[start::callers]) for start in range(callers)]:
                done.result()
        return

    remaining = iter(orders)

    async def task_caller() -> None:
        for order in remaining:
            await contestant.enqueue(order)

    await asyncio.gather(*(task_caller() for _ in range(callers)))
