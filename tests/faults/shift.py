"""A clock that is off by as much as a file says."""

from __future__ import annotations

from pathlib import Path

from jobqueue.clock import SystemClock

SHIFT = "JOBQUEUE_FAULTS_SHIFT"
"""The variable that names the file to a worker process."""


class ShiftedClock(SystemClock):
    """The machine's clock, so many seconds off as a file says."""

    virtual = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def now_ms(self) -> int:
        return super().now_ms() + round(1000 * float(self._path.read_text(encoding="ascii")))
