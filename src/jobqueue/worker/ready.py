"""Jobs that were claimed and not yet started: a queue inside the lane, in which nothing may grow old.

It is empty but for an instant unless the lane claims ahead of its slots (prefetch.py). A job leaves it for a slot, or
goes back to the front of the queue on the server, where another worker may take it: because it has found no slot for
``LONGEST_WAIT``, because its lease may have ended while this process was stopped, or because the lane says so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter

from jobqueue.model.record import JobRecord
from jobqueue.worker.prefetch import LONGEST_WAIT


class Ready:
    """The jobs of one lane that wait for a slot. ``lease`` is in seconds."""

    def __init__(
        self, lease: float, *, hand_back: Callable[[JobRecord, str], None], overdue: Callable[[], None]
    ) -> None:
        self._lease = lease
        self._hand_back = hand_back
        self._overdue = overdue
        self._jobs: deque[tuple[JobRecord, float, float]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    def put(self, records: Sequence[JobRecord], asked_at: float) -> None:
        """Take in what was claimed by a request sent at ``asked_at`` (``perf_counter``), when its leases began."""
        until = perf_counter() + LONGEST_WAIT
        self._jobs.extend((record, asked_at, until) for record in records)

    def take(self) -> JobRecord | None:
        """The next one to start."""
        while self._jobs:
            record, asked_at, _ = self._jobs.popleft()
            if perf_counter() - asked_at < self._lease:
                return record
            # The process was stopped in between. Its keeper may have renewed the lease since, or the job runs
            # elsewhere by now: handing it back is right in both cases.
            self._hand_back(record, "its lease was not kept")
        return None

    def watch(self) -> None:
        """No slot is free for what is left: see to it that none of it waits here for long."""
        if self._timer is None and self._jobs:
            _, _, until = self._jobs[0]
            self._timer = asyncio.get_running_loop().call_later(until - perf_counter(), self._look, until)

    def _look(self, until: float) -> None:
        self._timer = None
        if self._jobs and self._jobs[0][2] <= until:
            self._overdue()
            self.hand_back("no slot was free")
        else:
            self.watch()

    def hand_back(self, reason: str) -> None:
        """Everything goes back at once."""
        while self._jobs:
            self._hand_back(self._jobs.popleft()[0], reason)

    def stop(self) -> None:
        """The lane is ending."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
