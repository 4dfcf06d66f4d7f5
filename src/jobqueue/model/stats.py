"""Attempts counted by the minute: how many ended how, and how long they took.

A worker adds up what its attempts came to between two exchanges and sends the sums with the next one; a backend adds
counters to counters and knows nothing of what they mean. A counter's name is ``"<letter><power> <type>"`` for attempts
of a type that ended in one way within a time (see below), or ``"us <type>"`` for the microseconds they took together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, RetryAt
from jobqueue.model.times import moment

MOST_MINUTES = 1440
"""Minutes that are kept: a day."""

_LONGEST_POWER = 24
_LETTERS = "crfx"
_LETTER_OF: Mapping[type[Outcome], str] = {
    Completed: "c", RetryAt: "r", Failed: "f", Cancelled: "x", Released: "", Parked: "",
}  # fmt: skip
"""What is handed back is not counted."""


@dataclass(frozen=True, slots=True)
class JobStats:
    """The attempts of one job type that ended within one minute, as the workers saw them end.

    ``completed``, ``retried`` (failed, another attempt follows), ``failed`` (for good) and ``cancelled`` are numbers of
    attempts; those handed back (snoozed, rate limited, shut down) are not counted. ``run_seconds`` is what they took
    together. ``durations[k]`` is how many took less than 2**k ms, and no less than half of that.
    """

    minute: datetime
    type: str
    completed: int = 0
    retried: int = 0
    failed: int = 0
    cancelled: int = 0
    run_seconds: float = 0.0
    durations: tuple[int, ...] = ()

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.completed + self.retried + self.failed + self.cancelled

    def percentile(self, share: float) -> float:
        """Seconds that at least ``share`` (0 to 1) of the attempts stayed below, to the next power of two of
        milliseconds; 0 without attempts."""
        wanted, seen = share * sum(self.durations), 0
        for power, count in enumerate(self.durations):
            seen += count
            if seen and seen >= wanted:
                return 2**power / 1000
        return 0.0


class Tallies:
    """What one lane's attempts came to since the last exchange took it away."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, int, str], int] = defaultdict(int)
        self._spent: defaultdict[str, float] = defaultdict(float)

    def add(self, job_type: str, outcome: Outcome, seconds: float) -> None:
        """An attempt ended."""
        letter = _LETTER_OF[type(outcome)]
        if letter:
            self._counts[letter, min(int(seconds * 1000).bit_length(), _LONGEST_POWER), job_type] += 1
            self._spent[job_type] += seconds

    def take(self) -> dict[str, int]:
        """The counters to send; from now on they are the exchange's."""
        if not self._counts:
            return {}
        counters = {f"{letter}{power} {job_type}": count for (letter, power, job_type), count in self._counts.items()}
        counters |= {f"us {job_type}": round(seconds * 1_000_000) for job_type, seconds in self._spent.items()}
        self._counts.clear()
        self._spent.clear()
        return counters


def stats_of(minutes: Sequence[tuple[int, Mapping[str, int]]]) -> list[JobStats]:
    """Counters by the minute (its beginning in ms) as rows, by minute and type."""
    rows: list[JobStats] = []
    for begin_ms, counters in minutes:
        sums: dict[str, dict[str, int]] = {}
        for name, count in counters.items():
            what, _, job_type = name.partition(" ")
            if _is_known(what):
                sums.setdefault(job_type, {})[what] = count
        rows += [_row(begin_ms, job_type, sums[job_type]) for job_type in sorted(sums)]
    return rows


def _is_known(what: str) -> bool:
    if what == "us":
        return True
    return what[:1] in _LETTERS and what[1:].isdecimal() and int(what[1:]) <= _LONGEST_POWER


def _row(begin_ms: int, job_type: str, counts: Mapping[str, int]) -> JobStats:
    durations = [0] * (_LONGEST_POWER + 1)
    ended = dict.fromkeys(_LETTERS, 0)
    for what, count in counts.items():
        if what != "us":
            ended[what[0]] += count
            durations[int(what[1:])] += count
    while durations and not durations[-1]:
        durations.pop()
    return JobStats(
        moment(begin_ms),
        job_type,
        completed=ended["c"],
        retried=ended["r"],
        failed=ended["f"],
        cancelled=ended["x"],
        run_seconds=counts.get("us", 0) / 1_000_000,
        durations=tuple(durations),
    )
