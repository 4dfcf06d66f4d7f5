"""Upkeep: one bounded background round."""

from __future__ import annotations

from jobqueue.backends.memory.links import settle_heirs
from jobqueue.backends.memory.scheduling import first_in_ms
from jobqueue.backends.memory.shelf import Shelf, check_move
from jobqueue.backends.protocol import Upkeep, UpkeepReport
from jobqueue.model.events import EventType
from jobqueue.model.record import JobError, JobRecord, JobState, Trigger


def keep_up(shelf: Shelf, request: Upkeep, now_ms: int) -> UpkeepReport:
    """See :meth:`jobqueue.backends.protocol.Backend.upkeep`."""
    lapsed = shelf.leases.take_until(now_ms, request.limit)
    recovered, poisoned, cancelled = _recover(shelf, lapsed, request, now_ms)
    expired = shelf.expiring.take_until(now_ms, request.limit)
    for job_id in expired:
        record = shelf.jobs[job_id]
        shelf.pull_out(record)
        shelf.expire(record, now_ms, keep=request.keep, letter_to=request.dead_letter)
    aged = shelf.retention.take_until(now_ms, request.limit)
    for job_id in aged:
        shelf.remove(shelf.jobs[job_id])
    settle_heirs(shelf, now_ms)
    if request.presence is not None:
        shelf.links.forget_old_flows(now_ms)
    faded = shelf.groups.fade(now_ms, request.limit)
    lapsed_keys = shelf.keys.fade(now_ms, request.limit)
    shelf.crew.see(request.presence, now_ms - request.presence_ms, now_ms)
    shelf.journal.publish()
    # All that is there is reported here, so that the next exchange has only its own to tell.
    shelf.has_effects = False
    return UpkeepReport(
        recovered=tuple(recovered),
        poisoned=tuple(poisoned),
        expired=tuple(expired),
        cancelled=tuple(cancelled),
        removed=len(aged),
        more=request.limit in (len(lapsed), len(expired), len(aged), faded, lapsed_keys),
        outbox=bool(shelf.outbox),
        schedules_in_ms=first_in_ms(shelf, now_ms),
    )


def _recover(shelf: Shelf, lapsed: list[str], request: Upkeep, now_ms: int) -> tuple[list[str], list[str], list[str]]:
    recovered: list[str] = []
    poisoned: list[str] = []
    cancelled: list[str] = []
    front: list[JobRecord] = []
    for job_id in lapsed:
        shelf.groups.free_place(shelf.jobs[job_id])
    # In the order in which they were claimed, which is the order they had in the line.
    for record in sorted((shelf.jobs[job_id] for job_id in lapsed), key=lambda record: record.token or 0):
        wish, began = record.cancel_requested, record.id not in shelf.reserved
        shelf.end_lease(record)
        if wish is not None:
            shelf.cancel(record, wish, now_ms)
            cancelled.append(record.id)
            continue
        record.stalls += began
        if began and record.stalls >= request.max_stalls:
            check_move(record, Trigger.STALLED_OUT, JobState.FAILED)
            error = JobError("WorkerLost", f"its worker was lost {record.stalls} times")
            shelf.fail(record, error, now_ms, keep=request.keep, letter_to=request.dead_letter)
            poisoned.append(record.id)
        else:
            check_move(record, Trigger.LEASE_EXPIRED, JobState.WAITING)
            record.started_ms = None
            front.append(record)
            recovered.append(record.id)
            shelf.tell(EventType.RECOVERED, record.id, now_ms)
    shelf.prepend(front)
    # Those that did not come back have left their places to others.
    if lapsed and shelf.count(JobState.WAITING):
        shelf.wake()
    return recovered, poisoned, cancelled
