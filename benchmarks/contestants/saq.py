# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "saq==0.26.4", "redis==7.4.1", "hiredis==3.5.0", "orjson==3.13.0", "uvloop==0.23.0", "typing-extensions==4.16.0",
# ]
# ///
"""saq on uvloop, with orjson as its documentation shows, and retries so that a crashed job is run again.

Completion: a job leaves the sorted set ``incomplete`` in the transaction that records its end, so its cardinality is
what is undone; the job's own key stays for its TTL and says how it ended.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Any, ClassVar

import orjson
from saq import Queue, Worker
from saq.job import Job

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records
from benchmarks.resp import Server


async def noop(_ctx: Any, *, ticket: dict[str, Any]) -> int:
    return handlers.noop(ticket["number"])


async def io(_ctx: Any, *, ticket: dict[str, Any]) -> int:
    return await handlers.io(ticket["number"])


async def flaky(_ctx: Any, *, ticket: dict[str, Any]) -> int:
    return handlers.flaky(ticket["number"])


async def broken(_ctx: Any, *, ticket: dict[str, Any]) -> int:
    return handlers.broken(ticket["number"])


class QuietWorker(Worker[Any]):
    """A worker that leaves the process's signals to the benchmark."""

    SIGNALS: ClassVar[list[Any]] = []


class Saq(Contestant):
    libraries = ("saq", "redis", "hiredis", "orjson", "uvloop")
    loop = "uvloop"
    settings: ClassVar[dict[str, str]] = {
        "dump/load": "orjson",
        "retries": "3, so that a crashed job runs again (default 1: it would be aborted)",
        "max_concurrent_ops": "100 (default 20), for a hundred concurrent callers",
        "ttl": "600 s (default)",
    }
    lacks: ClassVar[dict[str, str]] = {
        "bulk": "saq has no bulk enqueue",
        "priority": "saq has no priorities on Redis",
    }
    notes: ClassVar[dict[str, str]] = {
        "delayed": "saq schedules in whole seconds; due times are rounded up so that no job runs early",
    }

    def _queue(self) -> Queue:
        return Queue.from_url(self.url, dump=orjson.dumps, load=orjson.loads, max_concurrent_ops=100)

    async def open(self) -> None:
        self._producer = self._queue()
        await self._producer.connect()

    async def close(self) -> None:
        await self._producer.disconnect()

    async def enqueue(self, order: Order) -> Job | None:
        options: dict[str, Any] = {"retries": 1 if order.kind == "broken" else 3}
        if order.delay is not None:
            options["scheduled"] = math.ceil(time.time() + order.delay)
        return await self._producer.enqueue(order.kind, ticket=order.ticket, **options)

    async def result(self, handle: Job) -> Any:
        # ``apply`` is the documented call; it is an enqueue followed by this.
        await handle.refresh(10)
        return handle.result

    async def start(self, concurrency: int) -> None:
        self._consumer = self._queue()
        await self._consumer.connect()
        functions: Any = [noop, io, flaky, broken]
        self._worker = QuietWorker(self._consumer, functions, concurrency=concurrency, shutdown_grace_period_s=1)
        self._running = asyncio.create_task(self._worker.start())

    async def stop(self) -> None:
        await self._worker.stop()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._consumer.disconnect()

    def undone(self, server: Server) -> int:
        return int(server.ask("ZCARD", "saq:default:incomplete"))

    def records(self, server: Server) -> Records:
        return Records(completed=server.keys("saq:job:default:*"), failed=0)


CONTESTANT = Saq
