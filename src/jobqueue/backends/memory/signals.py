"""How coroutines of this process wait for each other: a marker that wakes one, and a bell that wakes all."""

from __future__ import annotations

import asyncio
from collections import deque

from jobqueue.errors import BackendClosed

_Waiters = deque[asyncio.Future[bool]]


async def _stand(waiters: _Waiters, called: asyncio.Future[bool], seconds: float) -> bool:
    """Wait in ``waiters`` until called (True), or for ``seconds`` of real time (False)."""
    waiters.append(called)
    patience = called.get_loop().call_later(seconds, _give_up, called)
    try:
        return await called
    finally:
        patience.cancel()
        if called in waiters:
            waiters.remove(called)


def _give_up(called: asyncio.Future[bool]) -> None:
    if not called.done():
        called.set_result(False)


def _call_first(waiters: _Waiters) -> bool:
    while waiters:
        called = waiters.popleft()
        if not called.done():
            called.set_result(True)
            return True
    return False


def _send_home(waiters: _Waiters) -> None:
    while waiters:
        called = waiters.popleft()
        if not called.done():
            called.set_exception(BackendClosed())


class Marker:
    """Says that there may be something to claim.

    Whoever finds it takes it away, so that one worker is woken, not all.
    """

    def __init__(self) -> None:
        self._set = False
        self._waiters: _Waiters = deque()

    def put(self) -> None:
        """Give the marker to whoever has waited longest, or leave it for the next to come."""
        if not _call_first(self._waiters):
            self._set = True

    def clear(self) -> None:
        """Take the marker away."""
        self._set = False

    async def take(self, seconds: float) -> bool:
        """Wait for the marker; False after ``seconds`` of real time."""
        if self._set:
            self._set = False
            return True
        if seconds <= 0:
            return False
        called: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        try:
            return await _stand(self._waiters, called, seconds)
        except asyncio.CancelledError:
            # The marker may have been given to us in the very moment we were told to stop: pass it on.
            if not called.cancelled() and called.result():
                self.put()
            raise

    def close(self) -> None:
        """Send everyone who waits away with BackendClosed."""
        _send_home(self._waiters)


class Bell:
    """Wakes everyone who waits for it."""

    def __init__(self) -> None:
        self._waiters: _Waiters = deque()

    def ring(self) -> None:
        """Wake all."""
        while self._waiters:
            _call_first(self._waiters)

    async def hear(self, seconds: float) -> bool:
        """Wait for the bell; False after ``seconds`` of real time."""
        if seconds <= 0:
            return False
        return await _stand(self._waiters, asyncio.get_running_loop().create_future(), seconds)

    def close(self) -> None:
        """Send everyone who waits away with BackendClosed."""
        _send_home(self._waiters)
