"""What the log is told of a backend that is away: each outage once, however many pumps of a lane notice it."""

from __future__ import annotations

import logging

from jobqueue.errors import BackendError, BackendUnavailable
from jobqueue.logs import BACKEND_LOST, BACKEND_RESTORED, emit


class Outage:
    """One line when the first of a lane's pumps has lost the backend, and one when the last of those has it back."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._without: set[str] = set()

    def lost(self, caller: str, error: BackendError) -> None:
        """``caller`` got no answer; it may say so again and again."""
        if not self._without:
            words = str(error) if isinstance(error, BackendUnavailable) else f"{type(error).__name__}: {error}"
            emit(logging.WARNING, BACKEND_LOST, queue=self._queue, error=words)
        self._without.add(caller)

    def answered(self, caller: str) -> None:
        """``caller`` got an answer after all."""
        if caller in self._without:
            self._without.remove(caller)
            if not self._without:
                emit(logging.INFO, BACKEND_RESTORED, queue=self._queue)
