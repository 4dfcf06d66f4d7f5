"""What the log is told of effects that no other queue takes: of each such queue once, until all are handed over."""

from __future__ import annotations

import logging
import math
from time import monotonic

from jobqueue.errors import Undelivered
from jobqueue.logs import OUTBOX_CLEARED, OUTBOX_STUCK, emit

PASSING = 3.0
"""Seconds: whoever was away has been asked again by then."""


class Stuck:
    """The outbox of ``queue``. The first refusals are nothing to be told of: most are over with the next try."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._since = math.inf
        self._told: set[tuple[str, str]] = set()

    def refused(self, error: Undelivered) -> None:
        """Nothing but what is stuck is left; said after each try."""
        reason = (error.queue, type(error.__cause__).__name__)
        now = monotonic()
        self._since = min(self._since, now)
        if now - self._since >= PASSING and reason not in self._told:
            self._told.add(reason)
            emit(logging.WARNING, OUTBOX_STUCK, queue=self._queue, to=error.queue, error=reason[1])

    def emptied(self) -> None:
        """Nothing is left."""
        if self._told:
            emit(logging.INFO, OUTBOX_CLEARED, queue=self._queue)
        self._told.clear()
        self._since = math.inf
