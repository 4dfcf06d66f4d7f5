# /// script
# requires-python = ">=3.11"
# dependencies = ["huey==3.5.4", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""huey with its Redis storage that knows priorities, one consumer of as many worker threads as the concurrency.

Completion: huey takes a job off the server before it runs it, and no running job is recorded anywhere, so a job is
undone until its result is in the hash of results: what was enqueued less what has a result, and never less than what
still lies in the queue and in the schedule.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

from huey import PriorityRedisHuey
from huey.api import Result
from huey.consumer import Consumer

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import LEVELS, Order, Records, ThreadedContestant, roomy
from benchmarks.resp import Server


class Side:
    """A huey and its tasks; the producer and the consumer have one each, as two processes would."""

    def __init__(self, url: str) -> None:
        self.huey = PriorityRedisHuey("bench", url=roomy(url))

        @self.huey.task(name="noop", retries=3)
        def noop(ticket: dict[str, Any]) -> int:
            return handlers.noop(ticket["number"])

        @self.huey.task(name="io", retries=3)
        def io(ticket: dict[str, Any]) -> int:
            return handlers.io_blocking(ticket["number"])

        @self.huey.task(name="flaky", retries=3)
        def flaky(ticket: dict[str, Any]) -> int:
            return handlers.flaky(ticket["number"])

        @self.huey.task(name="broken")
        def broken(ticket: dict[str, Any]) -> int:
            return handlers.broken(ticket["number"])

        self.tasks: dict[str, Any] = {"noop": noop, "io": io, "flaky": flaky, "broken": broken}

    def close(self) -> None:
        """Hang up."""
        self.huey.storage.pool.disconnect()


class QuietConsumer(Consumer):
    """A consumer that leaves the process's signals to the benchmark."""

    def _set_signal_handlers(self) -> None:
        pass


class Huey(ThreadedContestant):
    libraries = ("huey", "redis", "hiredis")
    settings: ClassVar[dict[str, str]] = {
        "storage": "PriorityRedisHuey, with blocking reads (default)",
        "worker_type": "thread (default)",
        "scheduler_interval": "1 s (default, and the least)",
        "serializer": "pickle; huey comes with no JSON serializer",
        "results": "kept until they are read (default); waited for by a look every 5 ms",
    }
    lacks: ClassVar[dict[str, str]] = {"bulk": "huey has no bulk enqueue"}
    notes: ClassVar[dict[str, str]] = {
        "guarantee": "huey does not acknowledge: a job is taken off the server before it runs, and a crash loses it",
        "delay": "huey's scheduler looks for due jobs once a second",
    }

    async def open(self) -> None:
        self._producer = Side(self.url)
        self._sent, self._counting = 0, threading.Lock()

    async def close(self) -> None:
        self._producer.close()

    def enqueue_now(self, order: Order) -> Result:
        with self._counting:
            self._sent += 1
        options: dict[str, Any] = {} if order.level is None else {"priority": LEVELS - order.level}
        task = self._producer.tasks[order.kind]
        if order.delay is not None:
            return task.schedule((order.ticket,), delay=order.delay, **options)
        return task(order.ticket, **options)

    def result_now(self, handle: Result) -> Any:
        return handle.get(blocking=True, timeout=10, max_delay=0.005)

    async def start(self, concurrency: int) -> None:
        self._consumer = Side(self.url)
        self._worker = QuietConsumer(self._consumer.huey, workers=concurrency)
        self._running = threading.Thread(target=self._worker.run, daemon=True)
        self._running.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._worker.stop, graceful=True)
        await asyncio.to_thread(self._running.join)
        self._consumer.close()

    def undone(self, server: Server) -> int:
        waiting, delayed, done = server.ask_all(
            [("ZCARD", "huey.redis.bench"), ("ZCARD", "huey.schedule.bench"), ("HLEN", "huey.results.bench")]
        )
        return max(waiting + delayed, self._sent - done)

    def records(self, server: Server) -> Records:
        # The result of a failed job is an entry like any other from outside; the failure is inside it.
        return Records(completed=int(server.ask("HLEN", "huey.results.bench")), failed=0)


CONTESTANT = Huey
