"""Two clocks with two names, so that they cannot be mixed up.

``now_ms`` is wall time for what is stored; ``monotonic`` is for intervals inside one process (the idea is Sidekiq's
``real_ms`` and ``mono_ms``). On a server the backend reads the server's own clock instead of ``now_ms``; a clock with
``virtual`` set overrides that, which is how ``jobqueue.testing.ManualClock`` moves a Redis too.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """What the library asks of time."""

    @property
    def virtual(self) -> bool:
        """True where this clock, and not the server's, decides what time it is."""
        ...

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` of this clock's time."""
        ...


class SystemClock:
    """The machine's clocks."""

    virtual = False

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


SYSTEM_CLOCK = SystemClock()
