"""When a schedule runs: which tick comes next, and what becomes of ticks that nobody was there for.

A *tick* is the moment that the plan names; it is *due* a little later if there is jitter. Everything here is pure: the
moment it is comes from the backend.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from jobqueue.errors import InvalidOption
from jobqueue.model.cron import Cron, zone
from jobqueue.model.times import LAST_MOMENT_MS

CatchUp = Literal["skip", "one", "all"]
Overlap = Literal["allow", "skip"]

MISSED_MS = 60_000
"""A tick that is found later than this was missed: nobody was there. What is found sooner is only late."""
MOST_CAUGHT_UP = 100
"""The most ticks that ``catch_up="all"`` makes up for at once; older ones are dropped."""


@dataclass(frozen=True)
class Plan:
    """When a schedule runs. Times are in ms since 1970, spans in ms. Checked by ``checked_plan``."""

    cron: str | None = None
    every_ms: int | None = None
    timezone: str = "UTC"
    start_ms: int | None = None
    end_ms: int | None = None
    limit: int | None = None
    jitter_ms: int = 0
    catch_up: CatchUp = "skip"
    overlap: Overlap = "allow"

    def encode(self) -> bytes:
        """Compact JSON; equal plans give equal bytes."""
        return _PLAN.dump_json(self, exclude_defaults=True)

    @staticmethod
    def decode(stored: bytes) -> Plan:
        """What ``encode`` made. Raises InvalidOption, also where this machine lacks the time zone."""
        try:
            plan = _PLAN.validate_json(stored)
        except ValidationError:
            raise InvalidOption("the stored plan is not one of ours") from None
        return checked_plan(plan)

    @property
    def timing(self) -> tuple[object, ...]:
        """What the ticks depend on: plans that agree in it have the same ticks."""
        return self.cron, self.every_ms, self.timezone, self.start_ms, self.end_ms, self.jitter_ms

    def after(self, ms: int, anchor_ms: int) -> int | None:
        """The first tick later than ``ms``, None if none will come. ``anchor_ms`` is what ``every`` counts from where
        there is no start."""
        if self.every_ms is not None:
            base = anchor_ms + self.every_ms if self.start_ms is None else self.start_ms
            tick = base + max(0, (ms - base) // self.every_ms + 1) * self.every_ms
        else:
            found = self._crontab.after(ms if self.start_ms is None else max(ms, self.start_ms - 1))
            if found is None:
                return None
            tick = found
        return tick if tick <= (LAST_MOMENT_MS if self.end_ms is None else self.end_ms) else None

    def ticks(self, ms: int, anchor_ms: int) -> Iterator[int]:
        """Every tick later than ``ms``."""
        tick = self.after(ms, anchor_ms)
        while tick is not None:
            yield tick
            tick = self.after(tick, anchor_ms)

    def due_ms(self, schedule: str, tick_ms: int) -> int:
        """When a tick is to be fired. The jitter of a tick is the same wherever it is asked for."""
        if not self.jitter_ms:
            return tick_ms
        drawn = blake2b(f"{schedule}:{tick_ms}".encode(), digest_size=8).digest()
        return min(tick_ms + int.from_bytes(drawn) % (self.jitter_ms + 1), LAST_MOMENT_MS)

    @property
    def words(self) -> str:
        """Such as "every day at 00:00, Europe/Berlin" or "every 90 seconds"."""
        if self.every_ms is None:
            return self._crontab.words
        for unit, ms in (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000)):
            if self.every_ms % ms == 0:
                number = self.every_ms // ms
                return f"every {unit}" if number == 1 else f"every {number} {unit}s"
        return f"every {self.every_ms / 1000:g} seconds"

    @cached_property
    def _crontab(self) -> Cron:
        return Cron(self.cron or "", self.timezone)


_PLAN = TypeAdapter(Plan)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a due schedule does: ``ticks`` get a job each, ``next_ms`` is the tick that comes after; ``missed`` says
    that some were dropped."""

    ticks: tuple[int, ...]
    next_ms: int | None
    missed: bool = False


def turn(plan: Plan, schedule: str, tick_ms: int, now_ms: int, *, anchor_ms: int, runs: int = 0) -> Turn:
    """What to do about a schedule whose tick ``tick_ms`` is due at ``now_ms``, having run ``runs`` times.

    Costs the reckoning of one tick where nothing was missed, and of a few hundred at the most.
    """
    following = plan.after(tick_ms, anchor_ms)
    missed = False
    if following is None or plan.due_ms(schedule, following) > now_ms:
        ticks = [tick_ms]
    else:
        every = _latest(plan, tick_ms, now_ms, anchor_ms, MOST_CAUGHT_UP if plan.catch_up == "all" else 8)
        ticks = [tick for tick in every if plan.due_ms(schedule, tick) <= now_ms] or [tick_ms]
        following = plan.after(ticks[-1], anchor_ms)
        if plan.catch_up == "all":
            missed = ticks[0] > tick_ms
        else:
            missed, ticks = True, ticks[-1:]
    if plan.catch_up == "skip" and now_ms - plan.due_ms(schedule, ticks[-1]) > MISSED_MS:
        missed, ticks = True, []
    if plan.limit is not None:
        ticks = ticks[: max(0, plan.limit - runs)]
    return Turn(tuple(ticks), following, missed)


def _latest(plan: Plan, tick_ms: int, now_ms: int, anchor_ms: int, count: int) -> list[int]:
    """The last ``count`` ticks from ``tick_ms`` to now. It looks back from now in growing steps, so that ten years of
    missed minutes cost no more than an hour of them."""
    if plan.every_ms is not None:
        last = (now_ms - tick_ms) // plan.every_ms
        found = [tick_ms + number * plan.every_ms for number in range(max(0, last - count + 1), last + 1)]
        return [tick for tick in found if plan.end_ms is None or tick <= plan.end_ms][-count:]
    span = 60_000
    while True:
        begin = max(tick_ms - 1, now_ms - span)
        found: list[int] = []
        for tick in plan.ticks(begin, anchor_ms):
            if tick > now_ms:
                break
            found.append(tick)
        if len(found) >= count or begin < tick_ms:
            return found[-count:]
        span *= 4


def checked_plan(plan: Plan) -> Plan:
    """The plan, if it can be kept. Raises InvalidOption."""
    if (plan.cron is None) == (plan.every_ms is None):
        raise InvalidOption("give cron or every, just one of them")
    if plan.cron is None:
        zone(plan.timezone)
    else:
        _ = plan.words
    if plan.every_ms is not None and plan.every_ms < SHORTEST_MS:
        raise InvalidOption(f"every must be {SHORTEST_MS / 1000:g} seconds or more, not {plan.every_ms / 1000:g}")
    if plan.start_ms is not None and plan.end_ms is not None and plan.end_ms < plan.start_ms:
        raise InvalidOption("end is before start")
    for name, bound in (("start", plan.start_ms), ("end", plan.end_ms)):
        if bound is not None and not 0 <= bound <= LAST_MOMENT_MS:
            raise InvalidOption(f"{name} is no moment that a datetime can hold")
    if plan.limit is not None and not 1 <= plan.limit <= MOST_RUNS:
        raise InvalidOption(f"limit must be a whole number from 1 to {MOST_RUNS}, not {plan.limit!r}")
    if not 0 <= plan.jitter_ms <= LONGEST_JITTER_MS or (plan.every_ms is not None and plan.jitter_ms > plan.every_ms):
        raise InvalidOption("jitter must be a day at the most, and no longer than every")
    return plan


SHORTEST_MS = 100
LONGEST_JITTER_MS = 86_400_000
MOST_RUNS = 2**31 - 1


def tick_id(schedule: str, tick_ms: int) -> str:
    """The id of a tick's job: ``nightly:2026-01-01T00:00:00Z``. One tick, one id, one job."""
    whole, ms = divmod(tick_ms, 1000)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{schedule}:{text}.{ms:03}Z" if ms else f"{schedule}:{text}Z"


def upcoming(plan: Plan, tick_ms: int | None, anchor_ms: int, count: int) -> list[int]:
    """The tick that comes next and those after it, ``count`` in all."""
    return [] if tick_ms is None else [tick_ms, *islice(plan.ticks(tick_ms, anchor_ms), count - 1)]
