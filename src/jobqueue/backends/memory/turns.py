"""Who may start now, under the limits of the queue, its types and its groups, and in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jobqueue.backends.memory.groups import UNGROUPED, Groups
from jobqueue.backends.memory.timetable import Timetable
from jobqueue.backends.protocol import Exchange
from jobqueue.model.pace import Pace
from jobqueue.model.record import JobRecord

_ANY = 2**53 - 1
_PARKED_AT_ONCE = 1000


@dataclass(slots=True)
class _Entry:
    """What is known of a group in one exchange: how many of it may start."""

    left: int
    stride: int
    pace: Pace | None
    score: int = 0
    accepted: int = 0


class Left(NamedTuple):
    """What an exchange leaves: whether more may start now, whether something waits that may not, and until when."""

    more: bool
    crowded: bool
    rests_until_ms: int | None


class Book:
    """Kept for the length of one exchange; ``left`` is how many jobs the queue's own limits let start."""

    def __init__(self, groups: Groups, active: int, request: Exchange, now_ms: int) -> None:
        self._groups = groups
        self._now_ms = now_ms
        limits = groups.limits
        self._lag_ms = request.lag_ms
        self.left = request.claim
        self._places: int | None = None
        if limits.concurrency is not None:
            self._places = max(0, limits.concurrency - active)
            self.left = min(self.left, self._places)
        self._pace: Pace | None = None
        if limits.rate is not None:
            self._pace = groups.pace or Pace(limits.rate)
            self._pace.change(limits.rate)
            self.left = min(self.left, self._pace.left(now_ms, self._lag_ms))
        self._rooms = {kind: max(0, most - len(groups.running.get(kind, ()))) for kind, most in limits.types.items()}
        self._ours: set[str] = set()
        for kind, room in request.rooms.items():
            if room < self._rooms.get(kind, _ANY):
                self._rooms[kind] = room
                self._ours.add(kind)
        typed = bool(limits.types or request.rooms)
        self.turned = typed or groups.lined
        """Whether jobs come by turns; else the line is taken as it stands."""
        self._typed = typed or bool(groups.parked)
        self._entries: dict[str, _Entry] = {}
        self._pending: list[JobRecord] = []
        self._parked = 0
        self.lent = False
        """Whether a job was set aside that only this worker could not take."""
        self._called = False

    def take(self, jobs: Mapping[str, JobRecord], count: int, claimed: list[JobRecord]) -> list[str]:
        """Takes up to ``count`` jobs out of their lines, one from each group whose turn it is. ``claimed`` is what
        became of those taken before.
        """
        self._reckon(claimed)
        groups = self._groups
        if not self._called:
            self._call_in(count)
            self._called = True
        popped: list[str] = []
        while len(popped) < count and self._parked < _PARKED_AT_ONCE:
            row = groups.turns.first(count)
            if not row:
                break
            moved: dict[str, int] = {}
            while row and len(popped) < count:
                score, group = row.pop(0)
                entry = self._entry(group, score)
                job_id = self._pick(jobs, group, entry)
                if job_id is not None:
                    popped.append(job_id)
                    entry.score = score = score + entry.stride
                    moved[group] = score
                    place = len(row)
                    while place > 0 and row[place - 1][0] > score:
                        place -= 1
                    row.insert(place, (score, group))
                elif self._parked < _PARKED_AT_ONCE:
                    groups.turns.discard(group)
                    moved.pop(group, None)
                if self._parked >= _PARKED_AT_ONCE:
                    break
            for group, score in moved.items():
                groups.turns.put(group, score)
        self._pending = [jobs[job_id] for job_id in popped]
        return popped

    def close(self, claimed: list[JobRecord]) -> Left:
        """Enters what was claimed."""
        groups, now_ms = self._groups, self._now_ms
        self._reckon(claimed)
        for record in claimed:
            if record.group:
                self._entries[record.group].accepted += 1
                groups.busy.setdefault(record.group, set()).add(record.id)
            if record.type in groups.limits.types:
                groups.running.setdefault(record.type, set()).add(record.id)
        if self._pace is not None and claimed:
            self._pace.take(now_ms, len(claimed))
            groups.pace = self._pace
        # Who has had the fewest turns comes first, where many wait for a place of the same type.
        for group, entry in sorted(self._entries.items(), key=lambda item: item[1].score):
            if entry.pace is not None and entry.accepted:
                entry.pace.take(now_ms, entry.accepted)
                groups.paces[group] = entry.pace
                groups.fading.put(group, entry.pace.forgotten_ms())
            self._place(group, entry)

        if not len(groups.waiting) + groups.aside:
            return Left(more=False, crowded=False, rests_until_ms=None)
        if self._places is not None and self._places <= len(claimed):
            return Left(more=False, crowded=True, rests_until_ms=None)
        if self._pace is not None and not self._pace.left(now_ms, self._lag_ms):
            return Left(more=False, crowded=True, rests_until_ms=self._pace.next_ms(now_ms, self._lag_ms))
        if self._parked >= _PARKED_AT_ONCE:
            return Left(more=True, crowded=False, rests_until_ms=now_ms)
        more = len(groups.waiting) > 0 or len(groups.turns) > 0 or any(
            self._has_room(kind) and len(groups.stuck.get(kind, ())) for kind in groups.parked
        )  # fmt: skip
        return Left(more, not more, groups.resting.first_ms())

    def _reckon(self, claimed: list[JobRecord]) -> None:
        """What turned out to be expired takes no place."""
        accepted = {record.id for record in claimed}
        for record in self._pending:
            if record.id not in accepted:
                if record.type in self._rooms:
                    self._rooms[record.type] += 1
                self._entries[record.group].left += 1
        self._pending = []

    def _call_in(self, count: int) -> None:
        """Groups whose time has come, and those whose types have room again, take their turns."""
        groups = self._groups
        for group in groups.resting.take_until(self._now_ms, 1000):
            if groups.has_jobs(group):
                groups.seat(group)
        for kind in sorted(groups.parked):
            stuck = groups.stuck.get(kind)
            if stuck is None or not self._has_room(kind):
                continue
            for _, group in stuck.first(min(count, self._rooms.get(kind, count))):
                stuck.discard(group)
                groups.seat(group)
        if len(groups.waiting):
            groups.seat(UNGROUPED)

    def _entry(self, group: str, score: int) -> _Entry:
        entry = self._entries.get(group)
        if entry is None:
            limits = self._groups.limits_of(group)
            left = 0 if self._groups.is_paused(group) else _ANY
            if limits.concurrency is not None:
                left = min(left, max(0, limits.concurrency - len(self._groups.busy.get(group, ()))))
            pace = self._groups.pace_of(group)
            if pace is not None:
                left = min(left, pace.left(self._now_ms, self._lag_ms))
            entry = self._entries[group] = _Entry(left, limits.stride, pace)
        entry.score = score
        return entry

    def _has_room(self, kind: str) -> bool:
        return self._rooms.get(kind, 1) > 0

    def _pick(self, jobs: Mapping[str, JobRecord], group: str, entry: _Entry) -> str | None:
        """The first job of a group that may start, taken out of its line; None if there is none."""
        groups = self._groups
        while entry.left > 0 and self._parked < _PARKED_AT_ONCE:
            first, parked_as = groups.first(group), None
            kind = jobs[first[2]].type if first is not None else ""
            for other in sorted(groups.parked):
                head = groups.first_parked(other, group) if self._has_room(other) else None
                if head is not None and (first is None or head < first):
                    first, kind, parked_as = head, other, other
            if first is None:
                return None
            if not self._has_room(kind):
                groups.park(kind, group, first)
                self._parked += 1
                # Full here and not everywhere: another worker may want to know.
                self.lent = self.lent or kind in self._ours
                continue
            if parked_as is None:
                groups.take_first(group)
            else:
                groups.unpark(parked_as, group, first[2])
                groups.aside -= 1
            if kind in self._rooms:
                self._rooms[kind] -= 1
            entry.left -= 1
            return first[2]
        return None

    def _place(self, group: str, entry: _Entry) -> None:
        """Where a group stands after an exchange that has touched it."""
        groups = self._groups
        startable = groups.has_line(group)
        full: list[str] = []
        for kind in sorted(groups.parked):
            if group in groups.parked[kind]:
                if self._has_room(kind):
                    startable = True
                else:
                    full.append(kind)
        if not startable and not full:
            groups.vacate(group)
            return
        held = groups.is_paused(group) or groups.at_limit(group)
        if not held and entry.pace is not None and not entry.pace.left(self._now_ms, self._lag_ms):
            groups.rest_until(group, entry.pace.next_ms(self._now_ms, self._lag_ms))
        elif held or not startable:
            groups.turns.discard(group)
        else:
            groups.turns.put(group, entry.score)
            return
        for kind in full:
            stuck = groups.stuck.setdefault(kind, Timetable())
            if stuck.at_ms(group) is None:
                groups.stuck_count += 1
                stuck.put(group, groups.stuck_count)
