# /// script
# requires-python = ">=3.11"
# dependencies = ["dramatiq==2.2.1", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""dramatiq with its Redis broker and its Redis result backend, one worker of as many threads as the concurrency.

Completion: a message stays in its queue's hash until the worker acknowledges it, after the result is stored, so the
lengths of the queue's hash and of its delay queue's are what is undone. The result keys are what has ended, of which
the dead letters have failed.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from dramatiq import Message, Worker, actor
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Order, Records, ThreadedContestant, roomy
from benchmarks.resp import Server


class Side:
    """A broker and its actors; the producer and the consumer have one each, as two processes would."""

    def __init__(self, url: str) -> None:
        self.broker = RedisBroker(url=roomy(url))
        self.results = RedisBackend(url=roomy(url), use_namespace_prefix_keys=True)
        self.broker.add_middleware(Results(backend=self.results, store_results=True))

        @actor(broker=self.broker, max_retries=3)
        def noop(ticket: dict[str, Any]) -> int:
            return handlers.noop(ticket["number"])

        @actor(broker=self.broker, max_retries=3)
        def io(ticket: dict[str, Any]) -> int:
            return handlers.io_blocking(ticket["number"])

        @actor(broker=self.broker, max_retries=3, min_backoff=1)
        def flaky(ticket: dict[str, Any]) -> int:
            return handlers.flaky(ticket["number"])

        @actor(broker=self.broker, max_retries=0)
        def broken(ticket: dict[str, Any]) -> int:
            return handlers.broken(ticket["number"])

        self.actors: dict[str, Any] = {"noop": noop, "io": io, "flaky": flaky, "broken": broken}

    def close(self) -> None:
        """Hang up; ``RedisBroker.close`` does not."""
        self.broker.client.connection_pool.disconnect()
        self.results.client.connection_pool.disconnect()


class Dramatiq(ThreadedContestant):
    libraries = ("dramatiq", "redis", "hiredis")
    settings: ClassVar[dict[str, str]] = {
        "broker": "RedisBroker, which acknowledges after the result is stored (default)",
        "results": "RedisBackend, kept for 10 min (default), under readable keys that can be counted",
        "worker_timeout": "100 ms, the longest pause between two looks at an empty queue (default 1000 ms)",
        "prefetch": "twice the threads (default)",
        "encoder": "JSON (default)",
        "min_backoff": "1 ms for the flaky jobs (default 15 s)",
    }
    lacks: ClassVar[dict[str, str]] = {
        "bulk": "dramatiq has no bulk enqueue",
        "priority": "dramatiq's priorities belong to actors and only order what a worker has already prefetched",
    }
    notes: ClassVar[dict[str, str]] = {
        "delay": "dramatiq's workers hold delayed jobs in memory and enqueue them again when they are due",
    }

    async def open(self) -> None:
        self._producer = Side(self.url)

    async def close(self) -> None:
        self._producer.close()

    def enqueue_now(self, order: Order) -> Message[Any]:
        delay = None if order.delay is None else round(order.delay * 1000)
        return self._producer.actors[order.kind].send_with_options(args=(order.ticket,), delay=delay)

    def result_now(self, handle: Message[Any]) -> Any:
        return handle.get_result(backend=self._producer.results, block=True, timeout=10_000)

    async def start(self, concurrency: int) -> None:
        self._consumer = Side(self.url)
        self._worker = Worker(self._consumer.broker, worker_threads=concurrency, worker_timeout=100)
        self._worker.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._worker.stop)
        self._consumer.close()

    def undone(self, server: Server) -> int:
        return server.total(("HLEN", "dramatiq:default.msgs"), ("HLEN", "dramatiq:default.DQ.msgs"))

    def records(self, server: Server) -> Records:
        failed = int(server.ask("ZCARD", "dramatiq:default.XQ"))
        return Records(completed=server.keys("dramatiq-results:*") - failed, failed=failed)


CONTESTANT = Dramatiq
