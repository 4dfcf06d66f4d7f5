"""What may be limited: how fast and how many jobs start, of a queue, of a type, of a group; and how many may wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypedDict, TypeVar

from jobqueue.errors import InvalidOption
from jobqueue.model.naming import checked_name
from jobqueue.model.times import Seconds, span_ms

HIGHEST_LIMIT = 1_000_000
LONGEST_PERIOD_MS = 31 * 86_400_000
MOST_TYPES = 64
STRIDE = 1_000_000
"""How far one job moves a group of weight 1 along in the order of turns."""

ValueT = TypeVar("ValueT", "Limits", "GroupLimits")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None


def _checked(name: str, value: object, least: int, most: int = HIGHEST_LIMIT) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidOption(f"{name} must be a whole number from {least} to {most}, not {value!r}")


def _is_weight(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.01 <= value <= 100


def checked_concurrency(value: int | None) -> None:
    """Raises InvalidOption for what is no number of jobs."""
    _checked_number("concurrency", value, 1)


def _checked_number(name: str, value: int | None, least: int) -> None:
    if value is not None:
        _checked(name, value, least)


def _checked_rate(value: object) -> None:
    if value is not None and not isinstance(value, Rate):
        raise InvalidOption(f"rate must be a Rate(limit, per=seconds), not {value!r}")


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` jobs are started in any stretch of ``per`` seconds, wherever it begins.

    ``burst`` is how many of them may start at once, from 1 (evenly spaced) to ``limit`` (the default: all); after a
    burst one more may start every ``per / limit`` seconds, and never more than ``limit`` in a period, bursts included.
    Raises InvalidOption.
    """

    limit: int
    per: Seconds = 1.0
    burst: int | None = None

    def __post_init__(self) -> None:
        _checked("rate: limit", self.limit, 1)
        if span_ms("rate: per", self.per, zero=False) > LONGEST_PERIOD_MS:
            raise InvalidOption(f"rate: per must be 31 days at the most, not {self.per!r} seconds")
        if self.burst is not None:
            _checked("rate: burst", self.burst, 1, self.limit)
        # One way to write each rate, so that equal ones compare so.
        object.__setattr__(self, "per", self.per_ms / 1000)
        object.__setattr__(self, "burst", None if self.burst == self.limit else self.burst)

    @property
    def per_ms(self) -> int:
        """The period in ms."""
        return span_ms("rate: per", self.per, zero=False)

    @property
    def at_once(self) -> int:
        """How many may start at the same moment."""
        return self.limit if self.burst is None else self.burst

    def encode(self) -> str:
        """As it is stored: limit/period in ms/burst."""
        return f"{self.limit}/{self.per_ms}/{self.at_once}"

    @staticmethod
    def decode(stored: str) -> Rate | None:
        """What ``encode`` made; None for whatever else was written there."""
        try:
            limit, per_ms, burst = (int(part) for part in stored.split("/"))
            return Rate(limit, per_ms / 1000, burst)
        except (ValueError, InvalidOption):
            return None


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """What holds for each group of a queue, or for one of them; None where nothing was set.

    ``rate`` and ``concurrency`` (jobs running at the same time, over all workers) limit what is started;
    ``max_waiting`` how many jobs of the group may wait. A group of ``weight`` 2 (0.01 to 100) gets two turns where
    others get one. Raises InvalidOption.
    """

    rate: Rate | None = None
    concurrency: int | None = None
    max_waiting: int | None = None
    weight: float | None = None

    def __post_init__(self) -> None:
        _checked_rate(self.rate)
        _checked_number("concurrency", self.concurrency, 1)
        _checked_number("max_waiting", self.max_waiting, 0)
        if self.weight is not None and not _is_weight(self.weight):
            raise InvalidOption(f"weight must be a number from 0.01 to 100, not {self.weight!r}")

    @property
    def stride(self) -> int:
        """How far one job moves the group along."""
        return int(STRIDE / (self.weight or 1))

    def over(self, weaker: GroupLimits) -> GroupLimits:
        """These, with what they leave open taken from ``weaker``."""
        return GroupLimits(
            rate=self.rate or weaker.rate,
            concurrency=weaker.concurrency if self.concurrency is None else self.concurrency,
            max_waiting=weaker.max_waiting if self.max_waiting is None else self.max_waiting,
            weight=weaker.weight if self.weight is None else self.weight,
        )

    def encode(self, *, paused: bool = False) -> str:
        """As it is stored: paused, concurrency, rate, max_waiting, weight; empty where there is nothing to say."""
        if not paused and self == NO_GROUP_LIMITS:
            return ""
        parts = (
            "1" if paused else "0",
            self.concurrency,
            self.rate and self.rate.encode(),
            self.max_waiting,
            self.weight,
        )
        return " ".join("-" if part is None else str(part) for part in parts)

    @staticmethod
    def decode(stored: str) -> tuple[GroupLimits, bool]:
        """What ``encode`` made, and whether the group is paused; nothing for whatever else was written there."""
        try:
            paused, concurrency, rate, max_waiting, weight = stored.split(" ")
            limits = GroupLimits(
                rate=Rate.decode(rate),
                concurrency=None if concurrency == "-" else int(concurrency),
                max_waiting=None if max_waiting == "-" else int(max_waiting),
                weight=None if weight == "-" else float(weight),
            )
        except (ValueError, InvalidOption):
            return NO_GROUP_LIMITS, False
        return limits, paused == "1"


NO_GROUP_LIMITS = GroupLimits()


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group at one moment: how many of its jobs wait and run, what is set for it alone, whether it is paused, and
    until when (ms) its rate or a hold keeps it back, if one does."""

    name: str
    waiting: int = 0
    active: int = 0
    limits: GroupLimits = NO_GROUP_LIMITS
    paused: bool = False
    rests_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for a queue; None (and a type that is not named) is no limit.

    ``rate`` and ``concurrency`` limit what all workers together start and run. ``types`` is how many jobs of a type may
    run at the same time, over all workers. ``max_waiting`` is how many jobs may be unstarted (waiting, delayed or
    blocked) before ``enqueue`` refuses more. ``groups`` holds for every group that has no limits of its own.
    Raises InvalidOption.
    """

    rate: Rate | None = None
    concurrency: int | None = None
    types: Mapping[str, int] = field(default_factory=dict[str, int])
    max_waiting: int | None = None
    groups: GroupLimits = NO_GROUP_LIMITS

    def __post_init__(self) -> None:
        _checked_rate(self.rate)
        _checked_number("concurrency", self.concurrency, 1)
        _checked_number("max_waiting", self.max_waiting, 0)
        types: object = self.types
        if not isinstance(types, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"types must map job types to numbers, not {types!r}")
        if len(self.types) > MOST_TYPES:
            raise InvalidOption(f"at most {MOST_TYPES} job types of a queue can be limited, not {len(self.types)}")
        for name, number in self.types.items():
            _checked(f"concurrency of {checked_name('job type', name)}", number, 1)
        object.__setattr__(self, "types", dict(self.types))
        groups: object = self.groups
        if not isinstance(groups, GroupLimits):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"groups must be GroupLimits(...), not {groups!r}")

    def encode(self) -> dict[str, str]:
        """As it is stored: a few named texts."""
        stored = {f"type:{name}": str(number) for name, number in self.types.items()}
        if self.rate is not None:
            stored["rate"] = self.rate.encode()
        if self.concurrency is not None:
            stored["concurrency"] = str(self.concurrency)
        if self.max_waiting is not None:
            stored["waiting"] = str(self.max_waiting)
        if group := self.groups.encode():
            stored["group"] = group
        return stored

    @staticmethod
    def decode(stored: Mapping[str, str]) -> Limits:
        """What ``encode`` made; what makes no sense counts as not set."""
        types = {
            name.removeprefix("type:"): number
            for name, text in stored.items()
            if name.startswith("type:") and (number := _number(text))
        }
        try:
            return Limits(
                rate=Rate.decode(stored.get("rate", "")),
                concurrency=_number(stored.get("concurrency")) or None,
                types=types,
                max_waiting=_number(stored.get("waiting")),
                groups=GroupLimits.decode(stored.get("group", ""))[0],
            )
        except ValueError:
            return Limits()


NO_LIMITS = Limits()


class LimitChanges(TypedDict, total=False):
    """What may be set for a queue: see :class:`Limits`. None: no limit."""

    rate: Rate | None
    concurrency: int | None
    types: Mapping[str, int] | None
    max_waiting: int | None
    groups: GroupLimits | None


def changed(value: ValueT, changes: Mapping[str, Any]) -> ValueT:
    """``value`` with some fields set anew. Raises InvalidOption for a field it does not have."""
    names = [one.name for one in fields(value)]
    unknown = sorted(set(changes) - set(names))
    if unknown:
        raise InvalidOption(f"no such limit: {', '.join(unknown)}; there are {', '.join(names)}")
    return type(value)(**{name: changes.get(name, getattr(value, name)) for name in names})
