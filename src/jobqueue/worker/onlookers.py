"""Those who wait for a lane to come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Onlookers:
    """They look again whenever something has changed."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []
        """Public because a lane looks whether there are any after every job."""

    def tell(self) -> None:
        """Something has changed."""
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return when ``condition`` holds."""
        while not condition():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.waiting.append(future)
            await future
