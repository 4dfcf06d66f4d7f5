"""Enqueueing: all of a batch, or none."""

from __future__ import annotations

from collections.abc import Sequence

from jobqueue.backends.memory.room import Room
from jobqueue.backends.memory.shelf import Shelf, copied
from jobqueue.backends.protocol import Enqueued, NewRecord
from jobqueue.errors import InvalidState
from jobqueue.model.events import EventType
from jobqueue.model.record import JobRecord, JobState, Trigger, allows


def enqueue(shelf: Shelf, jobs: Sequence[NewRecord], room: Room, now_ms: int) -> list[Enqueued]:
    """See :meth:`jobqueue.backends.protocol.Backend.enqueue`."""
    fresh: dict[str, NewRecord] = {}
    for job in jobs:
        if job.id not in shelf.jobs and job.id not in fresh:
            fresh[job.id] = job
    room.make(shelf, len(fresh), now_ms)

    due_before = shelf.delayed.first_ms()
    for job in fresh.values():
        _write(shelf, job, now_ms)
        shelf.tell(EventType.ENQUEUED, job.id, now_ms, job.type)
    answers: list[Enqueued] = []
    waiting = False
    for job in jobs:
        record = shelf.jobs[job.id]
        created = fresh.get(job.id) is job
        if created:
            # An id that stands twice in the batch, even as the same object, is made once.
            del fresh[job.id]
            waiting = waiting or record.state is JobState.WAITING
        else:
            shelf.tell(EventType.DUPLICATE, job.id, now_ms)
        answers.append(Enqueued(copied(record), created))
    due_after = shelf.delayed.first_ms()
    if due_after is not None and (due_before is None or due_after < due_before):
        # Whoever sleeps until the earlier due time must look at the clock again.
        shelf.marker.put()
    if waiting:
        shelf.wake()
    shelf.journal.publish()
    return answers


def _write(shelf: Shelf, job: NewRecord, now_ms: int) -> None:
    record = JobRecord(
        job.id, shelf.queue, job.type, job.data, priority=job.priority, options=job.options, created_ms=now_ms
    )
    if job.expires_in_ms is not None:
        record.expires_ms = now_ms + job.expires_in_ms
    shelf.jobs[job.id] = record
    due = job.run_at_ms if job.run_at_ms is not None else now_ms + job.delay_ms
    target = JobState.DELAYED if due > now_ms else JobState.WAITING
    if not allows(None, Trigger.ENQUEUED, target):
        raise InvalidState(f"a new job cannot be {target}")
    if target is JobState.DELAYED:
        shelf.delay(record, due)
    elif job.lifo:
        shelf.prepend((record,))
    else:
        shelf.append(record)
