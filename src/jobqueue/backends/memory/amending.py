"""Amendments: what a person or a producer may do to one job."""

from __future__ import annotations

from jobqueue.backends.memory.journal import one_line
from jobqueue.backends.memory.links import settle_heirs
from jobqueue.backends.memory.shelf import Shelf, check_move
from jobqueue.backends.memory.unique import rival
from jobqueue.backends.protocol import (
    Amendment,
    Cancel,
    Order,
    Promote,
    Remove,
    Reprioritize,
    Reschedule,
    Retry,
)
from jobqueue.backends.refusals import key_is_held
from jobqueue.errors import InvalidState, JobNotFound
from jobqueue.model.events import EventType
from jobqueue.model.record import FINISHED, UNSTARTED, JobRecord, JobState, Trigger

_RESCHEDULABLE = frozenset({JobState.DELAYED, JobState.WAITING})


def amend(shelf: Shelf, job_id: str, amendment: Amendment, now_ms: int) -> JobState:
    """See :meth:`jobqueue.backends.protocol.Backend.amend`."""
    record = shelf.jobs.get(job_id)
    if record is None:
        raise JobNotFound(
            f"no job {job_id!r} in queue {shelf.queue!r}; it may have been removed or trimmed by retention"
        )
    match amendment:
        case Retry():
            _retry(shelf, record, amendment, now_ms)
        case Promote():
            _require(record, record.state is JobState.DELAYED, "promoted")
            check_move(record, Trigger.PROMOTED, JobState.WAITING)
            shelf.pull_out(record)
            shelf.append(record)
            shelf.wake()
            shelf.tell(EventType.PROMOTED, job_id, now_ms)
        case Cancel():
            _cancel(shelf, record, amendment, now_ms)
        case Remove():
            _require(record, record.state is not JobState.ACTIVE, "removed")
            shelf.remove(record)
            shelf.tell(EventType.REMOVED, job_id, now_ms)
        case Reprioritize(priority):
            _require(record, record.state not in FINISHED, "reprioritized")
            _reprioritize(shelf, record, priority)
            shelf.tell(EventType.REPRIORITIZED, job_id, now_ms, str(priority))
        case Reschedule():
            _reschedule(shelf, record, amendment, now_ms)
    settle_heirs(shelf, now_ms)
    shelf.journal.publish()
    return record.state


def _require(record: JobRecord, allowed: bool, participle: str) -> None:
    if not allowed:
        raise InvalidState(f"job {record.id!r} is {record.state}: it cannot be {participle} in that state")


def _retry(shelf: Shelf, record: JobRecord, amendment: Retry, now_ms: int) -> None:
    same_finish = amendment.finished_ms in (None, record.finished_ms)
    _require(record, record.state in FINISHED and same_finish, "retried")
    other = rival(shelf, record.id, now_ms)
    if other is not None:
        raise key_is_held(record.id, other)
    if amendment.data is not None:
        record.data = amendment.data
    shelf.revive(record, now_ms)
    shelf.wake()


def _cancel(shelf: Shelf, record: JobRecord, amendment: Cancel, now_ms: int) -> None:
    if record.state is JobState.ACTIVE:
        record.cancel_requested = amendment.reason
        shelf.crew.order(record.worker, Order(record.id, amendment.reason))
        shelf.tell(EventType.CANCELLING, record.id, now_ms, one_line(amendment.reason))
        return
    _require(record, record.state in UNSTARTED, "cancelled")
    shelf.pull_out(record)
    shelf.cancel(record, amendment.reason, now_ms, amendment.keep)


def _reprioritize(shelf: Shelf, record: JobRecord, priority: int) -> None:
    if record.state is JobState.WAITING:
        shelf.pull_out(record)
        record.priority = priority
        shelf.append(record)
    else:
        record.priority = priority


def _reschedule(shelf: Shelf, record: JobRecord, amendment: Reschedule, now_ms: int) -> None:
    _require(record, record.state in _RESCHEDULABLE, "rescheduled")
    check_move(record, Trigger.RESCHEDULED, JobState.DELAYED)
    shelf.pull_out(record)
    before = shelf.delayed.first_ms()
    due = now_ms + (amendment.delay_ms or 0) if amendment.run_at_ms is None else amendment.run_at_ms
    shelf.delay(record, due)
    # Whoever sleeps until the earlier due time must look at the clock again.
    if before is None or due < before:
        shelf.marker.put()
    shelf.tell(EventType.RESCHEDULED, record.id, now_ms, str(due))
