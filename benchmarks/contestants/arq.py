# /// script
# requires-python = ">=3.11"
# dependencies = ["arq==0.28.0", "redis==5.3.1", "hiredis==3.5.0", "msgpack==1.2.4", "uvloop==0.23.0"]
# ///
"""arq, on uvloop, with the msgpack serializer its documentation shows, and polling much more often than by default.

Completion: arq removes a job from the queue's sorted set in the same transaction that writes its result, so the set's
cardinality is what is undone, and the result keys are what was completed. arq keeps a result for a time, not a number.

Speed: the default poll (every 0.5 s, 100 ids) caps a worker at about 200 jobs/s. A reader of arq's documentation would
raise ``queue_read_limit`` and lower ``poll_delay``; both are done here, at the price of more commands when idle.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import msgpack
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job
from arq.worker import Retry, Worker

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records
from benchmarks.resp import Server


async def noop(_ctx: dict[str, Any], ticket: dict[str, Any]) -> int:
    return handlers.noop(ticket["number"])


async def io(_ctx: dict[str, Any], ticket: dict[str, Any]) -> int:
    return await handlers.io(ticket["number"])


async def flaky(_ctx: dict[str, Any], ticket: dict[str, Any]) -> int:
    try:
        return handlers.flaky(ticket["number"])
    except handlers.FailedOnPurpose:
        # arq retries only what asks for it by this exception.
        raise Retry(defer=0) from None


async def broken(_ctx: dict[str, Any], ticket: dict[str, Any]) -> int:
    return handlers.broken(ticket["number"])


class Arq(Contestant):
    libraries = ("arq", "redis", "hiredis", "uvloop", "msgpack")
    loop = "uvloop"
    settings: ClassVar[dict[str, str]] = {
        "poll_delay": "0.02 s (default 0.5 s)",
        "queue_read_limit": "at least 1000 (default 100)",
        "serializer": "msgpack",
        "keep_result": "3600 s (default)",
        "log_results": "off",
    }
    lacks: ClassVar[dict[str, str]] = {
        "bulk": "arq has no bulk enqueue",
        "priority": "arq has no priorities",
    }

    async def open(self) -> None:
        self._redis: ArqRedis = await create_pool(
            RedisSettings.from_dsn(self.url), job_serializer=msgpack.packb, job_deserializer=msgpack.unpackb
        )

    async def close(self) -> None:
        await self._redis.aclose()

    async def enqueue(self, order: Order) -> Job | None:
        if order.delay is None:
            return await self._redis.enqueue_job(order.kind, order.ticket)
        return await self._redis.enqueue_job(order.kind, order.ticket, _defer_by=order.delay)

    async def result(self, handle: Job) -> Any:
        return await handle.result(poll_delay=0.005)

    async def start(self, concurrency: int) -> None:
        self._worker = Worker(
            [func(noop), func(io), func(flaky), func(broken, max_tries=1)],
            redis_settings=RedisSettings.from_dsn(self.url),
            max_jobs=concurrency,
            poll_delay=0.02,
            queue_read_limit=max(1000, concurrency * 5),
            handle_signals=False,
            log_results=False,
            job_serializer=msgpack.packb,
            job_deserializer=msgpack.unpackb,
        )
        self._running = asyncio.create_task(self._worker.async_run())

    async def stop(self) -> None:
        # Stop claiming, let the jobs in flight end, then close: what arq does on a signal with ``job_completion_wait``.
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await asyncio.gather(*self._worker.tasks.values(), return_exceptions=True)
        self._worker.tasks.clear()
        await self._worker.close()

    def undone(self, server: Server) -> int:
        return int(server.ask("ZCARD", "arq:queue"))

    def records(self, server: Server) -> Records:
        # A failed job's result looks like any other from outside; the failure is inside it.
        results = server.keys("arq:result:*")
        return Records(completed=results, failed=0)


CONTESTANT = Arq
