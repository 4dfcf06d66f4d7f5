"""The fallback without Redis: the memory backend, which says what it does."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from pydantic_core import from_json, to_json

from jobqueue.backends.memory import MemoryBackend
from jobqueue.backends.protocol import Enqueued, NewRecord
from jobqueue.backends.scheduling import Firing
from jobqueue.clock import Clock
from jobqueue.logs import BACKEND_DROPPED, BACKEND_FALLBACK, JOB_ENQUEUED, emit, listening
from jobqueue.model.payloads import masked
from jobqueue.model.record import JobRecord

MOST_JOBS = 10_000
_ADVICE = (
    "jobs live in this process's memory and are lost with it: set REDIS_URL (or REDIS_HOST), "
    "or JOBQUEUE_FALLBACK=never to be refused instead"
)


class LoggingMemoryBackend(MemoryBackend):
    """Memory with a line for each job. Workers in this process run the jobs as ever."""

    def __init__(self, reason: str, *, clock: Clock) -> None:
        super().__init__(clock=clock, max_jobs=MOST_JOBS, when_full="drop", on_drop=_dropped)
        self._reason = reason
        self._said = False

    async def open(self) -> None:
        """Say once why jobs are kept in memory, and how to change that."""
        await super().open()
        if not self._said:
            self._said = True
            emit(logging.WARNING, BACKEND_FALLBACK, reason=self._reason, advice=_ADVICE)

    async def enqueue(
        self, queue: str, jobs: Sequence[NewRecord], *, limited: bool = True, wait_ms: int = 0
    ) -> list[Enqueued]:
        """As memory does, with one INFO line for each job made."""
        answers = await super().enqueue(queue, jobs, limited=limited, wait_ms=wait_ms)
        _tell(queue, [job for job, answer in zip(jobs, answers, strict=True) if answer.created])
        return answers

    async def fire_schedules(self, queue: str, firings: Sequence[Firing]) -> list[int | None]:
        """As memory does, with one INFO line for each job of a schedule."""
        answers = await super().fire_schedules(queue, firings)
        _tell(queue, [job for firing, made in zip(firings, answers, strict=True) for job in firing.jobs[: made or 0]])
        return answers


def logging_memory(reason: str, *, clock: Clock) -> LoggingMemoryBackend:
    """The fallback, and why it is needed."""
    return LoggingMemoryBackend(reason, clock=clock)


def _tell(queue: str, jobs: Sequence[NewRecord]) -> None:
    if not listening(logging.INFO):
        return
    for job in jobs:
        emit(
            logging.INFO,
            JOB_ENQUEUED,
            job_id=job.id,
            type=job.type,
            queue=queue,
            priority=job.priority,
            delay=job.delay_ms / 1000,
            data=to_json(masked(from_json(job.data))).decode(),
        )


def _dropped(queue: str, record: JobRecord) -> None:
    emit(logging.WARNING, BACKEND_DROPPED, queue=queue, job_id=record.id, type=record.type)
