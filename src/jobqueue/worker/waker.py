"""The waker: while a lane has nothing in sight, it waits for the queue's marker, and for what falls due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobqueue.backends.protocol import Backend
from jobqueue.clock import Clock
from jobqueue.errors import BackendError
from jobqueue.patience import Patience
from jobqueue.worker.alarm import Alarm

_BLOCK_SECONDS = 10.0


class Waker:
    """Of one lane. ``look_now`` is called when there may be something to claim; ``is_up`` says that the lane looks by
    itself, or never will again; ``taken`` that a marker was taken, which another worker does not get now."""

    def __init__(
        self,
        backend: Backend,
        queue: str,
        clock: Clock,
        *,
        look_now: Callable[[], None],
        is_up: Callable[[], bool],
        taken: Callable[[], None],
    ) -> None:
        self._backend = backend
        self._queue = queue
        self._look_now = look_now
        self._is_up = is_up
        self._taken = taken
        self._resting = asyncio.Event()
        self._alarm = Alarm(clock, look_now)

    def rest(self) -> None:
        """The lane has nothing in sight."""
        self._resting.set()

    def look_in(self, ms: int | None) -> None:
        """Something falls due in ``ms``; None if nothing does."""
        if ms is None:
            self._alarm.stop()
        else:
            self._alarm.set(max(0.0, ms / 1000))

    async def run(self) -> None:
        """Until cancelled."""
        patience = Patience()
        while True:
            await self._resting.wait()
            self._resting.clear()
            if self._is_up():
                continue
            try:
                woken = await self._backend.wait(self._queue, _BLOCK_SECONDS)
            except BackendError:
                await asyncio.sleep(patience.pause())
                woken = False
            else:
                patience.rewarded()
            if woken:
                self._taken()
            # Also when nothing came: a marker may have been lost with a failed server.
            self._look_now()
