"""A producer for programs that are not asyncio: Django, Flask, scripts.

A SyncQueue has the options of a Queue and waits for each answer. Behind it one thread a process runs an event loop
with one backend for each URL; it starts with the first call and ends with the process. Calls of many threads travel
together.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import CancelledError
from typing import Any, Generic, Unpack, overload

from typing_extensions import TypeVar

from jobqueue.backends.protocol import Backend
from jobqueue.connect import connect
from jobqueue.errors import BackendClosed, JobQueueError
from jobqueue.job import Job
from jobqueue.job_type import JobType
from jobqueue.model.limits import Limits
from jobqueue.model.record import JobError, JobState
from jobqueue.model.times import Seconds
from jobqueue.new_job import EnqueueOptions, JobDefaults, NewJob
from jobqueue.operating import Counts
from jobqueue.queue import Queue

DataT = TypeVar("DataT", default=Any)
ResultT = TypeVar("ResultT", default=Any)
ReturnT = TypeVar("ReturnT")

_END_SECONDS = 5.0
_CLOSED = "close_sync() was called meanwhile, in another thread"


class SyncQueue:
    """A queue by name, for code that does not await.

        tickets = SyncQueue("tickets")                  # REDIS_URL, as with Queue
        job = tickets.enqueue("ticket.created", {"ticket_id": "42"}, priority=1)
        job.result(timeout=10)

    ``url``, ``namespace`` and the fallback are those of ``connect``; queues with the same share a connection. May be
    used from many threads, and after a fork. In the thread of a running event loop every call raises JobQueueError: use
    Queue there. ``defaults``, ``dead_letter`` and ``limits`` are those of Queue. Raises InvalidName, InvalidOption.
    """

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        namespace: str | None = None,
        defaults: JobDefaults | None = None,
        dead_letter: str | None = "dead-letter",
        limits: Limits | None = None,
    ) -> None:
        self.name = Queue(name, defaults=defaults, dead_letter=dead_letter, limits=limits).name
        self._defaults = defaults
        self._dead_letter = dead_letter
        self._limits = limits
        self._address = (url, namespace)
        self._made: tuple[_Host, Queue] | None = None

    @overload
    def enqueue(
        self, type: JobType[DataT, ResultT], data: DataT, **options: Unpack[EnqueueOptions]
    ) -> SyncJob[DataT, ResultT]: ...
    @overload
    def enqueue(self, type: str, data: object = None, **options: Unpack[EnqueueOptions]) -> SyncJob[Any, Any]: ...
    def enqueue(
        self,
        type: str | JobType[Any, Any],  # noqa: A002  (the design's word for it)
        data: object = None,
        **options: Unpack[EnqueueOptions],
    ) -> SyncJob[Any, Any]:
        """Put one job in; on return it is stored. Options and errors as ``Queue.enqueue``."""

        async def call(queue: Queue) -> Job[Any, Any]:
            return await queue.enqueue(type, data, **options)

        return self._job(call)

    def enqueue_many(self, jobs: Sequence[NewJob], *, wait: Seconds | None = None) -> list[SyncJob[Any, Any]]:
        """Put many jobs in, all or none, a thousand in each round trip. Errors as ``Queue.enqueue_many``."""
        host, queue = self.at_work()
        return [SyncJob(self, host, job) for job in host.run(queue.enqueue_many(jobs, wait=wait))]

    def get(self, job_id: str) -> SyncJob[Any, Any] | None:
        """The job, or None."""
        host, queue = self.at_work()
        found = host.run(queue.get(job_id))
        return None if found is None else SyncJob(self, host, found)

    def counts(self) -> Counts:
        """How many jobs are in each state."""
        host, queue = self.at_work()
        return host.run(queue.counts())

    def _job(self, call: Any) -> SyncJob[Any, Any]:
        host, queue = self.at_work()
        return SyncJob(self, host, host.run(call(queue)))

    def at_work(self) -> tuple[_Host, Queue]:
        """The thread of this process and the queue there; for its jobs."""
        _refuse_in_loop()
        host = _Host.of_this_process()
        if self._made is None or self._made[0] is not host:
            backend = host.backend(*self._address)
            queue = Queue(
                self.name,
                backend=backend,
                defaults=self._defaults,
                dead_letter=self._dead_letter,
                limits=self._limits,
            )
            self._made = host, queue
        return self._made

    def __repr__(self) -> str:
        return f"SyncQueue({self.name!r})"


class SyncJob(Generic[DataT, ResultT]):
    """A job, as it was when it was read, for code that does not await; made by a SyncQueue."""

    def __init__(self, of: SyncQueue, host: _Host, job: Job[DataT, ResultT]) -> None:
        self._of = of
        self._host: _Host = host
        self._job = job

    @property
    def id(self) -> str:
        """Unique within its queue."""
        return self._job.id

    @property
    def queue(self) -> str:
        """The name of its queue."""
        return self._job.queue

    @property
    def type(self) -> str:
        """Its job type's name."""
        return self._job.type

    @property
    def data(self) -> DataT:
        """Its payload."""
        return self._job.data

    @property
    def state(self) -> JobState:
        """Where it stood in its life when it was read."""
        return self._job.state

    @property
    def error(self) -> JobError | None:
        """Why the last failed attempt failed."""
        return self._job.error

    @property
    def result_value(self) -> ResultT | None:
        """What the processor returned; None unless it has completed."""
        return self._job.result_value

    def result(self, timeout: Seconds | None = None) -> ResultT:
        """Wait until the job has finished; returns and raises as ``Job.result``."""
        return self._run(lambda job: job.result(timeout))

    def refresh(self) -> None:
        """Read the job again. Raises JobNotFound."""
        self._run(lambda job: job.refresh())

    def cancel(self, reason: str = "") -> JobState:
        """Cancel it. Raises InvalidState, JobNotFound."""
        return self._run(lambda job: job.cancel(reason))

    def retry(self) -> None:
        """Run a finished job again. Raises InvalidState, JobNotFound."""
        self._run(lambda job: job.retry())

    def _run(self, call: Callable[[Job[DataT, ResultT]], Coroutine[Any, Any, ReturnT]]) -> ReturnT:
        host, queue = self._of.at_work()
        if host is not self._host:
            # After a fork, or after close_sync(), the job's old connection is nobody's.
            self._host, self._job = host, self._job.over(host.run(queue.backend()))
        return host.run(call(self._job))

    def __repr__(self) -> str:
        return repr(self._job)


class _Host:
    """The thread with the event loop. One a process: what a fork inherits is only the memory of it."""

    _here: _Host | None = None
    _starting = threading.Lock()

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._backends: dict[tuple[str | None, str | None], Backend] = {}
        self._opening = threading.Lock()
        self._thread = threading.Thread(target=self._loop.run_forever, name="jobqueue sync", daemon=True)
        self._thread.start()
        atexit.register(self.end)

    @classmethod
    def of_this_process(cls) -> _Host:
        with cls._starting:
            if cls._here is None:
                cls._here = _Host()
            return cls._here

    def run(self, work: Coroutine[Any, Any, ReturnT]) -> ReturnT:
        """Have this awaited in the thread, and wait for what comes of it."""
        try:
            _refuse_in_loop()
        except JobQueueError:
            work.close()
            raise
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError:
            work.close()
            raise BackendClosed(_CLOSED) from None
        try:
            return future.result()
        except CancelledError:
            raise BackendClosed(_CLOSED) from None
        except BaseException:
            future.cancel()
            raise

    def backend(self, url: str | None, namespace: str | None) -> Backend:
        """The backend of an address, opened once. Raises what ``connect`` raises, and tries again then."""
        with self._opening:
            if (url, namespace) not in self._backends:
                self._backends[url, namespace] = self.run(_opened(url, namespace))
            return self._backends[url, namespace]

    def end(self) -> None:
        """Close the backends and end the thread; nothing in a process that was forked from this one."""
        if self.pid != os.getpid() or self._loop.is_closed():
            return
        atexit.unregister(self.end)
        if _Host._here is self:
            _Host._here = None
        closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
        try:
            closing.result(_END_SECONDS)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_END_SECONDS)
            if not self._thread.is_alive():
                self._loop.close()

    async def _close(self) -> None:
        for backend in self._backends.values():
            await backend.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


def _forget() -> None:
    # In a child of a fork there is no thread, and the lock may be held for ever by one that is not there.
    _Host._here = None  # pyright: ignore[reportPrivateUsage]
    _Host._starting = threading.Lock()  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def close_sync() -> None:
    """Close what SyncQueues of this process have opened; the next call opens it anew."""
    host = _Host._here  # pyright: ignore[reportPrivateUsage]
    if host is not None:
        host.end()


async def _opened(url: str | None, namespace: str | None) -> Backend:
    return await connect(url, namespace=namespace)


def _refuse_in_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise JobQueueError("a SyncQueue would block this event loop: use Queue and await it")
