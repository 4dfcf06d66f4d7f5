"""What a queue's handle says of limits and groups."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Unpack

from jobqueue.backends.operations import SetLimits
from jobqueue.backends.protocol import Backend
from jobqueue.errors import InvalidOption
from jobqueue.group import Group, GroupInfo
from jobqueue.model.asked import page
from jobqueue.model.limits import NO_LIMITS, LimitChanges, Limits, changed
from jobqueue.model.naming import checked_group


def checked_limits(value: Limits | None) -> Limits | None:
    """Raises InvalidOption for what is no Limits."""
    if value is not None and not isinstance(value, Limits):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"limits must be Limits(...), not {value!r}")
    return value


_NOTHING: dict[str, Any] = {one.name: getattr(NO_LIMITS, one.name) for one in fields(Limits)}


class Limiting:
    """The part of a :class:`~jobqueue.queue.Queue` that limits are set and groups are looked at with."""

    name: str

    async def backend(self) -> Backend:
        """The backend the queue lives on."""
        raise NotImplementedError

    async def limits(self) -> Limits:
        """What limits hold now."""
        return await (await self.backend()).limits(self.name)

    async def limit(self, **changes: Unpack[LimitChanges]) -> None:
        """Set some limits, at once and for all workers; what is not named stays, None takes one away.

            await queue.limit(rate=Rate(10, per=1), concurrency=50)

        They stand until they are changed again, or until code declares other limits than it did before
        (``Queue(limits=...)``). Raises InvalidOption.
        """
        emptied = {name: _NOTHING[name] if value is None else value for name, value in changes.items()}
        command = SetLimits(changed(NO_LIMITS, emptied), frozenset(changes))
        await (await self.backend()).control(self.name, command)

    def group(self, name: str) -> Group:
        """The handle on one group. Raises InvalidName."""
        return Group(self.name, checked_group(name), self.backend)

    async def groups(self, *, after: str = "", limit: int = 100) -> list[GroupInfo]:
        """Groups with jobs waiting or something set for them, by name; for the next page ``after`` is the last name.

        ``limit`` is at most 1000. Raises InvalidOption.
        """
        page(limit)
        found = await (await self.backend()).groups(self.name, after=after, limit=limit)
        return [GroupInfo.of(status) for status in found]
