"""Groups and limits of one queue: where jobs of groups stand, whose turn it is, and what holds whom back."""

from __future__ import annotations

from collections.abc import Iterable

from jobqueue.backends.memory.line import Line
from jobqueue.backends.memory.sorted_line import Placed, SortedLine
from jobqueue.backends.memory.timetable import Timetable
from jobqueue.model.limits import NO_GROUP_LIMITS, NO_LIMITS, GroupLimits, Limits
from jobqueue.model.pace import Pace
from jobqueue.model.record import JobRecord

UNGROUPED = ""


class Groups:
    """What a queue without groups has none of.

    ``waiting`` is the line of the ungrouped jobs. A job of a group stands in ``lines``; one that was set aside because
    its type is at its limit, in ``parked``. ``turns`` has the groups that may start something, by virtual time.
    """

    def __init__(self, waiting: Line) -> None:
        self.waiting = waiting
        self.lined = False
        """Whether any job ever had a group or was set aside."""
        self.lines: dict[str, SortedLine] = {}
        self.parked: dict[str, dict[str, SortedLine]] = {}
        self.aside = 0
        self.turns = Timetable()
        self.resting = Timetable()
        self.stuck: dict[str, Timetable] = {}
        self.stuck_count = 0
        self.fading = Timetable()
        self.paces: dict[str, Pace] = {}
        self.pace: Pace | None = None
        self.busy: dict[str, set[str]] = {}
        self.running: dict[str, set[str]] = {}
        self.limits: Limits = NO_LIMITS
        self.declared: Limits | None = None
        self.overrides: dict[str, tuple[GroupLimits, bool]] = {}

    # What is set.

    def limits_of(self, group: str) -> GroupLimits:
        """What holds for a group."""
        if group == UNGROUPED:
            return NO_GROUP_LIMITS
        return self.overrides.get(group, (NO_GROUP_LIMITS, False))[0].over(self.limits.groups)

    def is_paused(self, group: str) -> bool:
        """Whether somebody has paused the group."""
        return group in self.overrides and self.overrides[group][1]

    def at_limit(self, group: str) -> bool:
        """Whether as many of its jobs run as may."""
        most = self.limits_of(group).concurrency
        return most is not None and len(self.busy.get(group, ())) >= most

    def pace_of(self, group: str) -> Pace | None:
        """Its rate, with what has started under it."""
        rate = self.limits_of(group).rate
        if rate is None:
            return None
        pace = self.paces.get(group)
        if pace is None:
            return Pace(rate)
        pace.change(rate)
        return pace

    # Where jobs stand.

    def put(self, record: JobRecord, place: int) -> None:
        """A job of a group joins it."""
        self.lined = True
        line = self.lines.get(record.group)
        if line is None:
            line = self.lines[record.group] = SortedLine()
        line.add((record.priority, place, record.id))
        self.aside += 1
        self.seat(record.group)

    def park(self, kind: str, group: str, placed: Placed) -> None:
        """A job whose type has no room is set aside."""
        self.lined = True
        if group == UNGROUPED:
            self.waiting.remove(placed[2], placed[0])
            self.aside += 1
        else:
            self._out_of_line(group, placed[2])
        groups = self.parked.setdefault(kind, {})
        groups.setdefault(group, SortedLine()).add(placed)

    def unpark(self, kind: str, group: str, job_id: str) -> bool:
        """A job that was set aside leaves; False if it was not."""
        line = self.parked.get(kind, {}).get(group)
        if line is None or not line.discard(job_id):
            return False
        if not line:
            del self.parked[kind][group]
            if kind in self.stuck:
                self.stuck[kind].discard(group)
            if not self.parked[kind]:
                del self.parked[kind]
        return True

    def take_out(self, record: JobRecord) -> None:
        """A waiting job leaves, wherever it stands."""
        group = record.group
        if self.unpark(record.type, group, record.id):
            self.aside -= 1
        elif group == UNGROUPED:
            self.waiting.remove(record.id, record.priority)
        else:
            self._out_of_line(group, record.id)
            self.aside -= 1
        if self.lined:
            self.vacate(group)

    def _out_of_line(self, group: str, job_id: str) -> None:
        line = self.lines[group]
        line.discard(job_id)
        if not line:
            del self.lines[group]

    def take_first(self, group: str) -> None:
        """The first of the group's line has been claimed."""
        if group == UNGROUPED:
            self.waiting.pop()
            return
        first = self.first(group)
        if first is not None:
            self._out_of_line(group, first[2])
            self.aside -= 1

    def first(self, group: str) -> Placed | None:
        """The first of the group's line."""
        if group == UNGROUPED:
            return self.waiting.first()
        line = self.lines.get(group)
        return None if line is None else line.first()

    def first_parked(self, kind: str, group: str) -> Placed | None:
        """The first of its jobs of that type that were set aside."""
        line = self.parked.get(kind, {}).get(group)
        return None if line is None else line.first()

    def has_line(self, group: str) -> bool:
        """Whether a job stands in the group's line."""
        return len(self.waiting) > 0 if group == UNGROUPED else group in self.lines

    def has_jobs(self, group: str) -> bool:
        """Whether a job of the group waits."""
        return self.has_line(group) or any(group in groups for groups in self.parked.values())

    def length(self, group: str) -> int:
        """How many jobs of the group wait."""
        parked = sum(len(groups[group]) for groups in self.parked.values() if group in groups)
        return parked + (len(self.waiting) if group == UNGROUPED else len(self.lines.get(group, ())))

    def placed(self, group: str | None = None) -> list[Placed]:
        """All jobs that wait, or those of one group, in order. This sorts: it is for people who look."""
        found: list[Placed] = [] if group else self.waiting.placed()
        lines: Iterable[tuple[str, SortedLine]] = self.lines.items()
        for name, line in (*lines, *(pair for groups in self.parked.values() for pair in groups.items())):
            if group is None or name == group:
                found += line.placed()
        return sorted(found)

    def names(self) -> list[str]:
        """Groups with jobs waiting or something set for them, sorted."""
        named = set(self.lines) | set(self.overrides)
        named.update(group for groups in self.parked.values() for group in groups)
        return sorted(named - {UNGROUPED})

    # Turns.

    def seat(self, group: str) -> None:
        """A group that has jobs gets its turn, unless it has one or something holds it: at the end of the round, and a
        hair before those that have had theirs in it, else their names would decide.
        """
        held = self.is_paused(group) or self.resting.at_ms(group) is not None or self.at_limit(group)
        if held or self.turns.at_ms(group) is not None:
            return
        first = self.turns.first_ms() or 0
        self.turns.put(group, first + self.limits_of(group).stride - 1)

    def vacate(self, group: str) -> None:
        """Nothing stays of a group without jobs but what somebody has set for it."""
        if not self.has_jobs(group):
            self.turns.discard(group)

    def free_place(self, record: JobRecord) -> None:
        """A lease of the job is over."""
        running = self.running.get(record.type)
        if running is not None:
            running.discard(record.id)
        if record.group:
            busy = self.busy.get(record.group)
            if busy is not None:
                busy.discard(record.id)
                if not busy:
                    del self.busy[record.group]
            if self.limits_of(record.group).concurrency is not None and self.has_jobs(record.group):
                self.seat(record.group)

    def rest_until(self, group: str, moment_ms: int) -> None:
        """Nothing of the group is started until then."""
        if (self.resting.at_ms(group) or 0) < moment_ms:
            self.resting.put(group, moment_ms)
        self.turns.discard(group)

    def fade(self, now_ms: int, limit: int) -> int:
        """Forget what counts no more; returns how many groups that was."""
        faded = self.fading.take_until(now_ms, limit)
        for group in faded:
            self.paces.pop(group, None)
        return len(faded)
