"""What happens to which job when: delayed jobs by due time, leases by deadline, finished jobs by when they are
forgotten.
"""

from __future__ import annotations

import heapq
from itertools import islice

_SLACK = 1024
"""Outdated heap entries that are put up with before the heap is built anew."""


class Timetable:
    """Ids by moment, then by arrival or id.

    A heap from which nothing is ever taken out of the middle: an entry that was moved or discarded is
    recognised as outdated when it comes to the top, and the heap is built anew when such entries outnumber
    the others. So every change costs O(log n), amortised; only looking at the middle sorts.
    """

    __slots__ = ("_arrivals", "_by_arrival", "_entries", "_heap")

    def __init__(self, *, by_arrival: bool = False) -> None:
        self._entries: dict[str, tuple[int, int, str]] = {}
        self._heap: list[tuple[int, int, str]] = []
        self._by_arrival = by_arrival
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, job_id: str, at_ms: int) -> None:
        """Enter a job, or move it to another moment."""
        if self._by_arrival:
            self._arrivals += 1
        entry = (at_ms, self._arrivals, job_id)
        self._entries[job_id] = entry
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + _SLACK:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def discard(self, job_id: str) -> None:
        """Strike a job out; it need not be there."""
        self._entries.pop(job_id, None)

    def at_ms(self, job_id: str) -> int | None:
        """The moment at which a job stands, if it does."""
        entry = self._entries.get(job_id)
        return entry[0] if entry else None

    def first_ms(self) -> int | None:
        """The earliest moment, if there is one."""
        heap, entries = self._heap, self._entries
        while heap:
            entry = heap[0]
            if entries.get(entry[2]) is entry:
                return entry[0]
            heapq.heappop(heap)
        return None

    def first(self, count: int) -> list[tuple[int, str]]:
        """The first so many moments and ids, which stay."""
        entries = self._entries
        seen: list[tuple[int, int, str]] = []
        while self._heap and len(seen) < count:
            entry = heapq.heappop(self._heap)
            if entries.get(entry[2]) is entry:
                seen.append(entry)
        for entry in seen:
            heapq.heappush(self._heap, entry)
        return [(at_ms, job_id) for at_ms, _, job_id in seen]

    def take_until(self, now_ms: int, limit: int) -> list[str]:
        """Take out the ids whose moment has come, at most ``limit``, in order."""
        taken: list[str] = []
        while len(taken) < limit:
            first = self.first_ms()
            if first is None or first > now_ms:
                break
            job_id = heapq.heappop(self._heap)[2]
            del self._entries[job_id]
            taken.append(job_id)
        return taken

    def page(self, offset: int, limit: int, *, newest: bool) -> list[str]:
        """Ids in order, or against it. This sorts: it is for people who look, not for workers."""
        ordered = sorted(self._entries.values(), reverse=newest)
        return [entry[2] for entry in islice(ordered, offset, offset + limit)]

    def ids(self) -> list[str]:
        """All ids, in order."""
        return [entry[2] for entry in sorted(self._entries.values())]
