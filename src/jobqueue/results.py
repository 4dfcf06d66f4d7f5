"""Waiting for a job or a flow to finish: by its event, never by polling.

One reader for each backend and queue follows the events for as long as somebody waits, and a few seconds longer:
whoever waits for one job after the other finds it reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar
from weakref import WeakKeyDictionary

from jobqueue.backends.protocol import Backend
from jobqueue.errors import BackendUnavailable, JobNotFound
from jobqueue.model.asked import patience
from jobqueue.model.events import FINISHING, Event, EventType
from jobqueue.model.record import JobRecord
from jobqueue.model.times import Seconds
from jobqueue.patience import Patience

_READ_SECONDS = 30.0
_LINGER_SECONDS = 5.0

FoundT = TypeVar("FoundT")
Finish = JobRecord | Event
"""How a wait ends: with the finished job, or with its finishing event where the job itself is gone already."""


@asynccontextmanager
async def within(timeout: Seconds | None, what: str) -> AsyncGenerator[None]:
    """Wait for the end of ``what`` no longer than that. Raises InvalidOption, and TimeoutError which says for what."""
    seconds = patience(timeout)
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TimeoutError(f"{what} has not finished within {seconds:g} s; it goes on") from None


class FinishReader:
    """Follows one queue's events and wakes whoever waits for the job or flow that an event is about."""

    def __init__(self, backend: Backend, queue: str) -> None:
        self._backend = backend
        self._queue = queue
        self._waiters: dict[str, list[asyncio.Future[Event]]] = {}
        self._ready: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._leaving: asyncio.TimerHandle | None = None

    async def finished(self, job_id: str) -> Finish:
        """Return when the job has finished. Raises JobNotFound if there is no trace of it, BackendError if it
        cannot look.

        The cursor is taken before the job is looked at, so that nothing falls between the two.
        """
        with self._waiting(job_id) as future:
            await self._follow()
            record = await self._backend.get(self._queue, job_id)
            if record is None:
                return await self._past_finish(job_id)
            if record.state.finished:
                return record
            event = await future
        if event.type is EventType.COMPLETED and event.detail:
            return event
        return await self._backend.get(self._queue, job_id) or event

    async def flow_ended(self, flow: str, look: Callable[[], Awaitable[FoundT | None]]) -> FoundT:
        """Return what ``look`` finds: it is called at once, and, until it finds something, when the flow has ended."""
        while True:
            with self._waiting(_flow_key(flow)) as future:
                await self._follow()
                found = await look()
                if found is not None:
                    return found
                await future

    async def _past_finish(self, job_id: str) -> Event:
        """The finishing event of a job that retention dropped before anyone looked."""
        cursor = "0"
        found: Event | None = None
        while True:
            page = await self._backend.events(self._queue, cursor, 0)
            for event in page.events:
                if event.job_id == job_id and event.type in FINISHING:
                    found = event
            if not page.events:
                break
            cursor = page.cursor
        if found is None:
            raise JobNotFound(
                f"no job {job_id!r} in queue {self._queue!r}: it was removed, or finished and dropped long ago"
            )
        return found

    async def _follow(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        if self._task is None or self._task.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._read(self._ready), name=f"jobqueue results {self._queue}")
        if self._ready is not None:
            await asyncio.shield(self._ready)

    async def _read(self, ready: asyncio.Future[None]) -> None:
        cursor: str | None = None
        patience = Patience()
        while True:
            try:
                page = await self._backend.events(self._queue, cursor, _READ_SECONDS)
            except BackendUnavailable:
                if not self._waiters:
                    return
                # The waiters' own timeouts end their wait; until then the server may come back.
                await asyncio.sleep(patience.pause())
                continue
            except Exception as error:  # noqa: BLE001  (whatever it is, those who wait must hear of it)
                if not ready.done():
                    ready.set_exception(error)
                    return
                for futures in self._waiters.values():
                    for future in futures:
                        if not future.done():
                            future.set_exception(error)
                return
            patience.rewarded()
            cursor = page.cursor
            if not ready.done():
                ready.set_result(None)
            for event in page.events:
                key = event.job_id if event.type in FINISHING else _flow_key(event.job_id)
                if event.type in FINISHING or event.type is EventType.FLOWED:
                    for future in self._waiters.get(key, ()):
                        if not future.done():
                            future.set_result(event)

    @contextmanager
    def _waiting(self, key: str) -> Generator[asyncio.Future[Event]]:
        future: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, []).append(future)
        try:
            yield future
        finally:
            self._forget(key, future)

    def _forget(self, key: str, future: asyncio.Future[Event]) -> None:
        futures = self._waiters.get(key, [])
        if future in futures:
            futures.remove(future)
        if not futures:
            self._waiters.pop(key, None)
        if not self._waiters and self._leaving is None:
            self._leaving = asyncio.get_running_loop().call_later(_LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        self._leaving = None
        if not self._waiters and self._task is not None:
            self._task.cancel()
            self._task = None


def _flow_key(flow: str) -> str:
    # No job's id has a space.
    return f"flow {flow}"


_READERS: WeakKeyDictionary[Backend, dict[str, FinishReader]] = WeakKeyDictionary()


def finish_reader(backend: Backend, queue: str) -> FinishReader:
    """The reader that everyone who waits on this queue shares."""
    readers = _READERS.setdefault(backend, {})
    if queue not in readers:
        readers[queue] = FinishReader(backend, queue)
    return readers[queue]
