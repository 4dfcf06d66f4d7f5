"""The board: shared memory in which a handler notes that it ran, and when.

One byte and one double for every job number. It is shared by all processes of a contestant, so that a worker pool's
children and the program that times them see the same facts without asking the server. Each job has its own byte, so two
threads or processes only ever meet on one when a job really runs twice at once.
"""

from __future__ import annotations

import mmap
import os
import time
from pathlib import Path

CAPACITY = 1 << 21
VARIABLE = "BENCH_BOARD"
_MOST_RUNS = 255


class Board:
    """What ran, how often, and when it first started."""

    def __init__(self, path: str) -> None:
        with Path(path).open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 9 * CAPACITY)
        whole = memoryview(self._memory)
        self.runs = whole[:CAPACITY]
        self.starts = whole[CAPACITY:].cast("d")

    @classmethod
    def from_environment(cls) -> Board:
        """The board that the harness made for this program."""
        return cls(os.environ[VARIABLE])

    def note(self, number: int) -> int:
        """Note a run of job ``number``; returns how many runs came before it."""
        before = self.runs[number]
        if not before:
            self.starts[number] = time.monotonic()
        if before < _MOST_RUNS:
            self.runs[number] = before + 1
        return before

    def unfinished(self, first: int, count: int, *, flaky: bool = False) -> int:
        """How many of the jobs ``first`` to ``first + count`` still miss a run; a flaky odd job needs two."""
        if not flaky:
            return self.runs[first : first + count].tobytes().count(0)
        odd = self.runs[first + 1 - first % 2 : first + count : 2].tobytes()
        even = self.runs[first + first % 2 : first + count : 2].tobytes()
        return even.count(0) + odd.count(0) + odd.count(1)

    def wrong(self, first: int, count: int, *, flaky: bool = False) -> list[int]:
        """The numbers of the jobs that ran more or less often than they should have, at most ten."""
        found: list[int] = []
        for number in range(first, first + count):
            expected = 2 if flaky and number % 2 else 1
            if self.runs[number] != expected:
                found.append(number)
                if len(found) == 10:
                    break
        return found

    def twice(self, first: int, count: int) -> int:
        """How many jobs ran more than once."""
        runs = self.runs[first : first + count].tobytes()
        return count - runs.count(0) - runs.count(1)

    def started(self, first: int, count: int) -> list[float]:
        """When the jobs that have started did so, in order of time (monotonic seconds)."""
        return sorted(at for at in self.starts[first : first + count] if at)


def create(path: str) -> None:
    """Make an empty board; the file is sparse, and takes only the memory that is noted in."""
    with Path(path).open("wb") as file:
        file.truncate(9 * CAPACITY)
