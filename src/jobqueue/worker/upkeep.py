"""The background round of a lane: expired leases, expired jobs, retention by age, presence, the outbox, log
lines of long jobs.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from jobqueue.backends.protocol import LogLines, Presence, Upkeep
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.errors import BackendError, Undelivered
from jobqueue.logs import JOB_FAILED, JOB_RECOVERED, emit
from jobqueue.model.options import DEFAULT_KEEP
from jobqueue.patience import LONGEST_PAUSE, Patience
from jobqueue.worker.lane import Lane
from jobqueue.worker.stuck import Stuck

_AFTER_FAILURE = 0.25
ORPHANS = 100
"""Jobs of each kind at a time: some 3 ms, for which the server does nothing else, if a dead worker held so many."""


class UpkeepRounds:
    """Runs every third of a lease, so that a dead worker's jobs run elsewhere after a lease and a third at the
    latest.
    """

    def __init__(self, lane: Lane, presence: Presence, *, lease: float, max_stalls: int) -> None:
        self._lane = lane
        self._presence = presence
        self._every = lease / 3
        self._number = 0
        self._max_stalls = max_stalls
        self._stuck = Stuck(lane.queue.name)

    async def run(self) -> None:
        """Round after round, for ever."""
        while True:
            try:
                await self.round()
            except BackendError as error:
                # Where a worker is idle nobody else may notice for a while.
                self._lane.outage.lost("upkeep", error)
                await self._back()
                self._lane.outage.answered("upkeep")
                continue
            await self._lane.clock.sleep(self._every)

    async def _back(self) -> None:
        """Return when the backend answers again and everyone has had the time to hand in what was finished meanwhile.

        Leases may have run out while it was away: a job recovered too soon would run again, and its result be refused.
        """
        lane, patience = self._lane, Patience()
        while True:
            await asyncio.sleep(patience.pause(self._every))
            try:
                await lane.backend.extend(lane.queue.name, lane.worker_id, [], 1)
            except BackendError:
                continue
            await asyncio.sleep(min(LONGEST_PAUSE, 3 * self._every))
            return

    async def deliver(self) -> None:
        """Empty the outbox whenever a settlement has put something in, for ever."""
        while True:
            await self._lane.outbox.wait()
            self._lane.outbox.clear()
            try:
                await self.empty_outbox()
            except Undelivered as error:
                # The next round finds it. Not at once, or what is full would be run over.
                self._stuck.refused(error)
                await asyncio.sleep(_AFTER_FAILURE)
            except BackendError:
                # The pumps say that the backend is away.
                await asyncio.sleep(_AFTER_FAILURE)
            else:
                self._stuck.emptied()

    async def empty_outbox(self) -> None:
        """Hand over all that is there."""
        while await self._lane.backend.deliver(self._lane.queue.name):
            pass

    async def round(self) -> None:
        """One round."""
        lane = self._lane
        keep = lane.queue.default_options.keep or DEFAULT_KEEP
        request = Upkeep(
            max_stalls=self._max_stalls,
            limit=ORPHANS,
            keep=keep.for_failed(),
            dead_letter=lane.queue.dead_letter,
            # A sign of life every other round is enough: the lane is taken for gone after four without one.
            presence=replace(self._presence, busy=lane.busy) if self._number % 2 == 0 else None,
            presence_ms=round(self._every * 4000),
        )
        self._number += 1
        more = True
        while more:
            report = await lane.backend.upkeep(lane.queue.name, request)
            more = report.more
            for job_id in report.recovered:
                emit(logging.WARNING, JOB_RECOVERED, job_id=job_id, queue=lane.queue.name)
            for job_id in (*report.poisoned, *report.expired):
                error = "WorkerLost" if job_id in report.poisoned else "Expired"
                emit(logging.ERROR, JOB_FAILED, job_id=job_id, queue=lane.queue.name, error=error)
            if lane.listening is not None:
                await lane.listening.failed_elsewhere((*report.poisoned, *report.expired))
            if report.recovered:
                lane.look_now()
            if report.outbox:
                lane.outbox.set()
            else:
                # Another worker may have handed over what was stuck.
                self._stuck.emptied()
            lane.reminder.set(report.schedules_in_ms)
        await self._flush_logs()

    async def _flush_logs(self) -> None:
        for attempt in list(self._lane.running.values()):
            lines = attempt.take_lines(SYSTEM_CLOCK.now_ms())
            if lines:
                record = attempt.record
                await self._lane.backend.annotate(record.queue, record.id, attempt.token, LogLines(lines))
