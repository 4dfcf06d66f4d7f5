"""What a queue's handle looks at and changes: the operator's half of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jobqueue.backends.protocol import (
    Amendment,
    Backend,
    Cancel,
    Clean,
    Obliterate,
    Pause,
    Promote,
    Purge,
    Remove,
    Reprioritize,
    Reschedule,
    Resume,
    Retry as RetryByHand,
    RetryFailed,
)
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.errors import BackendUnavailable, InvalidOption
from jobqueue.job import Job
from jobqueue.limiting import Limiting
from jobqueue.model.asked import LONGEST_PAGE, because, looked_for, page, whole
from jobqueue.model.events import Event
from jobqueue.model.options import JobOptions, checked_priority
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.stats import MOST_MINUTES, JobStats, stats_of
from jobqueue.model.times import Seconds, moment_ms, span_ms

_EVENT_WAIT = 10.0


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs are in each state."""

    blocked: int = 0
    delayed: int = 0
    waiting: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return (
            self.blocked + self.delayed + self.waiting + self.active
            + self.completed + self.failed + self.cancelled
        )  # fmt: skip


class Operating(Limiting):
    """The part of a :class:`~jobqueue.queue.Queue` that its jobs are looked at and changed with."""

    default_options: JobOptions

    # Looking.

    async def get(self, job_id: str) -> Job[Any, Any] | None:
        """The job, or None. Raises InvalidName for an id that is no text."""
        looked_for("job_id", job_id)
        backend = await self.backend()
        record = await backend.get(self.name, job_id)
        return None if record is None else _job(backend, record)

    async def jobs(
        self, state: JobState | str, *, limit: int = 100, offset: int = 0, newest_first: bool = False
    ) -> list[Job[Any, Any]]:
        """Jobs of one state: waiting ones in the order in which they will run, finished ones by when they finished.

        ``limit`` is at most 1000 a call. Raises InvalidOption.
        """
        page(limit, offset)
        backend = await self.backend()
        records = await backend.find(self.name, _state(state), limit=limit, offset=offset, newest=newest_first)
        return [_job(backend, record) for record in records]

    async def counts(self) -> Counts:
        """How many jobs are in each state; O(1)."""
        status = await (await self.backend()).status(self.name)
        return Counts(**{state.value: number for state, number in status.counts.items()})

    async def oldest_age(self) -> float | None:
        """Seconds since the oldest waiting job was enqueued; None if none waits."""
        status = await (await self.backend()).status(self.name)
        return None if status.oldest_ms is None else status.oldest_ms / 1000

    async def stats(self, minutes: int = 60) -> list[JobStats]:
        """What attempts came to and how long they took, by minute and job type, oldest first. ``minutes`` counts back
        from now; they are kept for a day, so 1440 is all. Minutes in which none ended are left out. O(minutes).
        """
        return stats_of(await (await self.backend()).stats(self.name, whole("minutes", minutes, 1, MOST_MINUTES)))

    async def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """What happens in the queue, as it happens; ``after`` an event's ``id``, or ``"0"`` for the oldest
        kept, or from now on. About 10 000 events are kept. Survives outages of the backend. Raises InvalidOption.
        """
        backend = await self.backend()
        cursor = after
        pause = 0.1
        while True:
            try:
                page = await backend.events(self.name, cursor, _EVENT_WAIT)
                pause = 0.1
            except BackendUnavailable:
                await SYSTEM_CLOCK.sleep(pause)
                pause = min(2 * pause, 2.0)
                continue
            cursor = page.cursor
            for event in page.events:
                yield event

    # Changing one job.

    async def retry(self, job_id: str) -> None:
        """failed, cancelled, completed → waiting, with fresh attempts. Raises JobNotFound, InvalidState."""
        await self._amend(job_id, RetryByHand())

    async def promote(self, job_id: str) -> None:
        """delayed → waiting. Raises JobNotFound, InvalidState."""
        await self._amend(job_id, Promote())

    async def cancel(self, job_id: str, reason: str = "") -> JobState:
        """Cancel a job from any process: at once if it has not started, else its worker is told to.

        Returns the state it is in afterwards (``active``: on its way). Of ``reason`` the first 1000 characters are
        kept. Raises JobNotFound, InvalidState.
        """
        keep, why = self.default_options.keep, because(reason)
        return await self._amend(job_id, Cancel(why, keep.for_failed()) if keep else Cancel(why))

    async def remove(self, job_id: str) -> None:
        """Forget a job that is not active. Raises JobNotFound, InvalidState."""
        await self._amend(job_id, Remove())

    async def reprioritize(self, job_id: str, priority: int) -> None:
        """Give an unfinished job another priority. Raises JobNotFound, InvalidState, InvalidOption."""
        await self._amend(job_id, Reprioritize(checked_priority(priority)))

    async def reschedule(self, job_id: str, *, delay: Seconds | None = None, run_at: datetime | None = None) -> None:
        """delayed, waiting → delayed until another time. Raises JobNotFound, InvalidState, InvalidOption."""
        if (delay is None) == (run_at is None):
            raise InvalidOption("give delay or run_at, just one of them")
        if run_at is not None:
            await self._amend(job_id, Reschedule(run_at_ms=moment_ms("run_at", run_at, SYSTEM_CLOCK.now_ms())))
        elif delay is not None:
            await self._amend(job_id, Reschedule(delay_ms=span_ms("delay", delay)))

    # Changing the whole queue.

    async def pause(self) -> None:
        """Nothing more is started, by any worker, until ``resume``; running jobs go on."""
        await (await self.backend()).control(self.name, Pause())

    async def resume(self) -> None:
        """Undo a pause, and end the hold of a ``RateLimited`` that is not over yet; limits hold on."""
        await (await self.backend()).control(self.name, Resume())

    async def is_paused(self) -> bool:
        """Whether the queue is paused."""
        return (await (await self.backend()).status(self.name)).paused

    async def retry_failed(self, limit: int = 1000) -> int:
        """Retry up to ``limit`` failed jobs, oldest first; returns how many. ``limit`` is at most 1000 a call."""
        command = RetryFailed(whole("limit", limit, 0, LONGEST_PAGE))
        return len(await (await self.backend()).control(self.name, command))

    async def purge(self, delayed: bool = False) -> int:
        """Drop everything that waits, and what is delayed too if asked; returns how many."""
        return len(await (await self.backend()).control(self.name, Purge(delayed)))

    async def clean(self, state: JobState | str, *, older_than: Seconds = 0, limit: int = 1000) -> list[str]:
        """Forget jobs of one state that entered it more than ``older_than`` ago, oldest first; returns their ids.

        Raises InvalidOption for ``active``, or a limit below 1.
        """
        wanted = _state(state)
        if wanted is JobState.ACTIVE:
            raise InvalidOption("active jobs cannot be cleaned away: cancel them, or let them finish")
        command = Clean(wanted, span_ms("older_than", older_than), whole("limit", limit, 1))
        return await (await self.backend()).control(self.name, command)

    async def obliterate(self, force: bool = False) -> None:
        """Forget the queue and everything in it; no key is left. Unless ``force``, raises InvalidState while jobs
        run, and Undelivered while jobs elsewhere that wait for these cannot be told.
        """
        await (await self.backend()).control(self.name, Obliterate(force))

    async def _amend(self, job_id: str, amendment: Amendment) -> JobState:
        return await (await self.backend()).amend(self.name, looked_for("job_id", job_id), amendment)


def _job(backend: Backend, record: JobRecord) -> Job[Any, Any]:
    known = KNOWN_TYPES.get(record.type)
    return Job(
        record,
        backend,
        payload=known.data if known else ANY_JSON,
        result_payload=known.result if known else ANY_JSON,
    )


def _state(state: JobState | str) -> JobState:
    try:
        return JobState(state)
    except ValueError:
        raise InvalidOption(f"no such state: {state!r}; there are {', '.join(JobState)}") from None
