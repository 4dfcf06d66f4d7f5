"""An event loop whose time is a number: when nothing is ready it goes on to the next timer, at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class Standstill(RuntimeError):
    """Nobody will ever do anything again: everyone waits, and for no timer."""


class _Selector(selectors.SelectSelector):
    """Finds what is ready as ever, but does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None:
            # No file is ever waited for, nor another thread: looking for what has come in would find nothing.
            self.now += timeout
            return []
        found = super().select(0)
        if not found:
            raise Standstill
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """See the module's docstring. What it runs is run in the same order every time."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run_virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end in a loop of its own, and then whatever it left behind until that has been cancelled."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            while left:
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.wait(left, timeout=60))
                left = asyncio.all_tasks(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            asyncio.set_event_loop(None)
            loop.close()
