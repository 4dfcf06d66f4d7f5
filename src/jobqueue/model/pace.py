"""How many may start now under a rate, and when the next one may: integers and no clock of its own."""

from __future__ import annotations

from jobqueue.model.limits import Rate

_EXACT = 64
"""Up to this limit every start is remembered; above it, starts within a 64th of a period count as the last of them."""

MOST_LAG = 4
"""The part of a period by which starts count for longer at the most, however late they come."""


class Pace:
    """What has started lately under one rate.

    Two things are kept, because neither does alone: the starts of the last period, of which there are never more than
    ``limit``; and a bucket of ``burst`` tokens that fills by ``limit`` in a period. A token is worth ``per_ms``, so
    that each ms brings ``limit`` and all is in whole numbers. ``redis/lua/lib/pace.lua`` is the same in Lua.
    """

    __slots__ = ("_at_ms", "_level", "_marks", "_rate")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._marks: list[tuple[int, int]] = []
        self._at_ms = 0
        self._level = rate.at_once * rate.per_ms

    def change(self, rate: Rate) -> None:
        """Another rate holds from now on; what has started stays counted."""
        self._rate = rate

    def left(self, now_ms: int, lag_ms: int = 0) -> int:
        """How many may start now, if starts may come up to ``lag_ms`` after they are counted."""
        used = sum(count for _, count in self._lately(now_ms, lag_ms))
        return max(0, min(self._rate.limit - used, self._filled(now_ms) // self._rate.per_ms))

    def take(self, now_ms: int, count: int) -> None:
        """So many have started."""
        if count == 0:
            return
        self._level = self._filled(now_ms) - count * self._rate.per_ms
        self._marks = self._lately(now_ms, self._rate.per_ms)
        self._at_ms = now_ms
        grain = -(-self._rate.per_ms // _EXACT) if self._rate.limit > _EXACT else 1
        if self._marks and self._marks[-1][0] // grain == now_ms // grain:
            count += self._marks.pop()[1]
        self._marks.append((now_ms, count))

    def next_ms(self, now_ms: int, lag_ms: int = 0) -> int:
        """When the next one may start, if none may now."""
        moment = now_ms
        marks = self._lately(now_ms, lag_ms)
        used = sum(count for _, count in marks)
        for at_ms, count in marks:
            if used < self._rate.limit:
                break
            used -= count
            moment = at_ms + self._held_ms(lag_ms)
        lacking = self._rate.per_ms - self._filled(now_ms)
        if lacking > 0:
            moment = max(moment, now_ms - (-lacking // self._rate.limit))
        return moment

    def forgotten_ms(self) -> int:
        """When nothing of what has started counts any more."""
        return self._at_ms + self._held_ms(self._rate.per_ms)

    def _held_ms(self, lag_ms: int) -> int:
        """For how long a start counts. One that is counted now may happen ``lag_ms`` later, another one that is counted
        when this one is over at once: so that no period has both, each counts for so much longer.
        """
        return self._rate.per_ms + min(lag_ms, self._rate.per_ms // MOST_LAG)

    # A clock that was set back must not hold anything up for longer than a period.

    def _filled(self, now_ms: int) -> int:
        passed = now_ms - min(self._at_ms, now_ms)
        return min(self._rate.at_once * self._rate.per_ms, self._level + passed * self._rate.limit)

    def _lately(self, now_ms: int, lag_ms: int) -> list[tuple[int, int]]:
        since = now_ms - self._held_ms(lag_ms)
        return [(min(at_ms, now_ms), count) for at_ms, count in self._marks if min(at_ms, now_ms) > since]
