"""The summary: what the workers' ledgers say, per queue and job type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import quantiles

from examples.ticketing.ledger import Entry, Mark


@dataclass(slots=True)
class Line:
    """One queue and type. ``waits`` are the seconds that jobs waited for their first run."""

    done: int = 0
    retried: int = 0
    dead: int = 0
    waits: list[float] = field(default_factory=list[float])

    @property
    def median_wait(self) -> float:
        return _percentile(self.waits, 50)

    @property
    def slow_wait(self) -> float:
        return _percentile(self.waits, 95)

    def add(self, entry: Entry) -> None:
        match entry.mark:
            case Mark.BEGAN if entry.attempt == 1:
                self.waits.append(entry.waited)
            case Mark.DONE:
                self.done += 1
            case Mark.RETRY:
                self.retried += 1
            case Mark.DEAD:
                self.dead += 1
            case _:
                pass


@dataclass(slots=True)
class Summary:
    """All lines, and how often each job was begun."""

    lines: dict[tuple[str, str], Line] = field(default_factory=dict[tuple[str, str], Line])
    runs: Counter[str] = field(default_factory=Counter[str])

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Summary:
        summary = cls()
        for entry in entries:
            summary.lines.setdefault((entry.queue, entry.type), Line()).add(entry)
            if entry.mark is Mark.BEGAN:
                summary.runs[entry.job_id] += 1
        return summary

    @property
    def done(self) -> int:
        return sum(line.done for line in self.lines.values())


def _percentile(values: list[float], percent: int) -> float:
    match values:
        case []:
            return 0.0
        case [only]:
            return only
        case _:
            return quantiles(values, n=100, method="inclusive")[percent - 1]
