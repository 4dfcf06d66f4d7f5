"""Enqueueing: all of a batch, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from jobqueue.backends.memory.links import GATE, Wish, block, connect, settle_heirs
from jobqueue.backends.memory.room import Room
from jobqueue.backends.memory.shelf import Shelf, copied
from jobqueue.backends.protocol import Enqueued, NewRecord
from jobqueue.backends.refusals import full
from jobqueue.backends.wiring import POLICY
from jobqueue.errors import InvalidState, JobNotFound
from jobqueue.model.events import EventType
from jobqueue.model.record import UNSTARTED, JobRecord, JobState, Trigger, allows


def enqueue(
    shelf: Shelf,
    jobs: Sequence[NewRecord],
    room: Room,
    now_ms: int,
    *,
    gate: str = "",
    limited: bool = True,
    wait_ms: int = 0,
) -> list[Enqueued]:
    """See :meth:`jobqueue.backends.protocol.Backend.enqueue`. With the ``gate`` of a flow each job waits for that too,
    and for whatever else it needs to be told of.
    """
    fresh: dict[str, NewRecord] = {}
    for job in jobs:
        if job.id not in shelf.jobs and job.id not in fresh:
            fresh[job.id] = job
    if not gate:
        _check_needs(shelf, fresh)
    if limited:
        _check_room(shelf, fresh, now_ms, wait_ms)
    room.make(shelf, len(fresh), now_ms)

    due_before = shelf.delayed.first_ms()
    linked: list[NewRecord] = []
    front: list[JobRecord] = []
    for job in fresh.values():
        if job.needs or gate:
            _write_blocked(shelf, job, now_ms, gate)
            linked.append(job)
        else:
            _write(shelf, job, now_ms, front)
        shelf.tell(EventType.ENQUEUED, job.id, now_ms, job.type)
    # Last in, first out: each goes before the one that came before it.
    for record in front:
        shelf.prepend((record,))
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
        answers.append(Enqueued(record, created))
    if not gate:
        for job in linked:
            for need in job.needs:
                connect(shelf, job.id, need.key, POLICY[need.on_failure], now_ms)
        settle_heirs(shelf, now_ms)
    for answer in answers:
        answer.record = copied(answer.record)
    due_after = shelf.delayed.first_ms()
    if due_after is not None and (due_before is None or due_after < due_before):
        # Whoever sleeps until the earlier due time must look at the clock again.
        shelf.marker.put()
    if waiting:
        shelf.wake()
    shelf.journal.publish()
    return answers


def _check_room(shelf: Shelf, fresh: Mapping[str, NewRecord], now_ms: int, wait_ms: int) -> None:
    """Raises QueueFull or GroupFull with nothing written; a caller that will wait is remembered."""
    refusal = _refusal(shelf, fresh, now_ms)
    if refusal is not None:
        if wait_ms:
            shelf.awaited_ms = max(shelf.awaited_ms, now_ms + wait_ms)
        raise full(shelf.queue, *refusal)
    if wait_ms:
        shelf.pass_on_room(now_ms)


def _refusal(shelf: Shelf, fresh: Mapping[str, NewRecord], now_ms: int) -> tuple[int, str] | None:
    most = shelf.groups.limits.max_waiting
    if most is not None and fresh and sum(map(shelf.count, UNSTARTED)) + len(fresh) > most:
        return most, ""
    coming = Counter(job.group for job in fresh.values() if job.group and _due_ms(job, now_ms) <= now_ms)
    for group, count in coming.items():
        most = shelf.groups.limits_of(group).max_waiting
        if most is not None and shelf.groups.length(group) + count > most:
            return most, group
    return None


def _due_ms(job: NewRecord, now_ms: int) -> int:
    return job.run_at_ms if job.run_at_ms is not None else now_ms + job.delay_ms


def _check_needs(shelf: Shelf, fresh: Mapping[str, NewRecord]) -> None:
    earlier: set[str] = set()
    for job in fresh.values():
        for need in job.needs:
            if need.queue == shelf.queue and need.id not in shelf.jobs and need.id not in earlier:
                raise JobNotFound(
                    f"no job {need.id!r} in queue {shelf.queue!r} to depend on: it may have been removed or trimmed by "
                    "retention; nothing was written"
                )
        earlier.add(job.id)


def _write_blocked(shelf: Shelf, job: NewRecord, now_ms: int, gate: str) -> None:
    if not allows(None, Trigger.ENQUEUED, JobState.BLOCKED):
        raise InvalidState(f"a new job cannot be {JobState.BLOCKED}")
    record = _record(shelf, job, now_ms)
    needs = [(need.key, POLICY[need.on_failure]) for need in job.needs]
    if gate:
        needs.append((gate, GATE))
    block(shelf, record, Wish(job.delay_ms, job.run_at_ms, job.lifo), needs)


def _record(shelf: Shelf, job: NewRecord, now_ms: int) -> JobRecord:
    record = JobRecord(
        job.id, shelf.queue, job.type, job.data,
        priority=job.priority, options=job.options, created_ms=now_ms, group=job.group,
    )  # fmt: skip
    if job.group:
        shelf.groups.lined = True
    if job.expires_in_ms is not None:
        record.expires_ms = now_ms + job.expires_in_ms
    shelf.jobs[job.id] = record
    return record


def _write(shelf: Shelf, job: NewRecord, now_ms: int, front: list[JobRecord]) -> None:
    record = _record(shelf, job, now_ms)
    due = _due_ms(job, now_ms)
    target = JobState.DELAYED if due > now_ms else JobState.WAITING
    if not allows(None, Trigger.ENQUEUED, target):
        raise InvalidState(f"a new job cannot be {target}")
    if target is JobState.DELAYED:
        shelf.delay(record, due)
    elif job.lifo:
        front.append(record)
    else:
        shelf.append(record)
