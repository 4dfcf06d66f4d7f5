"""Settlements: what becomes of a job whose worker hands in an outcome."""

from __future__ import annotations

from collections.abc import Sequence

from jobqueue.backends.memory.endpoints import leave_notices
from jobqueue.backends.memory.journal import one_line
from jobqueue.backends.memory.links import Wish
from jobqueue.backends.memory.shelf import Shelf, check_move
from jobqueue.backends.protocol import Settlement
from jobqueue.model.events import RESULT_IN_EVENT, EventType
from jobqueue.model.notice import Occasion
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, Retention, RetryAt
from jobqueue.model.record import JobRecord, JobState, Trigger


def settle(shelf: Shelf, settlements: Sequence[Settlement], now_ms: int) -> tuple[frozenset[str], bool]:
    """Take in outcomes; returns the refused ids, and whether a letter was left."""
    if shelf.groups.lined or shelf.groups.running:
        _free_places(shelf, settlements)
    refused: list[str] = []
    released: list[JobRecord] = []
    letter = False
    for settlement in _in_order(settlements):
        record = shelf.jobs.get(settlement.job_id)
        if record is None or record.token != settlement.token:
            refused.append(settlement.job_id)
            continue
        if settlement.logs:
            shelf.write_logs(record.id, settlement.logs)
        wish = record.cancel_requested
        shelf.end_lease(record)
        outcome = settlement.outcome
        if wish is not None and isinstance(outcome, (RetryAt, Released, Parked)):
            outcome = Cancelled(wish)
        if _carry_out(shelf, record, outcome, now_ms, released):
            letter = True
    shelf.prepend(released)
    return frozenset(refused), letter


def _in_order(settlements: Sequence[Settlement]) -> list[Settlement]:
    """As :class:`Exchange` says."""
    keep: Retention | None = None
    alike: list[Settlement] = []
    others: list[Settlement] = []
    for one in settlements:
        outcome = one.outcome
        if type(outcome) is not Completed or one.logs:
            others.append(one)
            continue
        if keep is None:
            keep = outcome.keep
        (alike if outcome.keep is keep or outcome.keep == keep else others).append(one)
    return alike + others


def _free_places(shelf: Shelf, settlements: Sequence[Settlement]) -> None:
    """All leases that end here end before anything else; in the order in which they were claimed."""
    ending = {
        record.id: record
        for settlement in settlements
        if (record := shelf.jobs.get(settlement.job_id)) is not None and record.token == settlement.token
    }
    for record in sorted(ending.values(), key=lambda record: record.token or 0):
        shelf.groups.free_place(record)


def _carry_out(shelf: Shelf, record: JobRecord, outcome: Outcome, now_ms: int, released: list[JobRecord]) -> bool:
    match outcome:
        case Completed(result, keep):
            check_move(record, Trigger.SUCCEEDED, JobState.COMPLETED)
            # An empty result is no JSON: it counts as null, which is not stored.
            record.result = result or None
            shelf.finish(record, JobState.COMPLETED, now_ms, keep)
            told = result or b"null"
            detail = told.decode("utf-8", "replace") if len(told) <= RESULT_IN_EVENT else ""
            shelf.tell(EventType.COMPLETED, record.id, now_ms, detail)
        case RetryAt(delay_ms, error):
            record.failures += 1
            record.error = error
            record.started_ms = None
            if delay_ms > 0:
                check_move(record, Trigger.ERRED, JobState.DELAYED)
                shelf.delay(record, now_ms + delay_ms)
            else:
                check_move(record, Trigger.ERRED, JobState.WAITING)
                shelf.append(record)
            shelf.tell(EventType.RETRYING, record.id, now_ms, str(delay_ms))
            leave_notices(shelf, Occasion.RETRYING, record, now_ms, retry_in_ms=delay_ms)
        case Failed(error, keep, dead_letter, spent):
            check_move(record, Trigger.GAVE_UP, JobState.FAILED)
            if spent:
                record.failures += 1
            return shelf.fail(record, error, now_ms, keep=keep, letter_to=dead_letter)
        case Released(reason, delay_ms, hold_queue_ms):
            record.started_ms = None
            if record.unique:
                shelf.keys.begun.add(record.id)
            if delay_ms > 0:
                check_move(record, Trigger.RELEASED, JobState.DELAYED)
                shelf.delay(record, now_ms + delay_ms)
            else:
                check_move(record, Trigger.RELEASED, JobState.WAITING)
                released.append(record)
            if hold_queue_ms > 0 and record.group:
                shelf.groups.rest_until(record.group, now_ms + hold_queue_ms)
            elif hold_queue_ms > 0:
                shelf.hold_ms = max(shelf.hold_ms, now_ms + hold_queue_ms)
            shelf.tell(EventType.RELEASED, record.id, now_ms, one_line(reason))
        case Cancelled(reason, keep):
            shelf.cancel(record, reason, now_ms, keep)
        case Parked():
            _park(shelf, record, now_ms, released)
    return False


def _park(shelf: Shelf, record: JobRecord, now_ms: int, released: list[JobRecord]) -> None:
    doomed = shelf.links.doomed.get(record.id)
    if doomed is not None:
        shelf.fail_dependant(record, doomed, now_ms)
        return
    record.started_ms = None
    if record.unique:
        shelf.keys.begun.add(record.id)
    if shelf.links.needs.get(record.id):
        check_move(record, Trigger.PARKED, JobState.BLOCKED)
        shelf.links.wishes[record.id] = Wish(front=True)
        shelf.block(record)
        shelf.tell(EventType.BLOCKED, record.id, now_ms)
    else:
        check_move(record, Trigger.PARKED, JobState.WAITING)
        released.append(record)
        shelf.tell(EventType.UNBLOCKED, record.id, now_ms)
