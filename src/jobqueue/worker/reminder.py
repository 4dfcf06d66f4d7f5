"""A reminder: sleeps until a moment, which may be moved nearer while it sleeps."""

from __future__ import annotations

import anyio

from jobqueue.clock import Clock

_LONGEST = 3600.0
"""Of one sleep: timers of many years overflow, and whoever has nothing to wait for sleeps on the clock too."""


class Reminder:
    """Has one sleeper. It sleeps in its own task, so that a virtual clock can tell when it is back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._at: float | None = None
        self._sleep: anyio.CancelScope | None = None

    def set(self, ms: int | None) -> None:
        """Wake in ``ms`` at the latest; None changes nothing."""
        if ms is None:
            return
        at = self._clock.monotonic() + ms / 1000
        if self._at is None or at < self._at:
            self._at = at
            if self._sleep is not None:
                self._sleep.cancel()

    async def wait(self) -> None:
        """Sleep until the moment has come; then nothing is set."""
        while self._at is None or self._at > self._clock.monotonic():
            with anyio.CancelScope() as self._sleep:
                until = _LONGEST if self._at is None else self._at - self._clock.monotonic()
                await self._clock.sleep(min(until, _LONGEST))
            self._sleep = None
        self._at = None
