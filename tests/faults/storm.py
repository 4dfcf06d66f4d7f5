"""Callers that are cancelled at any moment of their calls, and a look at what the others are told meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from jobqueue import Queue
from jobqueue.backends import RedisBackend
from tests.faults.scene import Scene

_AT_ONCE = 50
_LONGEST_MS = (5.0, 100.0)

Call = Callable[[str], Coroutine[Any, Any, None]]


async def storm(scene: Scene, queue: Queue) -> int:
    """``plan.times`` calls, each given up after up to 5 ms or up to 100; returns how many were cut short."""
    calls = _Calls(scene, queue)
    backend = await queue.backend()
    assert isinstance(backend, RedisBackend)
    cut = done = 0
    connections: list[int] = []
    while done < scene.plan.times:
        tasks = [asyncio.create_task(calls.any_of_them(f"storm-{done + place}")) for place in range(_AT_ONCE)]
        loop = asyncio.get_running_loop()
        for task in tasks:
            loop.call_later(scene.chance.uniform(0, scene.chance.choice(_LONGEST_MS)) / 1000, task.cancel)
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        cut += sum(isinstance(outcome, asyncio.CancelledError) for outcome in ended)
        for outcome in ended:
            if isinstance(outcome, BaseException) and not isinstance(outcome, asyncio.CancelledError):
                scene.complaints.append(f"a call ended with {outcome!r}")
        done += len(tasks)
        connections.append(await asyncio.to_thread(scene.server.connections))
    # One that is lost with a call would be missing for each of them, in the second half as in the first.
    early, late = max(connections[: len(connections) // 2 + 1]), connections[-1]
    if late > early + _AT_ONCE // 10:
        scene.complaints.append(f"there were {early} connections by half-time and {late} in the end")
    if not 0 < cut < done:
        scene.complaints.append(f"of {done} calls {cut} were cut short: it should be some, not all and not none")
    return cut


class _Calls:
    """The calls of a producer, each of which knows what it must be told."""

    def __init__(self, scene: Scene, queue: Queue) -> None:
        self._scene = scene
        self._queue = queue

    async def any_of_them(self, job_id: str) -> None:
        await self._scene.chance.choice((self._enqueue, self._get, self._missing, self._result, self._counts))(job_id)

    async def _enqueue(self, job_id: str) -> None:
        self._scene.attempted.add(job_id)
        job = await self._queue.enqueue("work", 0, job_id=job_id)
        self._scene.ledger.write("acknowledged", job_id)
        self._expect(job.id, job_id)

    async def _get(self, job_id: str) -> None:
        job_id += "-got"
        self._scene.attempted.add(job_id)
        await self._queue.enqueue("work", 0, job_id=job_id)
        self._scene.ledger.write("acknowledged", job_id)
        job = await self._queue.get(job_id)
        self._expect(job and job.id, job_id)

    async def _missing(self, job_id: str) -> None:
        self._expect(await self._queue.get(f"nobody-{job_id}"), None)

    async def _result(self, job_id: str) -> None:
        number = int(job_id.removeprefix("storm-"))
        job_id += "-waited"
        self._scene.attempted.add(job_id)
        job = await self._queue.enqueue("work", number, job_id=job_id)
        self._scene.ledger.write("acknowledged", job_id)
        self._expect(await job.result(timeout=60), number)

    async def _counts(self, _: str) -> None:
        counts = await self._queue.counts()
        if counts.waiting < 0:
            self._scene.complaints.append(f"counted {counts}")

    def _expect(self, told: object, wanted: object) -> None:
        if told != wanted:
            self._scene.complaints.append(f"asked for {wanted}, was told {told}")
