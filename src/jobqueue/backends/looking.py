"""What may be asked of a queue, without changing anything: the half of the seam that reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from jobqueue.model.events import Event
from jobqueue.model.limits import GroupStatus, Limits
from jobqueue.model.links import FlowRecord, Input
from jobqueue.model.record import JobRecord, JobState


@dataclass(frozen=True, slots=True)
class Presence:
    """A live worker's lane on one queue, as the registry of workers shows it. ``last_seen_ms`` is the backend's."""

    worker: str
    host: str
    pid: int
    slots: int
    busy: int
    started_ms: int
    name: str = ""
    last_seen_ms: int = 0


@dataclass(frozen=True, slots=True)
class Status:
    """The queue at one moment: the number of jobs in each state, the age of the oldest waiting job in ms (None if none
    waits), and whether it is paused."""

    counts: dict[JobState, int]
    oldest_ms: int | None = None
    paused: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in order, and the cursor to go on from (also when there were none)."""

    events: tuple[Event, ...]
    cursor: str


class Looking(Protocol):
    """What :class:`~jobqueue.backends.protocol.Backend` says of times, repeats and cost holds here too."""

    async def get(self, queue: str, job_id: str) -> JobRecord | None:
        """The job as it stands."""
        ...

    async def find(
        self, queue: str, state: JobState, *, limit: int = 100, offset: int = 0, newest: bool = False
    ) -> list[JobRecord]:
        """Jobs of one state: waiting ones in the order they will be claimed, delayed ones by due time, active ones by
        deadline, finished ones by when they finished. ``newest`` turns the order round."""
        ...

    async def limits(self, queue: str) -> Limits:
        """The limits of the queue as they stand."""
        ...

    async def groups(self, queue: str, *, after: str = "", limit: int = 100) -> list[GroupStatus]:
        """Groups by name, those after ``after``: each with jobs waiting or something set for it; O(log n) for each."""
        ...

    async def group(self, queue: str, name: str) -> GroupStatus:
        """One group as it stands; O(log n)."""
        ...

    async def status(self, queue: str) -> Status:
        """Counts, age and pause in one consistent look; O(1) in the backlog."""
        ...

    async def stats(self, queue: str, minutes: int) -> list[tuple[int, dict[str, int]]]:
        """The counters of the last ``minutes`` (this one included, at most MOST_MINUTES): when each minute began in ms,
        and what the tallies in it add up to; oldest first, without those in which nothing was counted."""
        ...

    async def logs(self, queue: str, job_id: str) -> list[bytes]:
        """The job's log lines (JSON), oldest first."""
        ...

    async def events(self, queue: str, after: str | None, seconds: float) -> EventPage:
        """Events after the cursor ``after``, waiting up to about ``seconds`` of real time for the first one.

        ``after=None`` means from now on: it returns at once, with no events and the present cursor. ``"0"`` means from
        the oldest kept. Safe to cancel.
        """
        ...

    async def queues(self) -> list[str]:
        """The names of all queues that were ever enqueued to or worked on and not obliterated, sorted."""
        ...

    async def workers(self, queue: str) -> list[Presence]:
        """The lanes that are alive on this queue."""
        ...

    async def flow(self, home: str, flow_id: str) -> FlowRecord | None:
        """What a recorded flow remembers; None if it is gone: 100 that have ended are kept, for a week. O(members)."""
        ...

    async def inputs(self, queue: str, job_id: str) -> list[Input]:
        """What a job has waited for and waits for, sorted by name; without what it was told to ignore. O(inputs)."""
        ...

    async def states(self, queue: str, job_ids: Sequence[str]) -> list[JobState | None]:
        """In which state each job is, in input order; at most MAX_BATCH."""
        ...
