"""Clocks that are off by as much as a file says, in seconds.

Where libfaketime is installed (Debian: ``apt-get install faketime``) a whole process can have one. Elsewhere it is our
own code that reads the file.
"""

from __future__ import annotations

from pathlib import Path

from jobqueue.clock import SystemClock

SHIFT = "JOBQUEUE_FAULTS_SHIFT"
"""The variable that names the file to a worker process."""

_LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib*/faketime/libfaketimeMT.so.1", "local/lib/faketime/*MT.so.1")


def set_clock(path: Path, seconds: float) -> None:
    """From now on whoever goes by this file is so far from the true time."""
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{seconds:+.3f}", encoding="ascii")
    fresh.replace(path)


def faketime(path: Path) -> dict[str, str] | None:
    """The environment of a process whose clock is to be as this file says; None without the library."""
    library = next((found for place in _LIBRARIES for found in Path("/usr").glob(place)), None)
    if library is None:
        return None
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(path),
        "FAKETIME_NO_CACHE": "1",
        # Nobody who sets a clock changes how long a second takes.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


class ShiftedClock(SystemClock):
    """The machine's clock, so many seconds off as a file says."""

    virtual = True

    def __init__(self, path: Path) -> None:
        self._path = path

    def now_ms(self) -> int:
        return super().now_ms() + round(1000 * float(self._path.read_text(encoding="ascii")))
