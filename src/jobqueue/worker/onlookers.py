"""Those who wait for a lane to come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Onlookers:
    """They look again whenever something has changed. False while there are none."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def tell(self) -> None:
        """Something has changed."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` holds."""
        while not condition():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            await future
