"""How many jobs may be held, and what gives way when that is not enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from jobqueue.backends.memory.shelf import Shelf, copied
from jobqueue.errors import BackendFull
from jobqueue.model.events import EventType
from jobqueue.model.record import JobRecord, JobState


class Room:
    """The bound over all queues of one backend."""

    def __init__(
        self,
        shelves: Mapping[str, Shelf],
        *,
        max_jobs: int,
        when_full: Literal["refuse", "drop"],
        on_drop: Callable[[str, JobRecord], None] | None,
    ) -> None:
        self._shelves = shelves
        self._max_jobs = max_jobs
        self._drops = when_full == "drop"
        self._on_drop = on_drop

    def make(self, shelf: Shelf, count: int, now_ms: int) -> bool:
        """Make room for ``count`` more jobs on ``shelf``, or raise BackendFull with nothing dropped; True if others
        were dropped for them.
        """
        excess = sum(len(other.jobs) for other in self._shelves.values()) + count - self._max_jobs
        if excess <= 0:
            return False
        if not self._drops or excess > sum(other.count(JobState.WAITING) for other in self._shelves.values()):
            raise BackendFull(
                f"the memory backend holds its limit of {self._max_jobs} jobs; nothing was written. Run workers, keep "
                "fewer finished jobs, or use Redis"
            )
        for _ in range(excess):
            self._drop_oldest(shelf, now_ms)
        return True

    def _drop_oldest(self, shelf: Shelf, now_ms: int) -> None:
        # A queue that overflows pays for itself first, and only then for others.
        giving = shelf
        if not shelf.count(JobState.WAITING):
            giving = max(self._shelves.values(), key=lambda other: other.count(JobState.WAITING))
        oldest = min((giving.jobs[job_id] for job_id in giving.heads()), key=lambda job: job.created_ms)
        giving.remove(oldest)
        giving.tell(EventType.REMOVED, oldest.id, now_ms)
        if self._on_drop is not None:
            self._on_drop(giving.queue, copied(oldest))
