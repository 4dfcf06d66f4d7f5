"""The ledger: one append-only file in which every process of a run writes down what it did, one line a write.

A line that was written before a process was killed is there, because the kernel has it; a line is either whole or not
there, because appends of this size are atomic.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

Deed = Literal[
    "ready", "attempted", "acknowledged", "fallen", "promised", "started", "saw", "token", "cancelled", "ended",
    "disturbed", "recovered", "hole", "woken", "paused", "resumed",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """``job`` is empty where a process as a whole was ``disturbed`` (killed, stopped): then ``process`` is that one.

    ``attempted`` is written before a call, ``acknowledged`` after it; ``promised`` of a job that will not be completed,
    by design; ``fallen`` of one in whose place another stood. ``saw`` names the data of a run. ``paused`` and
    ``resumed`` are of groups: after the one call, and before the other.
    """

    deed: Deed
    job: str
    process: int
    at: float


class Ledger:
    """Writes lines; one for each process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, deed: Deed, job: str = "-", process: int | None = None) -> None:
        """Write one entry, now."""
        line = f"{deed} {job} {os.getpid() if process is None else process} {time.monotonic()}\n"
        os.write(self._file, line.encode())

    def close(self) -> None:
        """No more entries from here."""
        os.close(self._file)


def entries(path: Path) -> list[Entry]:
    """All of them, in the order in which they were written; but for one that is being written at this moment, of which
    only a part may be seen if it lies across a page of the file.
    """
    found: list[Entry] = []
    for line in path.read_text(encoding="ascii").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        deed, job, process, at = line.split()
        found.append(Entry(cast("Deed", deed), job, int(process), float(at)))
    return found
