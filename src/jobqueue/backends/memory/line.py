"""The waiting line: by priority, then first in first out, with a way in at the front."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain, islice

_Rank = OrderedDict[str, int]
"""Ids, each with its place: what comes before has a lower one."""

HEADS = 32


class Line:
    """One ordered rank of ids for each priority in use; everything that moves a job costs O(log priorities)."""

    __slots__ = ("_length", "_priorities", "_ranks")

    def __init__(self) -> None:
        self._ranks: dict[int, _Rank] = {}
        self._priorities: list[int] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[str]:
        return chain.from_iterable(self._ranks[priority] for priority in sorted(self._ranks))

    def append(self, job_id: str, priority: int, place: int) -> None:
        """To the end of its priority."""
        self._rank(priority)[job_id] = place
        self._length += 1

    def prepend(self, job_id: str, priority: int, place: int) -> None:
        """To the front of its priority."""
        rank = self._rank(priority)
        rank[job_id] = place
        rank.move_to_end(job_id, last=False)
        self._length += 1

    def remove(self, job_id: str, priority: int) -> None:
        """Out of the line, from wherever it stands."""
        del self._ranks[priority][job_id]
        self._length -= 1

    def pop(self) -> str | None:
        """Take out whoever is first."""
        while self._priorities:
            rank = self._ranks[self._priorities[0]]
            if rank:
                self._length -= 1
                return rank.popitem(last=False)[0]
            # An emptied rank stays until it is met here, so that its priority is in the heap just once.
            del self._ranks[heapq.heappop(self._priorities)]
        return None

    def first(self) -> tuple[int, int, str] | None:
        """Whoever is first: priority, place, id."""
        while self._priorities:
            priority = self._priorities[0]
            rank = self._ranks[priority]
            if rank:
                job_id = next(iter(rank))
                return priority, rank[job_id], job_id
            del self._ranks[heapq.heappop(self._priorities)]
        return None

    def placed(self) -> list[tuple[int, int, str]]:
        """All, as ``first`` gives one."""
        return [(priority, place, job_id) for priority, rank in self._ranks.items() for job_id, place in rank.items()]

    def page(self, offset: int, limit: int, *, newest: bool) -> list[str]:
        """Ids in the order in which they will be claimed, or against it."""
        if not newest:
            return list(islice(self, offset, offset + limit))
        backwards = chain.from_iterable(
            reversed(self._ranks[priority]) for priority in sorted(self._ranks, reverse=True)
        )
        return list(islice(backwards, offset, offset + limit))

    def heads(self) -> list[str]:
        """The first in line of each of the most urgent priorities in use."""
        used = (priority for priority, rank in self._ranks.items() if rank)
        return [next(iter(self._ranks[priority])) for priority in heapq.nsmallest(HEADS, used)]

    def _rank(self, priority: int) -> _Rank:
        rank = self._ranks.get(priority)
        if rank is None:
            rank = self._ranks[priority] = OrderedDict()
            heapq.heappush(self._priorities, priority)
        return rank
