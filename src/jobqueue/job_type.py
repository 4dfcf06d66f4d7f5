"""JobType: the contract of a job type, which a producer can hold without importing the processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic

from typing_extensions import TypeVar

from jobqueue.model.naming import checked_name
from jobqueue.model.options import JobOptions, Keep, checked_priority, options
from jobqueue.model.payloads import ANY_JSON, Payload
from jobqueue.model.retry import Retry
from jobqueue.model.times import Seconds, span_ms
from jobqueue.model.unique import Unique, as_unique

DataT = TypeVar("DataT", default=Any)
ResultT = TypeVar("ResultT", default=Any)

UniqueOf = Unique | str | Callable[[Any], Unique | str | None]
"""What a job type may declare: one key for all its jobs, or a function of a job's data; None for a job without one."""


class JobType(Generic[DataT, ResultT]):
    """A job type's name, what its data and result look like, and its defaults.

        TICKET_CREATED = JobType("ticket.created", TicketCreated, queue="tickets", timeout=30)

        await tickets.enqueue(TICKET_CREATED, TicketCreated(...))

    ``data`` and ``result`` are pydantic models or any annotation pydantic knows; ``data=None`` takes any JSON.
    ``queue`` is where ``processor.enqueue`` puts jobs of this type. Options given here are stronger than the
    queue's and weaker than the call's. ``unique`` is one key (or Unique) for all jobs of the type, or a function that
    makes it of a job's data: ``unique=lambda report: f"report-{report.id}"``. Raises InvalidName, InvalidOption or
    InvalidData.
    """

    __slots__ = ("data", "expires_in_ms", "name", "options", "priority", "queue", "result", "unique")

    def __init__(
        self,
        name: str,
        data: type[DataT] | None = None,
        *,
        result: type[ResultT] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        retry: Retry | int | bool | None = None,
        timeout: Seconds | None = None,
        keep: Keep | None = None,
        expires_in: Seconds | None = None,
        tags: Iterable[str] = (),
        unique: UniqueOf | None = None,
    ) -> None:
        self.name = checked_name("job type", name)
        self.data = ANY_JSON if data is None else Payload(data)
        self.result = ANY_JSON if result is None else Payload(result)
        self.queue = None if queue is None else checked_name("queue", queue)
        self.priority = None if priority is None else checked_priority(priority)
        self.expires_in_ms = None if expires_in is None else span_ms("expires_in", expires_in, zero=False)
        self.options: JobOptions = options(retry=retry, timeout=timeout, keep=keep, tags=tags)
        self.unique = checked_unique(unique)

    def unique_of(self, data: bytes) -> Unique | None:
        """What the type declares for a job that carries ``data``. Raises what its function raises, InvalidInput."""
        if self.unique is None or isinstance(self.unique, Unique):
            return self.unique
        made = self.unique(self.data.decode(data))
        return None if made is None else as_unique(made)

    def agrees_with(self, other: JobType[Any, Any]) -> bool:
        """Whether both declare the same data under the same name."""
        return self.name == other.name and self.data.annotation == other.data.annotation

    def __repr__(self) -> str:
        return f"JobType({self.name!r}, {self.data.name})"


def checked_unique(declared: UniqueOf | None) -> Unique | Callable[[Any], Unique | str | None] | None:
    """What a job type may declare. Raises InvalidName, InvalidOption."""
    if declared is None or (callable(declared) and not isinstance(declared, str)):
        return declared
    return as_unique(declared)
