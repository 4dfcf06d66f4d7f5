"""What is told to listeners in a worker's own process, and who wants to hear it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from jobqueue.job import Job
from jobqueue.model.record import JobError


class Happening(StrEnum):
    """What a worker can tell of its jobs. The values are the names that ``@on`` takes."""

    COMPLETED = "job.completed"
    FAILED = "job.failed"
    RETRYING = "job.retrying"
    RELEASED = "job.released"
    CANCELLED = "job.cancelled"


@dataclass(frozen=True, slots=True)
class JobEvent:
    """The end of an attempt, as the backend has accepted it.

    ``job`` is the job as it was run. ``result`` is what a completed one returned, as JSON gives it; ``error`` why an
    attempt failed; ``reason`` why it was cancelled or handed back; ``retry_in`` the seconds until the next attempt.
    """

    name: Happening
    job: Job[Any, Any]
    result: Any = None
    error: JobError | None = None
    reason: str = ""
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """A function, and what it wants to hear; None stands for all queues, or all job types."""

    function: Callable[[JobEvent], Awaitable[object] | object]
    names: frozenset[Happening]
    queue: str | None
    type: str | None

    @property
    def is_async(self) -> bool:
        """Whether it is to be awaited; an object with an async ``__call__`` is, too."""
        call = cast("object", getattr(self.function, "__call__", None))  # noqa: B004  (it is known to be callable)
        return inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)

    def wants(self, event: JobEvent) -> bool:
        """Whether this event is for it."""
        return (
            event.name in self.names
            and self.queue in (None, event.job.queue)
            and self.type in (None, event.job.type)
        )  # fmt: skip
