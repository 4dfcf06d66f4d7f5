"""Enqueues of one tick travel together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from jobqueue import BackendUnavailable, Queue
from jobqueue.backends import MemoryBackend
from jobqueue.backends.protocol import Enqueued, NewRecord


class CountingBackend(MemoryBackend):
    """Memory that counts calls, can be slow and can be away."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[int] = []
        self.away = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()
        self.all_called = asyncio.Event()

    async def enqueue(
        self, queue: str, jobs: Sequence[NewRecord], *, limited: bool = True, wait_ms: int = 0
    ) -> list[Enqueued]:
        self.calls.append(len(jobs))
        self.called.set()
        if sum(self.calls) > 200:
            self.all_called.set()
        await self.gate.wait()
        if self.away:
            raise BackendUnavailable
        return await super().enqueue(queue, jobs)


async def test_one_call_for_one_tick() -> None:
    backend = CountingBackend()
    queue = Queue("tickets", backend=backend)
    jobs = await asyncio.gather(*(queue.enqueue("n", n) for n in range(50)))
    # The first does not wait to see whether there are others.
    assert backend.calls == [1, 49]
    assert [job.data for job in jobs] == list(range(50))


async def test_more_than_a_batch_is_several_calls() -> None:
    backend = CountingBackend()
    queue = Queue("tickets", backend=backend)
    await asyncio.gather(*(queue.enqueue("n", n) for n in range(2500)))
    assert sum(backend.calls) == 2500
    assert max(backend.calls) <= 1000


async def test_a_failure_reaches_everyone() -> None:
    backend = CountingBackend()
    backend.away = True
    queue = Queue("tickets", backend=backend)
    ended = await asyncio.gather(*(queue.enqueue("n", n) for n in range(3)), return_exceptions=True)
    assert [type(error) for error in ended] == [BackendUnavailable] * 3


async def test_one_caller_s_cancellation_harms_nobody() -> None:
    backend = CountingBackend()
    backend.gate.clear()
    queue = Queue("tickets", backend=backend)
    tasks = [asyncio.create_task(queue.enqueue("n", n)) for n in range(3)]
    await backend.called.wait()
    tasks[1].cancel()
    backend.gate.set()
    assert (await tasks[0]).data == 0
    assert (await tasks[2]).data == 2
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]


async def test_what_is_enqueued_next_is_on_its_way_before_everyone_has_heard() -> None:
    backend = CountingBackend()
    queue = Queue("tickets", backend=backend)
    heard: list[int] = []
    heard_when_called: list[int] = []

    async def two(number: int) -> None:
        await queue.enqueue("n", number)
        heard.append(number)
        await queue.enqueue("n", number)
        heard_when_called.append(len(heard))

    await asyncio.gather(*(two(number) for number in range(400)))
    assert sum(backend.calls) == 800
    assert heard == list(range(400)), "all hear in the order in which they came"
    assert min(heard_when_called[1:]) < 400, "a server that works while its callers do is idle for less"


async def test_those_who_hear_later_hear_the_same() -> None:
    backend = CountingBackend()
    backend.gate.clear()
    queue = Queue("tickets", backend=backend)
    tasks = [asyncio.create_task(queue.enqueue("n", n)) for n in range(201)]
    await backend.all_called.wait()
    tasks[150].cancel()
    backend.gate.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(ended[150], asyncio.CancelledError)
    assert [job.data for job in ended if not isinstance(job, BaseException)] == [n for n in range(201) if n != 150]
