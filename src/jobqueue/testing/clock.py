"""A clock that stands still until it is told to move.

What ``await clock.advance(hours=24)`` does:

1. lets everything that can run do so, until all are waiting for something;
2. goes to the moment of the sleeper that is due next, if that is within the 24 hours, and wakes all who are due then;
3. lets everything run again, so that whoever was woken can act and go back to sleep, and repeats step 2;
4. goes to the end of the 24 hours.

So chains of timers fire in the order in which they would in real time, each seeing its own moment on the clock.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

_START = datetime(2026, 1, 1, tzinfo=UTC)
_ROUNDS = 10_000
"""Turns of the loop after which it is taken to be busy by itself, not because of this clock."""
_BLIND_ROUNDS = 50
"""Turns of the loop where it cannot be asked whether anything is ready to run (it is not asyncio's own)."""
_NAP = 0.0005


class _Sleeper:
    """One call of ``sleep``: the future it waits on and the task that waits."""

    __slots__ = ("task", "woken")

    def __init__(self) -> None:
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[Any] | None = asyncio.current_task()

    def wake(self) -> None:
        if not self.woken.done():
            self.woken.set_result(None)


class ManualClock:
    """Virtual time, beginning at 2026-01-01T00:00Z.

    ``patience`` is how long, in seconds of real time, ``advance`` waits at each step for those it woke to go back to
    sleep or end: they may be talking to a server, which takes real time. It belongs to one event loop.

    Example::

        clock = ManualClock()
        backend = MemoryBackend(clock=clock)
        ...
        await clock.advance(hours=24)
    """

    virtual = True

    def __init__(self, start: datetime = _START, *, patience: float = 0.05) -> None:
        # Microseconds, as integers: a chain of sleeps must not drift apart by rounding.
        self._start = round(start.timestamp() * 1_000_000)
        self._elapsed = 0
        self._sleepers: list[tuple[int, int, _Sleeper]] = []
        self._asleep: set[_Sleeper] = set()
        self._arrivals = 0
        self._patience = patience

    def now_ms(self) -> int:
        """The moment, in milliseconds since 1970-01-01 UTC."""
        return (self._start + self._elapsed) // 1000

    def now(self) -> datetime:
        """The moment, as an aware datetime."""
        return datetime.fromtimestamp((self._start + self._elapsed) / 1_000_000, UTC)

    def monotonic(self) -> float:
        """Seconds since this clock was made."""
        return self._elapsed / 1_000_000

    @property
    def sleepers(self) -> int:
        """How many are asleep on this clock."""
        return len(self._asleep)

    async def sleep(self, seconds: float) -> None:
        """Return once the clock has been moved by ``seconds``; zero and less only gives others their turn."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        if math.isinf(seconds):
            await asyncio.get_running_loop().create_future()
        sleeper = _Sleeper()
        self._arrivals += 1
        due = self._elapsed + max(1, round(seconds * 1_000_000))
        heapq.heappush(self._sleepers, (due, self._arrivals, sleeper))
        self._asleep.add(sleeper)
        try:
            await sleeper.woken
        finally:
            self._asleep.discard(sleeper)
            self._sweep()

    async def advance(
        self,
        delta: timedelta | None = None,
        *,
        weeks: float = 0,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        milliseconds: float = 0,
    ) -> None:
        """Move time on, step by step, waking whoever is due on the way; see the module's docstring.

        Raises ValueError for a step backwards. Costs a few turns of the loop for each moment at which someone wakes.
        """
        step = (delta or timedelta()) + timedelta(
            weeks=weeks,
            days=days,
            hours=hours,
            minutes=minutes,
            seconds=seconds,
            milliseconds=milliseconds,
        )
        if step < timedelta():
            raise ValueError("time does not go back: advance by zero or more")
        end = self._elapsed + step // timedelta(microseconds=1)
        await self._settle([])
        while self._sleepers and self._sleepers[0][0] <= end:
            woken: list[_Sleeper] = []
            # Another advance() under way may have moved time meanwhile: never back.
            self._elapsed = max(self._elapsed, self._sleepers[0][0])
            while self._sleepers and self._sleepers[0][0] <= self._elapsed:
                sleeper = heapq.heappop(self._sleepers)[2]
                if sleeper in self._asleep:
                    self._asleep.discard(sleeper)
                    sleeper.wake()
                    woken.append(sleeper)
            if woken:
                await self._settle(woken)
        self._elapsed = max(self._elapsed, end)

    async def _settle(self, woken: list[_Sleeper]) -> None:
        """Let everything run until it waits again; then, in real time, for those who were woken but not yet back."""
        await _let_run()
        if not woken:
            return
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._patience
        while loop.time() < give_up and not self._all_back(woken):
            await asyncio.sleep(_NAP)
            await _let_run()

    def _all_back(self, woken: list[_Sleeper]) -> bool:
        asleep = {sleeper.task for sleeper in self._asleep}
        me = asyncio.current_task()
        return all(
            sleeper.task is None or sleeper.task is me or sleeper.task.done() or sleeper.task in asleep
            for sleeper in woken
        )

    def _sweep(self) -> None:
        """Drop cancelled sleepers once they outnumber the others, so that short-lived timeouts do not pile up."""
        if len(self._sleepers) > 2 * len(self._asleep) + 64:
            self._sleepers = [entry for entry in self._sleepers if entry[2] in self._asleep]
            heapq.heapify(self._sleepers)


async def _let_run() -> None:
    ready: deque[Any] | None = getattr(asyncio.get_running_loop(), "_ready", None)
    for _ in range(_BLIND_ROUNDS if ready is None else _ROUNDS):
        await asyncio.sleep(0)
        if ready is not None and not ready:
            # Twice, because what the selector found is put among the ready only in the next turn.
            await asyncio.sleep(0)
            if not ready:
                return
