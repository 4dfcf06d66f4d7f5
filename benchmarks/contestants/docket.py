# /// script
# requires-python = ">=3.11"
# dependencies = ["pydocket==0.27.0", "redis==8.1.0", "hiredis==3.5.0", "uvloop==0.23.0"]
# ///
"""docket (Prefect's ``pydocket``) on uvloop, with short check intervals.

Completion: docket's terminal script acknowledges and deletes the entry and marks the run's record in one step, so
the stream's length (with the sorted set of future tasks) is what is undone; the records stay for their TTL.

Speed: with every slot busy docket's loop sleeps its check interval, which by default caps a worker at about
concurrency / 0.25 s; its documentation lets both intervals be shortened, so they are.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from docket import Docket, Execution, Retry, Worker

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records, roomy
from benchmarks.resp import Server

NAME = "bench"


async def noop(ticket: dict[str, Any]) -> int:
    return handlers.noop(ticket["number"])


async def io(ticket: dict[str, Any]) -> int:
    return await handlers.io(ticket["number"])


async def flaky(ticket: dict[str, Any], retry: Retry = Retry(attempts=3)) -> int:  # noqa: ARG001, B008 - docket's idiom
    return handlers.flaky(ticket["number"])


async def broken(ticket: dict[str, Any]) -> int:
    return handlers.broken(ticket["number"])


TASKS: dict[str, Any] = {"noop": noop, "io": io, "flaky": flaky, "broken": broken}


class DocketContestant(Contestant):
    libraries = ("pydocket", "redis", "hiredis", "uvloop")
    loop = "uvloop"
    settings: ClassVar[dict[str, str]] = {
        "minimum_check_interval": "5 ms (default 250 ms)",
        "scheduling_resolution": "50 ms (default 250 ms)",
        "execution_ttl": "15 min (default)",
        "max_connections": "2000 (redis-py's default of 100 is too few for 100 slots)",
    }
    lacks: ClassVar[dict[str, str]] = {"priority": "docket has no priorities"}

    def _docket(self) -> Docket:
        return Docket(name=NAME, url=roomy(self.url))

    async def open(self) -> None:
        self._producer = self._docket()
        await self._producer.__aenter__()

    async def close(self) -> None:
        await self._producer.__aexit__(None, None, None)

    async def enqueue(self, order: Order) -> Execution:
        when = None if order.delay is None else datetime.now(UTC) + timedelta(seconds=order.delay)
        return await self._producer.add(TASKS[order.kind], when)(order.ticket)

    async def enqueue_bulk(self, orders: list[Order]) -> None:
        now, calls = datetime.now(UTC), list[Any]()
        for order in orders:
            when = None if order.delay is None else now + timedelta(seconds=order.delay)
            calls.append(self._producer.call(TASKS[order.kind], when)(order.ticket))
        await self._producer.add_many(calls)

    async def result(self, handle: Execution) -> Any:
        return await handle.get_result(timeout=timedelta(seconds=10))

    async def start(self, concurrency: int) -> None:
        self._consumer = self._docket()
        await self._consumer.__aenter__()
        for task in TASKS.values():
            self._consumer.register(task)
        self._worker = Worker(
            self._consumer,
            concurrency=concurrency,
            minimum_check_interval=timedelta(milliseconds=5),
            scheduling_resolution=timedelta(milliseconds=50),
        )
        await self._worker.__aenter__()
        self._running = asyncio.create_task(self._worker.run_forever())

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._worker.__aexit__(None, None, None)
        await self._consumer.__aexit__(None, None, None)

    def undone(self, server: Server) -> int:
        return server.total(("XLEN", f"{NAME}:stream"), ("ZCARD", f"{NAME}:queue"))

    def records(self, server: Server) -> Records:
        return Records(completed=server.keys(f"{NAME}:runs:*"), failed=0)


CONTESTANT = DocketContestant
