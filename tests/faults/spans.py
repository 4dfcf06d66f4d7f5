"""From when until when jobs ran, by the ledger, and what of that overlapped."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from tests.faults.ledger import Entry


@dataclass(frozen=True, slots=True)
class Span:
    """One run of a job. It is over when it has ended, or when its process was killed; else it never is, for all that
    is known (``math.inf``)."""

    job: str
    process: int
    began: float
    over: float


def spans(found: Sequence[Entry]) -> list[Span]:
    """All runs, by when they began."""
    ends: dict[tuple[str, int], list[float]] = defaultdict(list)
    killed: dict[int, float] = {}
    for entry in found:
        if entry.deed == "ended":
            ends[entry.job, entry.process].append(entry.at)
        elif entry.deed == "disturbed":
            # The last of them is after its death.
            killed[entry.process] = entry.at
    made: list[Span] = []
    for entry in found:
        if entry.deed == "started":
            own = ends[entry.job, entry.process]
            place = bisect_left(own, entry.at)
            over = own[place] if place < len(own) else killed.get(entry.process, math.inf)
            made.append(Span(entry.job, entry.process, entry.at, over))
    return sorted(made, key=lambda span: span.began)


def overlaps(runs: Iterable[Span], lane: Callable[[str], str | None]) -> list[str]:
    """Where two runs of one lane were at it at the same moment, in words. ``lane`` is what a job's id belongs to; None
    is of no lane.
    """
    last: dict[str, Span] = {}
    complaints: list[str] = []
    for run in runs:
        name = lane(run.job)
        if name is None:
            continue
        before = last.get(name)
        if before is not None and before.over > run.began:
            complaints.append(
                f"{run.job} began in process {run.process} while {before.job} ran in {before.process}, "
                f"{before.over - run.began:.3f} s before it was over"
            )
        if before is None or run.over > before.over:
            last[name] = run
    return complaints


def most_at_once(runs: Iterable[Span]) -> int:
    """How many ran at the same moment, at the most."""
    ends: list[float] = []
    most = 0
    for run in runs:
        while ends and ends[0] <= run.began:
            heappop(ends)
        heappush(ends, run.over)
        most = max(most, len(ends))
    return most


def most_within(runs: Sequence[Span], seconds: float) -> int:
    """How many began within so many seconds, at the most."""
    most = first = 0
    for place, run in enumerate(runs):
        while runs[first].began <= run.began - seconds:
            first += 1
        most = max(most, place - first + 1)
    return most


def of(job_id: str) -> str:
    """What the steady producer put before the full stop of an id: a group, a key, a manner."""
    return job_id.partition(".")[0]
