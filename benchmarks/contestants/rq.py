# /// script
# requires-python = ">=3.11"
# dependencies = ["rq==3.0.0", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""rq with JSON and ``SimpleWorker``, which runs jobs without a fork for each, in a worker pool from its command line.

Completion: a job is in its queue's list, in the intermediate list or in the registry of started jobs until the
transaction that records its end takes it out, so those (with the registry of scheduled jobs) are what is undone; the
registries of finished and failed jobs are what was recorded.
"""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from redis import Redis
from rq import Queue, Retry
from rq.job import Job
from rq.serializers import JSONSerializer

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import LEVELS, Order, Records, ThreadedContestant
from benchmarks.resp import Server

MOST_PROCESSES = 10
PLAIN = "default"
BY_LEVEL = [f"level-{level}" for level in range(LEVELS)]
QUEUES = [PLAIN, *BY_LEVEL]


def noop(ticket: dict[str, Any]) -> int:
    return handlers.noop(ticket["number"])


def io(ticket: dict[str, Any]) -> int:
    return handlers.io_blocking(ticket["number"])


def flaky(ticket: dict[str, Any]) -> int:
    return handlers.flaky(ticket["number"])


def broken(ticket: dict[str, Any]) -> int:
    return handlers.broken(ticket["number"])


FUNCTIONS: dict[str, Any] = {"noop": noop, "io": io, "flaky": flaky, "broken": broken}


class Rq(ThreadedContestant):
    libraries = ("rq", "redis", "hiredis")
    settings: ClassVar[dict[str, str]] = {
        "worker": "rq worker-pool with SimpleWorker (default: a fork for each job)",
        "serializer": "JSON (default pickle)",
        "retry": "3, so that a job of a crashed worker runs again (default: it fails)",
        "result_ttl": "500 s (default)",
    }
    notes: ClassVar[dict[str, str]] = {
        "concurrency": f"an rq worker runs one job at a time, so concurrency is processes, at most {MOST_PROCESSES}",
        "delay": "rq schedules in whole seconds; due times are rounded up so that no job runs early",
        "priority": "rq's priorities are queues, which its workers look at in order",
        "resident": "the memory of rq's worker processes is not in the figure",
    }

    async def open(self) -> None:
        self._redis = Redis.from_url(self.url)
        self._queues = {name: Queue(name, connection=self._redis, serializer=JSONSerializer) for name in QUEUES}
        self._leveled = False

    async def close(self) -> None:
        self._redis.connection_pool.disconnect()

    def enqueue_now(self, order: Order) -> Job:
        queue = self._queue(order)
        options: dict[str, Any] = {"args": (order.ticket,), "retry": _retry(order)}
        if order.delay is None:
            return queue.enqueue(FUNCTIONS[order.kind], **options)
        due = datetime.fromtimestamp(math.ceil(time.time() + order.delay), UTC)
        return queue.enqueue_at(due, FUNCTIONS[order.kind], **options)

    async def enqueue_bulk(self, orders: list[Order]) -> None:
        if any(order.delay is not None for order in orders):
            # ``enqueue_many`` knows no delays.
            await super().enqueue_bulk(orders)
            return
        for queue in {self._queue(order).name: self._queue(order) for order in orders}.values():
            ours = [order for order in orders if self._queue(order) is queue]
            queue.enqueue_many(
                [Queue.prepare_data(FUNCTIONS[order.kind], args=(order.ticket,), retry=_retry(order)) for order in ours]
            )

    def _queue(self, order: Order) -> Queue:
        if order.level is None:
            return self._queues[PLAIN]
        self._leveled = True
        return self._queues[BY_LEVEL[order.level]]

    def result_now(self, handle: Job) -> Any:
        return handle.latest_result(timeout=10).return_value

    async def start(self, concurrency: int) -> None:
        processes = min(concurrency, MOST_PROCESSES)
        command = Path(sys.executable).with_name("rq")
        # A worker of one queue takes jobs in a way that survives its crash; of several, in one that does not.
        queues = BY_LEVEL if self._leveled else [PLAIN]
        words = [
            "--url",
            self.url,
            "--serializer",
            "json",
            "--worker-class",
            "rq.worker.SimpleWorker",
            "-l",
            "CRITICAL",
        ]
        before = self._redis.scard("rq:workers")
        self._pool = subprocess.Popen([command, "worker-pool", *queues, "-n", str(processes), *words])
        await asyncio.to_thread(self._wait_for_workers, before + processes)

    def _wait_for_workers(self, count: int) -> None:
        while self._redis.scard("rq:workers") < count:
            time.sleep(0.01)

    async def stop(self) -> None:
        self._pool.terminate()
        await asyncio.to_thread(self._pool.wait, 60)

    def undone(self, server: Server) -> int:
        lists = [("LLEN", f"rq:queue:{name}{part}") for name in QUEUES for part in ("", ":intermediate")]
        registries = [("ZCARD", f"rq:{kind}:{name}") for name in QUEUES for kind in ("wip", "scheduled")]
        return server.total(*lists, *registries)

    def records(self, server: Server) -> Records:
        completed, failed = (
            server.total(*(("ZCARD", f"rq:{kind}:{name}") for name in QUEUES)) for kind in ("finished", "failed")
        )
        return Records(completed=completed, failed=failed)


def _retry(order: Order) -> Retry | None:
    return None if order.kind == "broken" else Retry(max=3)


CONTESTANT = Rq
