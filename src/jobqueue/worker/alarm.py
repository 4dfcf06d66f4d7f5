"""An alarm on a worker's clock, the machine's or a virtual one; it belongs to one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobqueue.clock import Clock


class Alarm:
    """Calls ``ring`` once, so many seconds after it was last set."""

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._running: asyncio.Task[None] | asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it is going to ring."""
        return self._running is not None

    def set(self, seconds: float) -> None:
        """Ring in ``seconds``, and not when it was to ring before."""
        self.stop()
        if self._clock.virtual:
            self._running = asyncio.create_task(self._after(seconds))
        else:
            self._running = asyncio.get_running_loop().call_later(seconds, self._now)

    def stop(self) -> None:
        """Do not ring."""
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _after(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._now()

    def _now(self) -> None:
        self._running = None
        self._ring()
