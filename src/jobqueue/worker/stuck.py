"""What the log is told of effects that no other queue takes: of each such queue once, until all are handed over."""

from __future__ import annotations

import logging

from jobqueue.errors import Undelivered
from jobqueue.logs import OUTBOX_CLEARED, OUTBOX_STUCK, emit


class Stuck:
    """The outbox of ``queue``. The first refusal is nothing to be told of: most are over with the next try."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._refused = False
        self._told: set[tuple[str, str]] = set()

    def refused(self, error: Undelivered) -> None:
        """Nothing but what is stuck is left; said after each try."""
        reason = (error.queue, type(error.__cause__).__name__)
        if self._refused and reason not in self._told:
            self._told.add(reason)
            emit(logging.WARNING, OUTBOX_STUCK, queue=self._queue, to=error.queue, error=reason[1])
        self._refused = True

    def emptied(self) -> None:
        """Nothing is left."""
        if self._told:
            emit(logging.INFO, OUTBOX_CLEARED, queue=self._queue)
        self._told.clear()
        self._refused = False
