"""The process-wide backend that a Queue without one of its own uses: opened on first use, one for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from jobqueue.backends.protocol import Backend
from jobqueue.connect import connect


class _Opening:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.keeper: AsyncGenerator[None] | None = None
        """Ends with its loop, and closes the backend then."""
        self.task = loop.create_task(self._open(loop), name="jobqueue default backend")

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Backend:
        backend = await connect()
        self.keeper = self._until_the_loop_ends(loop, backend)
        await anext(self.keeper)
        return backend

    async def _until_the_loop_ends(self, loop: asyncio.AbstractEventLoop, backend: Backend) -> AsyncGenerator[None]:
        # asyncio.run ends the generators that have begun on its loop before it closes it.
        try:
            yield
        finally:
            if _OPEN.get(loop) is self:
                del _OPEN[loop]
            await backend.close()


_OPEN: dict[asyncio.AbstractEventLoop, _Opening] = {}


async def default_backend() -> Backend:
    """The running loop's backend, as the environment configures it; it is closed when ``asyncio.run`` ends, or whoever
    else lets a loop's asynchronous generators end. Raises what ``connect`` raises, and tries again then.
    """
    loop = asyncio.get_running_loop()
    known = _OPEN.get(loop)
    if known is None or (known.task.done() and (known.task.cancelled() or known.task.exception() is not None)):
        # Loops that were closed without a word have left theirs behind.
        for other in [other for other in _OPEN if other.is_closed()]:
            del _OPEN[other]
        known = _OPEN[loop] = _Opening(loop)
    return await asyncio.shield(known.task)


async def close_default_backend() -> None:
    """Close the running loop's backend, if it was opened; the next use opens a new one."""
    known = _OPEN.pop(asyncio.get_running_loop(), None)
    if known is not None and not known.task.cancelled():
        await (await known.task).close()
        if known.keeper is not None:
            await known.keeper.aclose()
