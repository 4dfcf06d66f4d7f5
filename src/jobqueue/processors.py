"""What @processor makes of a function: a Processor, or a BatchProcessor that takes many jobs at once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Generic, Literal, Unpack

from typing_extensions import TypeVar

from jobqueue.errors import ConfigurationError
from jobqueue.job import Job
from jobqueue.job_type import JobType
from jobqueue.model.batch import Batch
from jobqueue.new_job import EnqueueOptions
from jobqueue.queue import Queue

DataT = TypeVar("DataT")
ReturnT = TypeVar("ReturnT")

Place = Literal["loop", "thread", "process"]


def plain_result(returned: Any) -> Any:
    """What a plain function has returned. Raises TypeError for an awaitable, which nobody would await."""
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        raise TypeError(
            "a plain function returned an awaitable: make the processor, and whatever wraps it, an async function"
        )
    return returned


class Registered(Generic[DataT]):
    """A function that stands for a job type; ``enqueue`` puts a job of that type in."""

    def __init__(self, function: Callable[..., Any], job_type: JobType[DataT, Any], place: Place) -> None:
        self.job_type = job_type
        self.place: Place = place
        self.concurrency: int | None = None
        self._queue: Queue | None = None
        for name in functools.WRAPPER_ASSIGNMENTS:
            setattr(self, name, getattr(function, name, None))
        self.__wrapped__ = function

    async def enqueue(
        self, data: DataT, *, queue: Queue | None = None, **options: Unpack[EnqueueOptions]
    ) -> Job[DataT, Any]:
        """Put a job of this type into ``queue``, or into the queue that its type names, on the backend that the
        environment names: inside a worker on another one give ``queue``. Options and errors as ``Queue.enqueue``.
        """
        if queue is None:
            if self._queue is None:
                if self.job_type.queue is None:
                    raise ConfigurationError(
                        f"{self.job_type.name!r} names no queue: pass queue=, or declare one: "
                        f'@processor("{self.job_type.name}", queue="…")'
                    )
                self._queue = Queue(self.job_type.queue)
            queue = self._queue
        return await queue.enqueue(self.job_type, data, **options)


class Processor(Registered[DataT], Generic[DataT, ReturnT]):
    """A registered processor: called directly it is the plain function.

    ``ReturnT`` is what calling it gives: an awaitable for ``async def``.
    """

    def __init__(
        self,
        function: Callable[[Job[DataT, Any]], ReturnT],
        job_type: JobType[DataT, Any],
        place: Place,
        concurrency: int | None = None,
    ) -> None:
        super().__init__(function, job_type, place)
        self.function = function
        self.concurrency = concurrency

    def __call__(self, job: Job[DataT, Any]) -> ReturnT:
        return self.function(job)

    def __repr__(self) -> str:
        return f"<processor {self.job_type.name} {self.function.__qualname__}>"


class BatchProcessor(Registered[DataT], Generic[DataT, ReturnT]):
    """A registered processor of many jobs at once: called directly it is the plain function."""

    def __init__(
        self,
        function: Callable[[list[Job[DataT, Any]]], ReturnT],
        job_type: JobType[DataT, Any],
        place: Place,
        batch: Batch,
    ) -> None:
        super().__init__(function, job_type, place)
        self.function = function
        self.batch = batch

    def __call__(self, jobs: list[Job[DataT, Any]]) -> ReturnT:
        return self.function(jobs)

    def __repr__(self) -> str:
        return f"<batch processor {self.job_type.name} {self.function.__qualname__}>"
