# /// script
# requires-python = ">=3.11"
# dependencies = ["streaq==7.2.0", "coredis==6.9.0", "orjson==3.13.0", "uvloop==0.23.0"]
# ///
"""streaq on uvloop, as its command line runs it, with orjson instead of pickle.

Completion: a task's end deletes its entry from its stream in the transaction that writes the result, so the streams'
lengths (with the sorted sets of delayed tasks) are what is undone, and the index of results is what was completed.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import orjson
from streaq import StreaqRetry, Worker
from streaq.task import Task

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records
from benchmarks.resp import Server

PRIORITIES = ["critical", "high", "normal", "low"]


class Side:
    """A worker object and its tasks; the producer and the consumer have one each, as two processes would."""

    def __init__(self, url: str, concurrency: int) -> None:
        self.worker: Worker[Any] = Worker(
            redis_url=url,
            concurrency=concurrency,
            priorities=list(PRIORITIES),
            serializer=orjson.dumps,
            deserializer=orjson.loads,
            handle_signals=False,
        )
        worker = self.worker

        @worker.task(silent=True, name="noop")
        async def noop(ticket: dict[str, Any]) -> int:
            return handlers.noop(ticket["number"])

        @worker.task(silent=True, name="io")
        async def io(ticket: dict[str, Any]) -> int:
            return await handlers.io(ticket["number"])

        @worker.task(silent=True, name="flaky")
        async def flaky(ticket: dict[str, Any]) -> int:
            try:
                return handlers.flaky(ticket["number"])
            except handlers.FailedOnPurpose:
                # streaq retries only what asks for it by this exception.
                raise StreaqRetry(delay=0) from None

        @worker.task(silent=True, name="broken")
        async def broken(ticket: dict[str, Any]) -> int:
            return handlers.broken(ticket["number"])

        self.tasks: dict[str, Any] = {"noop": noop, "io": io, "flaky": flaky, "broken": broken}

    def task(self, order: Order) -> Task[Any, Any]:
        """The task of an order, not yet enqueued."""
        task = self.tasks[order.kind].enqueue(order.ticket)
        if order.level is None and order.delay is None:
            task.priority = "normal"
            return task
        priority = "normal" if order.level is None else PRIORITIES[order.level]
        return task.start(delay=order.delay, priority=priority)


class Streaq(Contestant):
    libraries = ("streaq", "coredis", "orjson", "uvloop")
    loop = "uvloop"
    settings: ClassVar[dict[str, str]] = {
        "serializer": "orjson (default pickle)",
        "prefetch": "as many as the concurrency (default)",
        "ttl": "300 s for results (default)",
        "silent": "on: no log line a task",
    }

    async def open(self) -> None:
        self._producer = Side(self.url, 16)
        self._entered = self._producer.worker.__asynccontextmanager__()
        await self._entered.__aenter__()

    async def close(self) -> None:
        await self._entered.__aexit__(None, None, None)

    async def enqueue(self, order: Order) -> Task[Any, Any]:
        return await self._producer.task(order)

    async def enqueue_bulk(self, orders: list[Order]) -> None:
        await self._producer.worker.enqueue_many([self._producer.task(order) for order in orders])

    async def result(self, handle: Task[Any, Any]) -> Any:
        return (await handle.result(10)).result

    async def start(self, concurrency: int) -> None:
        self._consumer = Side(self.url, concurrency)
        self._running = asyncio.create_task(self._consumer.worker.run_async())
        await asyncio.sleep(0)

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    def undone(self, server: Server) -> int:
        streams = [("XLEN", f"streaq:default:queues:{name}") for name in PRIORITIES]
        delayed = [("ZCARD", f"streaq:default:queues:delayed:{name}") for name in PRIORITIES]
        return server.total(*streams, *delayed)

    def records(self, server: Server) -> Records:
        return Records(completed=server.keys("streaq:default:task:results:*"), failed=0)


CONTESTANT = Streaq
