"""Group: the operator's handle on the jobs of one group in a queue."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypedDict, Unpack

from jobqueue.backends.operations import Command, PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits
from jobqueue.backends.protocol import Backend
from jobqueue.model.limits import NO_GROUP_LIMITS, GroupLimits, GroupStatus, Rate, changed


@dataclass(frozen=True, slots=True)
class GroupInfo:
    """A group as it stood when it was looked at. ``limits`` is what is set for it alone."""

    name: str
    waiting: int
    active: int
    paused: bool = False
    limits: GroupLimits = NO_GROUP_LIMITS

    @staticmethod
    def of(status: GroupStatus) -> GroupInfo:
        """What a backend says of a group."""
        return GroupInfo(status.name, status.waiting, status.active, status.paused, status.limits)


class GroupChanges(TypedDict, total=False):
    """What may be set for one group: see :class:`~jobqueue.model.limits.GroupLimits`. None: as for all groups."""

    rate: Rate | None
    concurrency: int | None
    max_waiting: int | None
    weight: float | None


class Group:
    """One group of a queue, whether it has jobs or not. Made by ``queue.group(name)``; costs nothing until used."""

    def __init__(self, queue: str, name: str, backend: Callable[[], Awaitable[Backend]]) -> None:
        self.queue = queue
        self.name = name
        self._backend = backend

    async def info(self) -> GroupInfo:
        """How many of its jobs wait and run, whether it is paused, what is set for it; O(log n)."""
        return GroupInfo.of(await (await self._backend()).group(self.queue, self.name))

    async def limit(self, **changes: Unpack[GroupChanges]) -> None:
        """Set some of the group's limits, at once and for all workers; what is not named stays, None takes one back.

            await queue.group("landlord-7").limit(concurrency=2, weight=3)

        They stay when the group has no jobs. Raises InvalidOption.
        """
        limits = changed(NO_GROUP_LIMITS, changes)
        await self._control(SetGroupLimits(self.name, limits, frozenset(changes)))

    async def pause(self) -> None:
        """Nothing more of the group is started, by any worker, until ``resume``; running jobs go on."""
        await self._control(PauseGroup(self.name))

    async def resume(self) -> None:
        """Undo a pause, and end the hold of a ``RateLimited`` that is not over yet; limits hold on."""
        await self._control(ResumeGroup(self.name))

    async def purge(self) -> int:
        """Drop the group's waiting jobs (delayed ones stay); returns how many."""
        return len(await self._control(PurgeGroup(self.name)))

    async def _control(self, command: Command) -> list[str]:
        return await (await self._backend()).control(self.queue, command)

    def __repr__(self) -> str:
        return f"Group({self.queue!r}, {self.name!r})"
