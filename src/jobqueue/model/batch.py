"""Batch: how many jobs of one type a processor takes at once, and how long it waits for them."""

from __future__ import annotations

from dataclasses import dataclass

from jobqueue.errors import InvalidOption
from jobqueue.model.times import Seconds, span_ms

LARGEST_BATCH = 1_000
LONGEST_GATHERING = 60.0
"""Seconds. What is gathered is leased, and other workers cannot have it."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A processor that is declared with one gets up to ``size`` jobs in one call.

    It runs when ``size`` jobs of its type are there, or when the first of them has waited for ``wait`` seconds, at the
    most 60. Each worker gathers for itself. Raises InvalidOption.
    """

    size: int = 100
    wait: Seconds = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 1 <= self.size <= LARGEST_BATCH:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"batch: size must be a whole number from 1 to {LARGEST_BATCH}, not {self.size!r}")
        if span_ms("batch: wait", self.wait) > LONGEST_GATHERING * 1000:
            raise InvalidOption(f"batch: wait must be {LONGEST_GATHERING:.0f} s at the most, not {self.wait!r}")

    @property
    def wait_seconds(self) -> float:
        """``wait``, as a number."""
        return span_ms("batch: wait", self.wait) / 1000
