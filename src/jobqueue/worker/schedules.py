"""Fires a lane's schedules when they are due, however busy the lane is.

1. A reminder (reminder.py) is set to the moment at which the first schedule of the queue is due. Three sources tell it:
   the answer to each round, the lane's upkeep, and an order when somebody puts a schedule that is due earlier.
2. A round asks for what is due, decides what each schedule does (model/plan.py), and has it done. The backend refuses
   what another worker has done meanwhile, so that it does not matter how many workers do this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from jobqueue.backends.protocol import NewRecord
from jobqueue.backends.scheduling import Firing, ScheduleRecord
from jobqueue.declarations import DeclaredSchedule, declare
from jobqueue.errors import BackendError, InvalidInput
from jobqueue.logs import SCHEDULE_FIRED, SCHEDULE_MISSED, SCHEDULE_SKIPPED, SCHEDULE_UNREADABLE, emit, listening
from jobqueue.model.plan import Plan, tick_id, turn
from jobqueue.model.times import moment
from jobqueue.registry import Registry
from jobqueue.schedule import job_of, record_for
from jobqueue.worker.lane import Lane

_BATCH = 100
_MOST_BYTES = 1_000_000
"""Of job data in one call, so that the server is never held up for long."""
_MOST_KNOWN = 1000
_AFTER_FAULT_MS = 250
_AFTER_UNREADABLE_MS = 60_000


class FiringRounds:
    """A lane's schedules."""

    def __init__(self, lane: Lane, declared: Sequence[DeclaredSchedule], registry: Registry) -> None:
        self._lane = lane
        self._declared: Sequence[DeclaredSchedule] | None = declared
        self._registry = registry
        self._known: dict[str, tuple[str, Plan, NewRecord]] = {}

    async def run(self) -> None:
        """Round after round, for ever."""
        reminder = self._lane.reminder
        while True:
            await reminder.wait()
            try:
                await self.begin()
                await self.round()
                self._lane.outage.answered("schedules")
            except BackendError:
                # The pumps say that the backend is away. In real time: it is no virtual fault.
                await asyncio.sleep(_AFTER_FAULT_MS / 1000)
                reminder.set(0)

    async def begin(self) -> None:
        """Put what the code declares and set the reminder, once. Raises BackendError; every round begins with it until
        it has been done.
        """
        declared = self._declared
        if declared is not None:
            await declare(self._lane.backend, self._lane.queue, declared, self._registry.get)
            self._declared = None
            await self.round()

    async def round(self) -> None:
        """Fire what is due."""
        lane = self._lane
        while True:
            due = await lane.backend.due_schedules(lane.queue.name, _BATCH)
            if due.records:
                firings = [self._firing(record, due.now_ms) for record in due.records]
                for batch in _batches(firings):
                    answers = await lane.backend.fire_schedules(lane.queue.name, batch)
                    for firing, answer in zip(batch, answers, strict=True):
                        self._tell(firing, answer)
            if len(due.records) < _BATCH:
                break
        # What was fired here has a next time that this answer does not know.
        lane.reminder.set(0 if due.records else due.next_in_ms)

    def _firing(self, record: ScheduleRecord, now_ms: int) -> Firing:
        tick_ms = record.tick_ms
        if tick_ms is None:
            return Firing(record.id, record.revision, None)
        if record.due_ms is not None and record.due_ms > now_ms:
            # Handed out too early, because somebody wrote over its place: that is put right.
            return Firing(record.id, record.revision, tick_ms, next_tick_ms=tick_ms, next_due_ms=record.due_ms)
        try:
            plan, job = self._read(record)
        except InvalidInput as error:
            # Another worker may be able to (a newer one, or one that has the time zone); it is asked for again.
            emit(
                logging.ERROR, SCHEDULE_UNREADABLE,
                schedule=record.id, queue=self._lane.queue.name, error=type(error).__name__,
            )  # fmt: skip
            again = now_ms + _AFTER_UNREADABLE_MS
            return Firing(record.id, record.revision, tick_ms, next_tick_ms=tick_ms, next_due_ms=again)
        what = turn(plan, record.id, tick_ms, now_ms, anchor_ms=record.anchor_ms, runs=record.runs)
        if what.missed:
            emit(
                logging.WARNING, SCHEDULE_MISSED,
                schedule=record.id, queue=self._lane.queue.name, since=moment(tick_ms).isoformat(),
            )  # fmt: skip
        return Firing(
            id=record.id,
            revision=record.revision,
            tick_ms=tick_ms,
            jobs=tuple(record_for(job, tick_id(record.id, tick)) for tick in what.ticks),
            next_tick_ms=what.next_ms,
            next_due_ms=None if what.next_ms is None else plan.due_ms(record.id, what.next_ms),
            limit=plan.limit or 0,
            alone=plan.overlap == "skip",
        )

    def _read(self, record: ScheduleRecord) -> tuple[Plan, NewRecord]:
        known = self._known.get(record.id)
        if known is not None and known[0] == record.revision:
            return known[1], known[2]
        plan, job = Plan.decode(record.plan), job_of(record.job)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[record.id] = (record.revision, plan, job)
        return plan, job

    def _tell(self, firing: Firing, answer: int | None) -> None:
        queue = self._lane.queue.name
        if answer is None or not firing.jobs:
            return
        if answer < len(firing.jobs):
            skipped = len(firing.jobs) - answer
            emit(logging.INFO, SCHEDULE_SKIPPED, schedule=firing.id, queue=queue, ticks=skipped)
        if answer and listening(logging.DEBUG):
            emit(logging.DEBUG, SCHEDULE_FIRED, schedule=firing.id, queue=queue, job_id=firing.jobs[answer - 1].id)


def _batches(firings: list[Firing]) -> Iterator[list[Firing]]:
    batch: list[Firing] = []
    size = 0
    for firing in firings:
        needs = sum(len(job.data) + 200 for job in firing.jobs)
        if batch and size + needs > _MOST_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(firing)
        size += needs
    yield batch
