# /// script
# requires-python = ">=3.11"
# dependencies = ["bullmq==3.4.4", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""BullMQ's own Python port, on plain asyncio as its documentation runs it, keeping the last 100 completed as we do.

Completion: the finishing script takes a job off the list ``active`` and records it in one step, so the lengths of the
unfinished structures are what is undone, and the sets ``completed`` and ``failed`` are what was recorded.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from bullmq import Job, Queue, Worker

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records
from benchmarks.resp import Server

KEEP = 100


async def process(job: Job, _token: str) -> int:
    number = int(job.data["number"])
    if job.name == "io":
        return await handlers.io(number)
    return {"noop": handlers.noop, "flaky": handlers.flaky, "broken": handlers.broken}[job.name](number)


class BullMQPython(Contestant):
    libraries = ("bullmq", "redis", "hiredis")
    settings: ClassVar[dict[str, str]] = {
        "removeOnComplete": "the last 100",
        "attempts": "3",
        "locks, stall checks": "on, with their defaults",
    }
    lacks: ClassVar[dict[str, str]] = {
        "result": "BullMQ's Python port has no way to wait for a job's result",
    }

    async def open(self) -> None:
        self._producer = Queue("bench", {"connection": self.url})

    async def close(self) -> None:
        await self._producer.close()

    def _options(self, order: Order) -> dict[str, Any]:
        options: dict[str, Any] = {"attempts": 1 if order.kind == "broken" else 3, "removeOnComplete": {"count": KEEP}}
        if order.level is not None:
            options["priority"] = order.level + 1
        if order.delay is not None:
            options["delay"] = round(order.delay * 1000)
        return options

    async def enqueue(self, order: Order) -> Job:
        return await self._producer.add(order.kind, order.ticket, self._options(order))

    async def enqueue_bulk(self, orders: list[Order]) -> None:
        jobs: list[Any] = [{"name": order.kind, "data": order.ticket, "opts": self._options(order)} for order in orders]
        await self._producer.addBulk(jobs)

    async def start(self, concurrency: int) -> None:
        process_typed: Any = process
        self._worker = Worker(
            "bench", process_typed, {"connection": self.url, "concurrency": concurrency, "autorun": False}
        )
        self._running = asyncio.create_task(self._worker.run())

    async def stop(self) -> None:
        await self._worker.close()
        await asyncio.gather(self._running, return_exceptions=True)

    def undone(self, server: Server) -> int:
        lists = [("LLEN", f"bull:bench:{name}") for name in ("wait", "active", "paused")]
        return server.total(*lists, ("ZCARD", "bull:bench:prioritized"), ("ZCARD", "bull:bench:delayed"))

    def records(self, server: Server) -> Records:
        completed, failed = server.ask_all([("ZCARD", "bull:bench:completed"), ("ZCARD", "bull:bench:failed")])
        return Records(completed=completed, failed=failed, keeps=KEEP)


CONTESTANT = BullMQPython
