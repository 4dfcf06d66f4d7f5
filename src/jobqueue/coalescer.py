"""Concurrent enqueues of one event loop tick become one call to the backend."""

from __future__ import annotations

import asyncio

from jobqueue.backends.protocol import MAX_BATCH, Backend, Enqueued, NewRecord
from jobqueue.errors import BackendError, JobQueueError, QueueFull

_TOLD_AT_ONCE = 50
"""Callers that hear of one call in one turn of the event loop. What they enqueue next is on its way while the others
are told, so that server and callers work at the same time; fewer at once would make calls too small for their cost.
"""


class Coalescer:
    """Gathers the enqueues of one queue.

    Whoever comes alone goes at once, in a call of its own. While it is away, the first enqueue of a tick schedules a
    call, and those that follow in the same tick join it. A caller that is cancelled leaves without harm to the
    others: its job may have been written, as with any call that is cut off.
    """

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._gathered: list[tuple[NewRecord, asyncio.Future[Enqueued]]] = []
        self._under_way: set[asyncio.Task[None]] = set()
        self._someone_alone = False

    async def enqueue(self, backend: Backend, job: NewRecord) -> Enqueued:
        """Write one job, together with whatever else is enqueued in this tick. Raises BackendError."""
        if not self._someone_alone and not self._gathered:
            self._someone_alone = True
            try:
                (enqueued,) = await backend.enqueue(self._queue, [job])
            finally:
                self._someone_alone = False
            return enqueued
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Enqueued] = loop.create_future()
        self._gathered.append((job, answer))
        if len(self._gathered) == 1:
            loop.call_soon(self._send, backend)
        elif len(self._gathered) >= MAX_BATCH:
            self._send(backend)
        return await answer

    def _send(self, backend: Backend) -> None:
        batch, self._gathered = self._gathered, []
        if not batch:
            return
        task = asyncio.get_running_loop().create_task(self._write(backend, batch))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _write(self, backend: Backend, batch: list[tuple[NewRecord, asyncio.Future[Enqueued]]]) -> None:
        try:
            answers = await backend.enqueue(self._queue, [job for job, _ in batch])
        except QueueFull:
            await self._write_singly(backend, batch)
            return
        except BaseException as error:
            reached = error if isinstance(error, Exception) else BackendError("the event loop is shutting down")
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(reached)
            if not isinstance(error, Exception):
                raise
            return
        self._tell([(answer, enqueued) for (_, answer), enqueued in zip(batch, answers, strict=True)])

    def _tell(self, answered: list[tuple[asyncio.Future[Enqueued], Enqueued]]) -> None:
        for answer, enqueued in answered[:_TOLD_AT_ONCE]:
            if not answer.done():
                answer.set_result(enqueued)
        if len(answered) > _TOLD_AT_ONCE:
            asyncio.get_running_loop().call_soon(self._tell, answered[_TOLD_AT_ONCE:])

    async def _write_singly(self, backend: Backend, batch: list[tuple[NewRecord, asyncio.Future[Enqueued]]]) -> None:
        """There is no room for all of them: nobody is refused for the others' sake."""
        for job, answer in batch:
            if answer.done():
                continue
            try:
                (enqueued,) = await backend.enqueue(self._queue, [job])
            except JobQueueError as error:
                if not answer.done():
                    answer.set_exception(error)
            else:
                if not answer.done():
                    answer.set_result(enqueued)
