"""The process-wide backend that a Queue without one of its own uses: opened on first use, one for each event loop."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

from jobqueue.backends.protocol import Backend
from jobqueue.connect import connect

_OPEN: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Task[Backend]] = WeakKeyDictionary()


async def default_backend() -> Backend:
    """The running loop's backend, as the environment configures it. Raises what ``connect`` raises, and tries
    again then.
    """
    loop = asyncio.get_running_loop()
    opening = _OPEN.get(loop)
    if opening is None or (opening.done() and (opening.cancelled() or opening.exception() is not None)):
        opening = loop.create_task(_open(), name="jobqueue default backend")
        _OPEN[loop] = opening
    return await asyncio.shield(opening)


async def close_default_backend() -> None:
    """Close the running loop's backend, if it was opened; the next use opens a new one."""
    opening = _OPEN.pop(asyncio.get_running_loop(), None)
    if opening is not None and not opening.cancelled():
        await (await opening).close()


async def _open() -> Backend:
    return await connect()
