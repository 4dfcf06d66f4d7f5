"""Jobs of batch processors, claimed and held until a batch of them is whole or its first one has waited long enough.

1. A slot that takes such a job leaves it here and stays free, so that the lane goes on claiming.
2. When ``size`` are there, or ``wait`` is over, a slot is started for them, which takes the batch.
3. Their leases are kept meanwhile like those of running jobs. What was lost is left out, and everything goes back to
   the front of the queue when the lane stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import perf_counter

from jobqueue.clock import Clock
from jobqueue.model.batch import Batch
from jobqueue.model.record import JobRecord
from jobqueue.worker.alarm import Alarm


@dataclass(slots=True)
class _Held:
    """One job, and when it came (``perf_counter``), which was within its first lease."""

    record: JobRecord
    came_at: float


class _Open:
    """A batch that is not whole yet."""

    def __init__(self, alarm: Alarm) -> None:
        self.jobs: list[_Held] = []
        self.alarm = alarm


class Gathering:
    """What one lane has gathered. ``lease`` is in seconds."""

    def __init__(
        self,
        clock: Clock,
        lease: float,
        *,
        start_slot: Callable[[], object],
        hand_back: Callable[[JobRecord, str], None],
    ) -> None:
        self._clock = clock
        self._lease = lease
        self._start_slot = start_slot
        self._hand_back = hand_back
        self._open: dict[str, _Open] = {}
        self.whole: deque[list[_Held]] = deque()
        """Batches that are to run. Public because slots look at it between any two jobs."""
        self._hurried = False
        self.kept_at = 0.0
        """When the leases held here were last renewed, by ``perf_counter``."""

    def __bool__(self) -> bool:
        return bool(self._open or self.whole)

    def add(self, record: JobRecord, batch: Batch) -> None:
        """Keep a job until its batch runs."""
        found = self._open.get(record.type)
        if found is None:
            found = self._open[record.type] = _Open(Alarm(self._clock, lambda: self._close(record.type)))
            found.alarm.set(0 if self._hurried else batch.wait_seconds)
        found.jobs.append(_Held(record, perf_counter()))
        if len(found.jobs) >= batch.size:
            self._close(record.type)

    def hurry(self) -> None:
        """Wait for no more jobs than are on their way already, from now on."""
        self._hurried = True
        for found in self._open.values():
            found.alarm.set(0)

    def take(self) -> list[JobRecord]:
        """The next batch that is to run; empty if there is none."""
        while self.whole:
            jobs = self.whole.popleft()
            now = perf_counter()
            records: list[JobRecord] = []
            for held in jobs:
                if now - max(held.came_at, self.kept_at) < self._lease:
                    records.append(held.record)
                else:
                    # The process was stopped in between: the job may run elsewhere by now.
                    self._hand_back(held.record, "its lease was not kept")
            if records:
                return records
        return []

    def drop(self, lost: Iterable[str]) -> list[str]:
        """Forget those of these jobs that are here: they are another worker's now. Returns which."""
        return [record.id for record in self._taken_out(set(lost))] if self else []

    def give_up(self, job_id: str, reason: str) -> None:
        """Hand one job back, if it is here."""
        for record in self._taken_out({job_id}):
            self._hand_back(record, reason)

    def hand_back(self, reason: str) -> None:
        """Everything goes back at once."""
        for kind in list(self._open):
            self._close(kind)
        while self.whole:
            for held in self.whole.popleft():
                self._hand_back(held.record, reason)

    def stop(self) -> None:
        """The lane is ending."""
        for found in self._open.values():
            found.alarm.stop()

    def _close(self, kind: str) -> None:
        found = self._open.pop(kind)
        found.alarm.stop()
        if found.jobs:
            self.whole.append(found.jobs)
            self._start_slot()

    def _taken_out(self, job_ids: set[str]) -> list[JobRecord]:
        out: list[JobRecord] = []
        for jobs in (*(found.jobs for found in self._open.values()), *self.whole):
            gone = [held.record for held in jobs if held.record.id in job_ids]
            if gone:
                jobs[:] = [held for held in jobs if held.record.id not in job_ids]
                out += gone
        return out
