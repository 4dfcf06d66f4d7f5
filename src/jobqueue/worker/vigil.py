"""A lane's vigil: it waits for one job, which may be claimed for it at any moment, and until it knows whether."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager

import anyio


class Vigil:
    """The one of a lane. The waker keeps it; others may want it to end."""

    def __init__(self) -> None:
        self._scope: anyio.CancelScope | None = None
        self._waits = False

    @property
    def kept(self) -> bool:
        """Whether a job may have been claimed of which the lane does not know yet."""
        return self._scope is not None

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Nothing has come so far."""
        with anyio.CancelScope() as self._scope:
            self._waits = True
            try:
                yield
            finally:
                self._waits = False

    @contextmanager
    def asking(self, deadline: float = math.inf) -> Generator[None]:
        """The waiting was broken off, and it is asked what has come of it."""
        with anyio.CancelScope(deadline=deadline) as self._scope:
            yield

    def over(self) -> None:
        """It is known."""
        self._scope = None

    def break_off(self) -> None:
        """Wait no longer. Asking what has come of it takes a moment only, and goes on."""
        if self._scope is not None and self._waits:
            self._scope.cancel()

    def end(self) -> None:
        """Neither wait nor ask as before."""
        if self._scope is not None:
            self._scope.cancel()
