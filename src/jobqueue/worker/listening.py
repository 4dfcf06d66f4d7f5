"""Telling listeners in this process what has become of the jobs that ran here.

1. An attempt ends: its record and outcome are kept until the backend has answered.
2. The backend has taken the outcome in: the listeners are called, one after the other. What it refused is told to
   nobody: another worker has that job.
3. The lane ends: what is still to be told is told, for a bounded time.

A listener that takes long delays the others; more than a thousand untold events are dropped, and the log says so. What
must not be lost belongs into a job of its own, or a webhook.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Sequence
from typing import cast

import anyio.to_thread

from jobqueue.backends.protocol import Backend, Settlement
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.job import Job
from jobqueue.listener import Happening, JobEvent, Listener
from jobqueue.logs import LISTENER_DROPPED, LISTENER_FAILED, emit
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, RetryAt
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.record import JobRecord

MOST_UNTOLD = 1_000


class Listening:
    """The listeners of one lane."""

    def __init__(self, listeners: Sequence[Listener], queue: str, backend: Backend) -> None:
        self._queue = queue
        self._listeners = listeners
        self._backend = backend
        self._unsettled: dict[tuple[str, int], JobRecord] = {}
        self._untold: asyncio.Queue[JobEvent] = asyncio.Queue(MOST_UNTOLD)

    def ended(self, record: JobRecord) -> None:
        """An attempt has ended, and its outcome is on its way to the backend."""
        self._unsettled[record.id, record.token or 0] = record

    def settled(self, settlements: Sequence[Settlement], refused: frozenset[str]) -> None:
        """The backend has taken these in, but for those it refused."""
        for settlement in settlements:
            record = self._unsettled.pop((settlement.job_id, settlement.token), None)
            if record is not None and settlement.job_id not in refused:
                self._tell(_event(self._job(record), settlement.outcome))

    async def failed_elsewhere(self, job_ids: Iterable[str]) -> None:
        """Upkeep has failed these: they expired, or took their workers down."""
        for job_id in job_ids:
            record = await self._backend.get(self._queue, job_id)
            if record is not None:
                self._tell(JobEvent(Happening.FAILED, self._job(record), error=record.error))

    async def run(self) -> None:
        """Call listeners until cancelled."""
        while True:
            event = await self._untold.get()
            try:
                await self._call_all(event)
            finally:
                self._untold.task_done()

    async def until_told(self) -> None:
        """Return when everything has been told."""
        await self._untold.join()

    def _tell(self, event: JobEvent) -> None:
        if not any(listener.wants(event) for listener in self._listeners):
            return
        try:
            self._untold.put_nowait(event)
        except asyncio.QueueFull:
            emit(logging.WARNING, LISTENER_DROPPED, event_name=event.name.value, job_id=event.job.id)

    async def _call_all(self, event: JobEvent) -> None:
        for listener in self._listeners:
            if not listener.wants(event):
                continue
            try:
                if listener.is_async:
                    await cast("Awaitable[object]", listener.function(event))
                else:
                    await anyio.to_thread.run_sync(listener.function, event, abandon_on_cancel=True)
            except (KeyboardInterrupt, GeneratorExit):
                raise
            except BaseException as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
                emit(
                    logging.ERROR, LISTENER_FAILED, event_name=event.name.value, job_id=event.job.id,
                    listener=getattr(listener.function, "__qualname__", "?"), error=type(error).__name__,
                )  # fmt: skip

    def _job(self, record: JobRecord) -> Job:
        known = KNOWN_TYPES.get(record.type)
        return Job(
            record,
            self._backend,
            payload=known.data if known else ANY_JSON,
            result_payload=known.result if known else ANY_JSON,
        )


def _event(job: Job, outcome: Outcome) -> JobEvent:
    match outcome:
        case Completed(result):
            return JobEvent(Happening.COMPLETED, job, result=ANY_JSON.decode(result or b"null", what="result"))
        case RetryAt(delay_ms, error):
            return JobEvent(Happening.RETRYING, job, error=error, retry_in=delay_ms / 1000)
        case Failed(error):
            return JobEvent(Happening.FAILED, job, error=error)
        case Released(reason, delay_ms):
            return JobEvent(Happening.RELEASED, job, reason=reason, retry_in=delay_ms / 1000)
        case Parked():
            return JobEvent(Happening.RELEASED, job, reason="waits for jobs it has added")
        case Cancelled(reason):
            return JobEvent(Happening.CANCELLED, job, reason=reason)
