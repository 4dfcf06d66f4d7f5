"""A line into whose middle a job may be put: the jobs of a group, or of a type without room."""

from __future__ import annotations

import heapq

Placed = tuple[int, int, str]
"""Priority, place within it, id."""


_SLACK = 64
"""Outdated heap entries that are put up with before the heap is built anew."""


class SortedLine:
    """Jobs by priority and place. What was taken out of the middle is recognised when it comes to the top."""

    __slots__ = ("_heap", "_placed")

    def __init__(self) -> None:
        self._placed: dict[str, Placed] = {}
        self._heap: list[Placed] = []

    def __len__(self) -> int:
        return len(self._placed)

    def add(self, placed: Placed) -> None:
        """Put a job in."""
        self._placed[placed[2]] = placed
        heapq.heappush(self._heap, placed)
        if len(self._heap) > 2 * len(self._placed) + _SLACK:
            self._heap = sorted(self._placed.values())

    def discard(self, job_id: str) -> bool:
        """Take a job out; False if it was not there."""
        return self._placed.pop(job_id, None) is not None

    def first(self) -> Placed | None:
        """Whoever is first."""
        while self._heap:
            placed = self._heap[0]
            if self._placed.get(placed[2]) is placed:
                return placed
            heapq.heappop(self._heap)
        return None

    def placed(self) -> list[Placed]:
        """All, in no order."""
        return list(self._placed.values())
