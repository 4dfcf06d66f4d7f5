"""The pytest plugin: ``clock``, ``queue`` and ``worker`` fixtures, found by pytest without being named.

    async def test_reminder(queue, worker, clock):
        await queue.enqueue("reminder.send", {"to": "x"}, delay=86_400)
        await clock.advance(hours=24)
        await worker.drain()
        assert (await queue.counts()).completed == 1

All three stand on the memory backend under a virtual clock, so that nothing sleeps and nothing is left behind.
The fixtures that are ``async`` need pytest-asyncio (or any plugin that runs async fixtures).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from jobqueue.backends.memory import MemoryBackend
from jobqueue.queue import Queue
from jobqueue.testing.clock import ManualClock
from jobqueue.worker.worker import Worker

try:
    import pytest_asyncio
except ImportError:
    _async_fixture = pytest.fixture
else:
    _async_fixture = pytest_asyncio.fixture


@pytest.fixture
def clock() -> ManualClock:
    """A clock that moves only when told to: ``await clock.advance(seconds=2)``."""
    return ManualClock()


@pytest.fixture
def queue(clock: ManualClock) -> Queue:
    """A queue named ``test`` in memory, under ``clock``."""
    return Queue("test", backend=MemoryBackend(clock=clock))


@_async_fixture
async def worker(queue: Queue, clock: ManualClock) -> AsyncGenerator[Worker]:
    """A worker on ``queue`` with the default registry's processors, running; stopped afterwards without grace."""
    made = Worker(queue, clock=clock, grace=0)
    await made.start()
    yield made
    await made.stop()
