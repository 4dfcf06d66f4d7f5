# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "taskiq==0.13.0", "taskiq-redis==1.2.4", "redis==8.1.0", "hiredis==3.5.0", "orjson==3.13.0", "uvloop==0.23.0",
# ]
# ///
"""taskiq on uvloop with ``RedisStreamBroker``, the Redis broker that acknowledges, and a Redis result backend.

Completion: the broker acknowledges after the result is saved; what is undone is the group's lag and pending entries.
Acknowledged entries stay in the stream for ever by design (no XDEL); the result keys are what was completed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from taskiq import AsyncTaskiqTask, SimpleRetryMiddleware, TaskiqScheduler
from taskiq.api import run_scheduler_task
from taskiq.receiver import Receiver
from taskiq.serializers import ORJSONSerializer
from taskiq_redis import ListRedisScheduleSource, RedisAsyncResultBackend, RedisStreamBroker

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Contestant, Order, Records, roomy
from benchmarks.resp import Server


class Side:
    """A broker and its tasks; the producer and the consumer have one each, as two processes would."""

    def __init__(self, url: str) -> None:
        results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(
            roomy(url), result_ex_time=3600, prefix_str="result", serializer=ORJSONSerializer()
        )
        self.broker = (
            RedisStreamBroker(roomy(url))
            .with_result_backend(results)
            .with_serializer(ORJSONSerializer())
            .with_middlewares(SimpleRetryMiddleware())
        )

        @self.broker.task("noop")
        async def noop(ticket: dict[str, Any]) -> int:
            return handlers.noop(ticket["number"])

        @self.broker.task("io")
        async def io(ticket: dict[str, Any]) -> int:
            return await handlers.io(ticket["number"])

        @self.broker.task("flaky", retry_on_error=True, max_retries=3)
        async def flaky(ticket: dict[str, Any]) -> int:
            return handlers.flaky(ticket["number"])

        @self.broker.task("broken")
        async def broken(ticket: dict[str, Any]) -> int:
            return handlers.broken(ticket["number"])

        self.tasks: dict[str, Any] = {"noop": noop, "io": io, "flaky": flaky, "broken": broken}
        self.schedule = ListRedisScheduleSource(roomy(url), prefix="schedule")


class Taskiq(Contestant):
    libraries = ("taskiq", "taskiq-redis", "redis", "hiredis", "orjson", "uvloop")
    loop = "uvloop"
    settings: ClassVar[dict[str, str]] = {
        "broker": "RedisStreamBroker, acknowledged when the result is saved",
        "serializer": "orjson",
        "xread_count": "100 (default)",
        "result_ex_time": "3600 s",
        "scheduler": "run only for the delayed measure; update_interval 1 s (default 60 s)",
    }
    lacks: ClassVar[dict[str, str]] = {
        "bulk": "taskiq has no bulk enqueue",
        "priority": "taskiq has no priorities on Redis streams",
        "backlog.delayed": "taskiq's scheduler reads the whole schedule into memory at every update",
    }
    notes: ClassVar[dict[str, str]] = {
        "delayed": "taskiq's delays are sent by a scheduler (here in the worker's process) that wakes once a second",
        "memory": "taskiq's stream keeps acknowledged entries, so its memory grows until it is trimmed",
    }

    async def open(self) -> None:
        self._producer = Side(self.url)
        await self._producer.broker.startup()

    async def close(self) -> None:
        await self._producer.broker.shutdown()

    async def enqueue(self, order: Order) -> AsyncTaskiqTask[Any] | None:
        task = self._producer.tasks[order.kind]
        if order.delay is None:
            return await task.kiq(order.ticket)
        due = datetime.now(UTC) + timedelta(seconds=order.delay)
        await task.schedule_by_time(self._producer.schedule, due, order.ticket)
        return None

    async def result(self, handle: AsyncTaskiqTask[Any]) -> Any:
        return (await handle.wait_result(check_interval=0.005, timeout=10)).return_value

    async def start(self, concurrency: int) -> None:
        consumer = Side(self.url)
        self._consumer = consumer
        await consumer.broker.startup()
        consumer.broker.is_worker_process = True
        # As taskiq's own worker command runs it; run_receiver_task cannot be relied on to end.
        receiver = Receiver(consumer.broker, executor=ThreadPoolExecutor(), max_async_tasks=concurrency)
        self._finish = asyncio.Event()
        self._receiving = asyncio.create_task(receiver.listen(self._finish))
        scheduler = TaskiqScheduler(consumer.broker, [consumer.schedule])
        self._scheduling = asyncio.create_task(run_scheduler_task(scheduler, interval=timedelta(seconds=1)))

    async def stop(self) -> None:
        self._finish.set()
        self._scheduling.cancel()
        await asyncio.wait([self._receiving, self._scheduling])
        await self._consumer.broker.shutdown()

    def undone(self, server: Server) -> int:
        groups = server.ask("XINFO", "GROUPS", "taskiq")
        facts = dict(zip(groups[0][::2], groups[0][1::2], strict=True))
        return int(facts["pending"]) + int(facts["lag"] or 0)

    def records(self, server: Server) -> Records:
        return Records(completed=server.keys("result:*"), failed=0)


CONTESTANT = Taskiq
