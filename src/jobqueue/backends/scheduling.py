"""The part of the seam that schedules need: what is stored of one, and how it is fired once a tick by many workers.

A backend cannot read crontabs, so it is told what comes next. It promises two things: nothing is changed unless it
still stands as the caller saw it (``revision`` and ``tick_ms`` are compared in the same step that changes them), and
a firing puts its jobs in and moves the schedule on in one step. So there is one job a tick, whoever fires, however
often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobqueue.backends.protocol import NewRecord

MOST_SCHEDULES = 100_000
"""The most schedules of one queue."""
HELD_MS = 250
"""For how long a schedule that was handed out as due is not handed out again: ten workers that wake at the same moment
share what is due instead of racing for it. Whoever takes longer loses nothing but the race."""


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A schedule as it is stored. ``plan`` and ``job`` are JSON that no backend looks into.

    ``revision`` is a name that each change of the definition gives it anew. ``tick_ms`` is the moment that comes next
    and ``due_ms`` when it is fired; both are None while the schedule is paused or has ended. ``runs`` counts the jobs
    of ticks, ``skipped`` the ticks that were left out because the last job was unfinished. ``last_job`` is that job,
    made at ``last_ms``.
    """

    id: str
    plan: bytes
    job: bytes
    revision: str
    tick_ms: int | None
    due_ms: int | None
    anchor_ms: int
    paused: bool = False
    declared: bool = False
    runs: int = 0
    skipped: int = 0
    last_job: str = ""
    last_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """Make a schedule, or change it from ``expected`` (its revision now, "" where there is none) to ``revision``.

    Only if its next tick is still ``expected_tick_ms``: a change must not bring a tick back that was fired meanwhile.
    What the schedule has counted stays. ``most`` is how many a queue may have.
    """

    id: str
    expected: str
    expected_tick_ms: int | None
    revision: str
    plan: bytes
    job: bytes
    tick_ms: int | None
    due_ms: int | None
    anchor_ms: int
    paused: bool = False
    declared: bool = False
    most: int = MOST_SCHEDULES


@dataclass(frozen=True, slots=True)
class ScheduleList:
    """Schedules, how many the queue has, and the backend's now."""

    now_ms: int
    records: tuple[ScheduleRecord, ...]
    total: int


@dataclass(frozen=True, slots=True)
class DueSchedules:
    """What is due, and in how many ms (0: more is due) something will next be; None if nothing is in sight."""

    now_ms: int
    records: tuple[ScheduleRecord, ...]
    next_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """Put ``jobs`` in (one a tick, the oldest first) and move the schedule on to ``next_tick_ms``.

    Only if it still has ``revision`` and ``tick_ms``. With ``alone`` a job is left out, and counted as skipped, while
    the schedule's last job is unfinished. A schedule that has run ``limit`` times (0: no limit) has no next tick.
    ``by_hand`` puts the one job in and neither counts it nor moves the schedule.
    """

    id: str
    revision: str
    tick_ms: int | None
    jobs: tuple[NewRecord, ...] = ()
    next_tick_ms: int | None = None
    next_due_ms: int | None = None
    limit: int = 0
    alone: bool = False
    by_hand: bool = False


class Scheduling(Protocol):
    """Schedules of a queue; every id has been checked by the caller."""

    async def write_schedule(self, queue: str, change: ScheduleChange) -> bool:
        """Make or change a schedule; False, and nothing written, if it is not as ``change`` expects.

        A schedule that will be due before every other one is told to all workers of the queue at once, by an order
        (see :data:`SCHEDULES_CHANGED`). Raises BackendFull, with nothing written, where the queue has too many or the
        server no memory. A repeat after a lost reply is recognised by its revision.
        """
        ...

    async def remove_schedule(self, queue: str, schedule: str) -> bool:
        """Forget a schedule; False if there is none. Jobs that it has put in stay."""
        ...

    async def find_schedules(
        self,
        queue: str,
        *,
        ids: Sequence[str] | None = None,
        declared: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> ScheduleList:
        """Those of ``ids`` that exist, in that order; or all that were declared in code, by id; or a page of all, by
        when they are due, those that are not to come last."""
        ...

    async def due_schedules(self, queue: str, limit: int) -> DueSchedules:
        """Up to ``limit`` schedules that are due, earliest first, each handed out to nobody else for HELD_MS.

        O(log n) for each. Not repeated by itself: what a lost reply held comes back after HELD_MS.
        """
        ...

    async def fire_schedules(self, queue: str, firings: Sequence[Firing]) -> list[int | None]:
        """Carry out each firing; returns for each how many jobs it put in, None if the schedule was no longer as
        expected.

        A job whose id exists, in any state, is left as it is and counts as put in. Jobs wait, with all that their
        record asks for but its needs (what runs by the clock waits for no other), also while the queue is paused.
        Raises BackendFull with nothing written.
        """
        ...
