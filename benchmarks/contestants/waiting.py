"""Waiting for jobs to be done, without taking the processor away from those who do them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any

from benchmarks.contestants.handlers import BOARD

PATIENCE = 15.0
"""Seconds without any progress after which a run is given up."""

_SHORTEST = 0.001
_LONGEST = 0.25


class Stalled(Exception):
    """Jobs that should have run did not."""


async def until(remaining: Callable[[], int]) -> None:
    """Return once ``remaining()`` is 0, looking ever more often as that comes near. Raises Stalled."""
    begin, start = monotonic(), remaining()
    last, progressed, nap = start, begin, _SHORTEST
    while last:
        await asyncio.sleep(nap)
        now, left = monotonic(), remaining()
        if left != last:
            progressed = now
        elif now - progressed > PATIENCE:
            raise Stalled(f"{left} jobs are left and nothing has moved for {PATIENCE:.0f} s")
        last = left
        # Half of what is left at the pace so far: about a dozen looks a run, and the last ones a millisecond apart.
        pace = (start - left) / (now - begin)
        nap = min(_LONGEST, max(_SHORTEST, left / pace / 2)) if pace > 0 else min(_LONGEST, nap * 2)


async def for_all(first: int, count: int, *, flaky: bool) -> None:
    """Until each of the jobs has had its runs."""
    await until(lambda: BOARD.unfinished(first, count, flaky=flaky))


async def for_records(undone: Callable[[], int]) -> float:
    """Until the server records nothing undone; returns that moment. Raises Stalled."""
    begin = monotonic()
    while undone():
        if monotonic() - begin > PATIENCE:
            raise Stalled(f"all jobs have run, but the server still records {undone()} of them as undone")
        await asyncio.sleep(_SHORTEST)
    return monotonic()


async def for_some(first: int, total: int, count: int) -> dict[str, Any]:
    """Until ``count`` of a larger number of jobs have run after a warm-up of a tenth; timed by their starts."""
    warm = count // 10
    wanted = warm + count
    await until(lambda: max(0, wanted - (total - BOARD.unfinished(first, total))))
    starts = BOARD.started(first, total)
    return {"seconds": starts[wanted - 1] - starts[warm - 1 if warm else 0], "jobs": count}


def mean_ranks(first: int, count: int, levels: int) -> list[float]:
    """For each priority level, the mean place (0 to 1) of its jobs in the order in which all of them started."""
    order = sorted(range(first, first + count), key=lambda number: BOARD.starts[number])
    sums, members = [0.0] * levels, [0] * levels
    for place, number in enumerate(order):
        sums[number % levels] += place / count
        members[number % levels] += 1
    return [total / max(1, many) for total, many in zip(sums, members, strict=True)]
