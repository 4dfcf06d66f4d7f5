# /// script
# requires-python = ">=3.11"
# dependencies = ["celery==5.7.0", "kombu==5.7.0", "packaging==26.3", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""Celery on Redis as broker and result backend, with late acknowledgement and a pool of threads.

Completion: the worker acknowledges after the result is stored, and until then a message is in its queue's list or in
the hash of unacknowledged messages, so their lengths are what is undone; the result keys are what has ended.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ClassVar

from celery import Celery
from celery.result import AsyncResult, _set_task_join_will_block
from celery.worker import WorkController, state
from kombu import pools

from benchmarks.contestants import handlers
from benchmarks.contestants.contract import Order, Records, ThreadedContestant
from benchmarks.resp import Server

STEPS = [0, 3, 6, 9]
"""The priorities that Celery keeps lists for on Redis, by default; 0 is the most urgent there."""


def application(url: str) -> Celery:
    """An application and its tasks; the producer and the consumer have one each, as two processes would."""
    app = Celery("bench", broker=url, backend=url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_disable_rate_limits=True,
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_pool_limit=100,
        broker_transport_options={"queue_order_strategy": "priority"},
        result_backend_thread_safe=True,
        result_expires=3600,
    )

    @app.task(name="noop")
    def noop(ticket: dict[str, Any]) -> int:
        return handlers.noop(ticket["number"])

    @app.task(name="io")
    def io(ticket: dict[str, Any]) -> int:
        return handlers.io_blocking(ticket["number"])

    @app.task(name="flaky", autoretry_for=(handlers.FailedOnPurpose,), max_retries=3, default_retry_delay=0)
    def flaky(ticket: dict[str, Any]) -> int:
        return handlers.flaky(ticket["number"])

    @app.task(name="broken")
    def broken(ticket: dict[str, Any]) -> int:
        return handlers.broken(ticket["number"])

    return app


class CeleryContestant(ThreadedContestant):
    libraries = ("celery", "kombu", "redis", "hiredis")
    settings: ClassVar[dict[str, str]] = {
        "pool": "threads",
        "task_acks_late, task_reject_on_worker_lost": "on (default off), so that a crashed worker's job runs again",
        "worker_prefetch_multiplier": "4 (default); 64 was no faster, and kept jobs from other processes",
        "gossip, mingle, heartbeat, remote control": "off",
        "broker_pool_limit": "100 (default 10), for a hundred concurrent callers",
        "queue_order_strategy": "priority (default round_robin)",
        "result_backend_thread_safe": "on (default off)",
        "result_expires": "1 h (default 1 day)",
        "serializer": "JSON (default)",
    }
    lacks: ClassVar[dict[str, str]] = {"bulk": "Celery has no bulk enqueue"}
    notes: ClassVar[dict[str, str]] = {
        "priority": "Celery keeps a list for each of four priorities on Redis, and looks at them in order",
        "delay": "Celery's workers take delayed jobs off the server and hold them in memory until they are due",
    }

    async def open(self) -> None:
        self._producer = application(self.url)

    async def close(self) -> None:
        _hang_up(self._producer)

    def enqueue_now(self, order: Order) -> AsyncResult[Any]:
        priority = None if order.level is None else STEPS[order.level]
        return self._producer.tasks[order.kind].apply_async((order.ticket,), countdown=order.delay, priority=priority)

    def result_now(self, handle: AsyncResult[Any]) -> Any:
        return handle.get(timeout=10)

    async def start(self, concurrency: int) -> None:
        self._consumer = application(self.url)
        # As the command line's worker does: the threads of the pool look their application up.
        self._consumer.set_default()
        ready = threading.Event()
        worker = WorkController(
            app=self._consumer,
            ready_callback=lambda _consumer: ready.set(),
            pool="threads",
            concurrency=concurrency,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        self._running = threading.Thread(target=worker.start, daemon=True)
        self._running.start()
        await asyncio.to_thread(ready.wait)
        # The pool forbids tasks to wait for results; this process is the producer as well, which may.
        _set_task_join_will_block(False)

    async def stop(self) -> None:
        # A warm shutdown, asked for in the way that the command line's signal handler does.
        state.should_stop = 0
        await asyncio.to_thread(self._running.join)
        state.should_stop = None
        state.reset_state()
        _hang_up(self._consumer)

    def undone(self, server: Server) -> int:
        lists = [("LLEN", "celery" if step == 0 else f"celery\x06\x16{step}") for step in STEPS]
        return server.total(*lists, ("HLEN", "unacked"))

    def records(self, server: Server) -> Records:
        # A failed job's result looks like any other from outside; the failure is inside it.
        return Records(completed=server.keys("celery-task-meta-*"), failed=0)


def _hang_up(app: Celery) -> None:
    app.backend.result_consumer.stop()
    app.backend.client.connection_pool.disconnect()
    app.close()
    pools.reset()


CONTESTANT = CeleryContestant
