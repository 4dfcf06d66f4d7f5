"""One queue's state, and the few moves that everything else is made of.

A job is in ``jobs`` and, by its state, in just one of the orders: ``waiting``, ``delayed``, ``leases``
(active), ``blocked`` or a finished one. Each move looks itself up in the table of the model, so that no other
move can be made here.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence

from jobqueue.backends.endpoints import EndpointRecord
from jobqueue.backends.memory.crew import Crew
from jobqueue.backends.memory.effects import Effect, Letter, Outcome
from jobqueue.backends.memory.endpoints import leave_notices
from jobqueue.backends.memory.groups import Groups
from jobqueue.backends.memory.journal import Journal, one_line
from jobqueue.backends.memory.line import HEADS, Line
from jobqueue.backends.memory.links import End, Links, Wish, connect, outcome_of, relink
from jobqueue.backends.memory.signals import Marker
from jobqueue.backends.memory.timetable import Timetable
from jobqueue.backends.memory.unique import Keys, let_go, take_again
from jobqueue.backends.protocol import LOG_LINES_KEPT
from jobqueue.backends.scheduling import ScheduleRecord
from jobqueue.errors import InvalidState
from jobqueue.model.events import EventType
from jobqueue.model.notice import Occasion
from jobqueue.model.outcome import KEEP_ALL, Retention
from jobqueue.model.record import FINISHED, JobError, JobRecord, JobState, Trigger, allows
from jobqueue.model.stats import MOST_MINUTES
from jobqueue.model.unique import Unique

_OCCASIONS = {
    JobState.COMPLETED: Occasion.COMPLETED,
    JobState.FAILED: Occasion.FAILED,
    JobState.CANCELLED: Occasion.CANCELLED,
}
EXPIRED = JobError("Expired", "expired in the queue before it was started")


class Shelf:
    """Everything of one queue."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.marker = Marker()
        self.room_marker = Marker()
        self.journal = Journal()
        self.crew = Crew()
        self.forget_all()

    def forget_all(self) -> None:
        """Begin again with nothing. Whoever waits on the marker or for events goes on waiting."""
        self.jobs: dict[str, JobRecord] = {}
        self.waiting = Line()
        self.groups = Groups(self.waiting)
        self.tail = self.head = 0
        self.awaited_ms = 0
        self.delayed = Timetable(by_arrival=True)
        self.leases = Timetable()
        self.reserved: set[str] = set()
        """Claimed, and not begun."""
        self.blocked: OrderedDict[str, None] = OrderedDict()
        self.finished: dict[JobState, OrderedDict[str, None]] = {state: OrderedDict() for state in FINISHED}
        self.expiring = Timetable()
        self.retention = Timetable()
        self.logs: dict[str, deque[bytes]] = {}
        self.token = 0
        self.claims = 0
        """The token as it was before the step under way."""
        self.paused = False
        self.hold_ms = 0
        self.outbox: deque[Effect] = deque()
        self.links = Links()
        self.keys = Keys()
        self.ended: deque[End] = deque()
        self.has_effects = False
        self.crew.forget_all()
        self.minutes: dict[int, dict[str, int]] = {}
        self.schedules: dict[str, ScheduleRecord] = {}
        self.schedules_due = Timetable()
        self.earliest_delay_ms: int | None = None
        """Of those that the running exchange has put down."""
        self.fired_by_hand: dict[str, str] = {}
        self.ticked: dict[str, str] = {}
        """The job of each schedule's last tick; its last job may be one by hand."""
        self.endpoints: dict[str, EndpointRecord] = {}
        self.marker.clear()
        self.room_marker.clear()
        self.journal.forget()

    def count_attempts(self, tallies: Mapping[str, int], now_ms: int) -> None:
        """Add to the counters of this minute; those older than a day go."""
        minute = now_ms // 60_000
        counters = self.minutes.get(minute)
        if counters is None:
            counters = self.minutes[minute] = {}
            for old in [other for other in self.minutes if other <= minute - MOST_MINUTES]:
                del self.minutes[old]
        for name, count in tallies.items():
            counters[name] = counters.get(name, 0) + count

    # Into a state.

    def append(self, record: JobRecord) -> None:
        """To waiting, at the end of its priority."""
        record.state, record.run_at_ms = JobState.WAITING, None
        self.tail += 1
        if record.group:
            self.groups.put(record, self.tail)
        else:
            self.waiting.append(record.id, record.priority, self.tail)
        self._watch_expiry(record)

    def prepend(self, records: Sequence[JobRecord]) -> None:
        """To waiting, before everyone of their priority; among themselves they keep their order."""
        self.head -= len(records)
        plain: list[tuple[JobRecord, int]] = []
        for place, record in enumerate(records, self.head):
            record.state, record.run_at_ms = JobState.WAITING, None
            if record.group:
                self.groups.put(record, place)
            else:
                plain.append((record, place))
            self._watch_expiry(record)
        for record, place in reversed(plain):
            self.waiting.prepend(record.id, record.priority, place)

    def delay(self, record: JobRecord, run_at_ms: int) -> None:
        """To delayed, until ``run_at_ms``."""
        record.state, record.run_at_ms = JobState.DELAYED, run_at_ms
        self.delayed.put(record.id, run_at_ms)
        if self.earliest_delay_ms is None or run_at_ms < self.earliest_delay_ms:
            self.earliest_delay_ms = run_at_ms
        self._watch_expiry(record)

    def finish(self, record: JobRecord, state: JobState, now_ms: int, keep: Retention) -> None:
        """To ``state``, and out again at once what retention does not keep."""
        record.state, record.finished_ms, record.run_at_ms = state, now_ms, None
        if self._is_awaited(record.id):
            self._end(record.id, outcome_of(record))
        if self.endpoints:
            leave_notices(self, _OCCASIONS[state], record, now_ms)
        if keep.count == 0:
            self.forget((record.id,))
            return
        order = self.finished[state]
        order[record.id] = None
        if keep.age_ms is not None:
            self.retention.put(record.id, now_ms + keep.age_ms)
        if keep.count is not None:
            while len(order) > keep.count:
                self.forget((order.popitem(last=False)[0],))

    def fail(self, record: JobRecord, error: JobError, now_ms: int, *, keep: Retention, letter_to: str | None) -> bool:
        """To failed, for good; True if that left a letter."""
        record.error = error
        record.state, record.finished_ms, record.run_at_ms = JobState.FAILED, now_ms, None
        leaves_letter = letter_to is not None and letter_to != self.queue
        if leaves_letter:
            self.outbox.append(Letter(str(letter_to), copied(record)))
        self.finish(record, JobState.FAILED, now_ms, keep)
        self.tell(EventType.FAILED, record.id, now_ms, error.type)
        return leaves_letter

    def expire(self, record: JobRecord, now_ms: int, *, keep: Retention = KEEP_ALL, letter_to: str | None) -> bool:
        """To failed, because it was not started in time; True if that left a letter."""
        check_move(record, Trigger.EXPIRED, JobState.FAILED)
        return self.fail(record, EXPIRED, now_ms, keep=keep, letter_to=letter_to)

    def fail_dependant(self, record: JobRecord, error: JobError, now_ms: int) -> None:
        """To failed, because of a job that it depends on. The letter that was left, if any, is about that one."""
        check_move(record, Trigger.DEPENDENCY_FAILED, JobState.FAILED)
        if record.state is JobState.BLOCKED:
            self.pull_out(record)
        self.fail(record, error, now_ms, keep=KEEP_ALL, letter_to=None)

    def block(self, record: JobRecord) -> None:
        """To blocked."""
        record.state, record.run_at_ms = JobState.BLOCKED, None
        self.blocked[record.id] = None
        self._watch_expiry(record)

    def unblock(self, record: JobRecord, wish: Wish, now_ms: int) -> None:
        """From blocked to where it wishes to be. Its own delay counts from here."""
        due = wish.run_at_ms if wish.run_at_ms is not None else now_ms + wish.delay_ms
        target = JobState.DELAYED if due > now_ms else JobState.WAITING
        check_move(record, Trigger.DEPENDENCIES_DONE, target)
        self.pull_out(record)
        if target is JobState.DELAYED:
            before = self.delayed.first_ms()
            self.delay(record, due)
            if before is None or due < before:
                self.marker.put()
        elif wish.front:
            self.prepend((record,))
        else:
            self.append(record)
        self.wake()
        self.tell(EventType.UNBLOCKED, record.id, now_ms)

    def _is_awaited(self, job_id: str) -> bool:
        """Whether its end means something to others: its heirs, or whoever wants its key."""
        return job_id in self.links.heirs or job_id in self.keys.asked

    def _end(self, job_id: str, outcome: Outcome) -> None:
        self.ended.append(End(job_id, outcome, dict(self.links.heirs.get(job_id, ())), self.keys.asked.get(job_id)))

    def let_go(self, job_id: str, unique: Unique, state: str, now_ms: int) -> None:
        """A job that asked for a key has ended."""
        let_go(self, job_id, unique, state, now_ms)

    def add_effect(self, effect: Effect) -> None:
        """Something for another queue."""
        self.outbox.append(effect)
        self.has_effects = True

    def tell_flowed(self, flow: str, now_ms: int) -> None:
        """A flow's last job has ended."""
        self.tell(EventType.FLOWED, flow, now_ms)

    def cancel(self, record: JobRecord, reason: str, now_ms: int, keep: Retention = KEEP_ALL) -> None:
        """To cancelled."""
        check_move(record, Trigger.CANCELLED, JobState.CANCELLED)
        record.reason = reason
        self.finish(record, JobState.CANCELLED, now_ms, keep)
        self.tell(EventType.CANCELLED, record.id, now_ms, one_line(reason))

    def revive(self, record: JobRecord, now_ms: int) -> None:
        """From finished back to waiting, with nothing of its last life but its logs and checkpoint; to blocked where
        it waits for others.
        """
        self.pull_out(record)
        record.failures = record.stalls = 0
        record.error = record.result = record.progress = None
        record.started_ms = record.finished_ms = record.expires_ms = None
        record.reason = ""
        self.tell(EventType.RETRIED, record.id, now_ms)
        take_again(self, record.id, now_ms)
        again = relink(self, record, now_ms)
        if again is None:
            check_move(record, Trigger.RETRIED, JobState.WAITING)
            self.append(record)
            return
        check_move(record, Trigger.RETRIED, JobState.BLOCKED)
        self.block(record)
        for parent, policy in again:
            connect(self, record.id, parent, policy, now_ms)

    # Out of a state.

    def pull_out(self, record: JobRecord) -> None:
        """Out of the order that its state put it in."""
        match record.state:
            case JobState.WAITING:
                self.groups.take_out(record)
            case JobState.DELAYED:
                self.delayed.discard(record.id)
            case JobState.BLOCKED:
                del self.blocked[record.id]
            case JobState.ACTIVE:
                self.leases.discard(record.id)
                self.reserved.discard(record.id)
            case JobState.COMPLETED | JobState.FAILED | JobState.CANCELLED:
                del self.finished[record.state][record.id]
                self.retention.discard(record.id)
        if record.expires_ms is not None:
            self.expiring.discard(record.id)

    def end_lease(self, record: JobRecord) -> None:
        """Take the token away. The caller has a new place for the job in hand."""
        self.leases.discard(record.id)
        if self.reserved:
            self.reserved.discard(record.id)
        record.token, record.worker, record.cancel_requested = None, "", None

    def forget(self, job_ids: Iterable[str]) -> None:
        """Drop jobs that have been pulled out, with their logs."""
        for job_id in job_ids:
            del self.jobs[job_id]
            self.links.forget(job_id)
            self.keys.forget(job_id)
            self.retention.discard(job_id)
            if self.logs:
                self.logs.pop(job_id, None)

    def remove(self, record: JobRecord) -> None:
        """Pull a job out and drop it."""
        if not record.state.finished and self._is_awaited(record.id):
            self._end(record.id, Outcome("removed"))
        self.pull_out(record)
        self.forget((record.id,))

    # What is seen and heard.

    def ids(self, state: JobState, offset: int = 0, limit: int | None = None, *, newest: bool = False) -> list[str]:
        """Ids of one state, in its order."""
        end = len(self.jobs) if limit is None else limit
        match state:
            case JobState.WAITING:
                if not self.groups.lined:
                    return self.waiting.page(offset, end, newest=newest)
                placed = self.groups.placed()
                return [job_id for _, _, job_id in (placed[::-1] if newest else placed)[offset : offset + end]]
            case JobState.DELAYED:
                return self.delayed.page(offset, end, newest=newest)
            case JobState.ACTIVE:
                return self.leases.page(offset, end, newest=newest)
            case _:
                order = self.blocked if state is JobState.BLOCKED else self.finished[state]
                every = list(reversed(order) if newest else order)
                return every[offset : offset + end]

    def count(self, state: JobState) -> int:
        """How many jobs are in a state."""
        match state:
            case JobState.WAITING:
                return len(self.waiting) + self.groups.aside
            case JobState.DELAYED:
                return len(self.delayed)
            case JobState.ACTIVE:
                return len(self.leases)
            case JobState.BLOCKED:
                return len(self.blocked)
            case _:
                return len(self.finished[state])

    def heads(self) -> list[str]:
        """The first in line of each of the most urgent priorities in use."""
        if not self.groups.lined:
            return self.waiting.heads()
        heads: dict[int, str] = {}
        for priority, _, job_id in self.groups.placed():
            heads.setdefault(priority, job_id)
        return list(heads.values())[:HEADS]

    def wake(self) -> None:
        """Wake one worker, unless it could claim nothing."""
        if not self.paused:
            self.marker.put()

    def pass_on_room(self, now_ms: int) -> None:
        """Let a producer that waits for room look."""
        if self.awaited_ms > now_ms:
            self.room_marker.put()

    def tell(self, kind: EventType, job_id: str, now_ms: int, detail: str = "") -> None:
        """Write an event."""
        self.journal.tell(kind, job_id, now_ms, detail)

    def tell_started(self, records: Iterable[JobRecord], now_ms: int) -> None:
        """Write the event of each."""
        self.journal.tell_all([(EventType.STARTED, record.id, now_ms, "") for record in records])

    def write_logs(self, job_id: str, lines: Sequence[bytes]) -> None:
        """Append to a job's logs; the oldest lines give way."""
        if lines:
            self.logs.setdefault(job_id, deque(maxlen=LOG_LINES_KEPT)).extend(lines)

    def close(self) -> None:
        """Send everyone who waits away."""
        self.marker.close()
        self.room_marker.close()
        self.journal.bell.close()
        self.crew.order_bell.close()

    def _watch_expiry(self, record: JobRecord) -> None:
        if record.expires_ms is not None:
            self.expiring.put(record.id, record.expires_ms)


def check_move(record: JobRecord, trigger: Trigger, target: JobState) -> None:
    """Refuse a move that the table of the model does not have."""
    if not allows(record.state, trigger, target):
        raise InvalidState(f"job {record.id!r} is {record.state}: {trigger} does not lead from there to {target}")


def copied(record: JobRecord) -> JobRecord:
    """A copy that its receiver may keep and change. Written out because it is made for every job claimed."""
    return JobRecord(
        record.id,
        record.queue,
        record.type,
        record.data,
        record.state,
        record.priority,
        record.options,
        record.created_ms,
        record.run_at_ms,
        record.expires_ms,
        record.started_ms,
        record.finished_ms,
        record.failures,
        record.stalls,
        record.result,
        record.error,
        record.reason,
        record.progress,
        record.checkpoint,
        record.token,
        record.worker,
        record.cancel_requested,
        record.group,
        record.unique,
    )
