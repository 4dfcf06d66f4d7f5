"""Schedules: kept, handed out when due, and fired in one step with the jobs they put in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobqueue.backends.memory.enqueueing import enqueue
from jobqueue.backends.memory.room import Room
from jobqueue.backends.memory.shelf import Shelf
from jobqueue.backends.protocol import SCHEDULES_CHANGED, NewRecord
from jobqueue.backends.scheduling import HELD_MS, DueSchedules, Firing, ScheduleChange, ScheduleRecord
from jobqueue.errors import BackendFull


def write(shelf: Shelf, change: ScheduleChange) -> bool:
    """See :meth:`jobqueue.backends.scheduling.Scheduling.write_schedule`."""
    known = shelf.schedules.get(change.id)
    if known is not None and known.revision == change.revision:
        return True
    if ((known.revision, known.tick_ms) if known else ("", None)) != (change.expected, change.expected_tick_ms):
        return False
    if known is None and len(shelf.schedules) >= change.most:
        raise BackendFull(f"queue {shelf.queue!r} has its limit of {change.most} schedules; nothing was written")
    before = shelf.schedules_due.first_ms()
    shelf.schedules[change.id] = ScheduleRecord(
        id=change.id,
        plan=change.plan,
        job=change.job,
        revision=change.revision,
        tick_ms=change.tick_ms,
        due_ms=change.due_ms,
        anchor_ms=change.anchor_ms,
        paused=change.paused,
        declared=change.declared,
        runs=known.runs if known else 0,
        skipped=known.skipped if known else 0,
        last_job=known.last_job if known else "",
        last_ms=known.last_ms if known else None,
    )
    _enter(shelf, change.id, change.due_ms)
    if change.due_ms is not None and (before is None or change.due_ms < before):
        for worker in shelf.crew.presences:
            shelf.crew.order(worker, SCHEDULES_CHANGED)
    return True


def remove(shelf: Shelf, schedule: str) -> bool:
    """See :meth:`jobqueue.backends.scheduling.Scheduling.remove_schedule`."""
    shelf.schedules_due.discard(schedule)
    shelf.fired_by_hand.pop(schedule, None)
    shelf.ticked.pop(schedule, None)
    return shelf.schedules.pop(schedule, None) is not None


def find(shelf: Shelf, ids: Sequence[str] | None, *, declared: bool, limit: int, offset: int) -> list[ScheduleRecord]:
    """See :meth:`jobqueue.backends.scheduling.Scheduling.find_schedules`."""
    known = shelf.schedules
    if ids is not None:
        return [known[schedule] for schedule in ids if schedule in known]
    if declared:
        return [known[schedule] for schedule in sorted(known) if known[schedule].declared]
    coming = shelf.schedules_due.ids()
    others = sorted(set(known) - set(coming))
    return [known[schedule] for schedule in [*coming, *others][offset : offset + max(0, limit)]]


def due(shelf: Shelf, limit: int, now_ms: int) -> DueSchedules:
    """See :meth:`jobqueue.backends.scheduling.Scheduling.due_schedules`."""
    taken = shelf.schedules_due.take_until(now_ms, limit)
    for schedule in taken:
        shelf.schedules_due.put(schedule, now_ms + HELD_MS)
    return DueSchedules(now_ms, tuple(shelf.schedules[schedule] for schedule in taken), first_in_ms(shelf, now_ms))


def first_in_ms(shelf: Shelf, now_ms: int) -> int | None:
    """In how many ms the first schedule is due."""
    first = shelf.schedules_due.first_ms()
    return None if first is None else max(0, first - now_ms)


def fire(shelf: Shelf, firings: Sequence[Firing], room: Room, now_ms: int) -> list[int | None]:
    """See :meth:`jobqueue.backends.scheduling.Scheduling.fire_schedules`."""
    room.make(shelf, sum(job.id not in shelf.jobs for firing in firings for job in firing.jobs), now_ms)
    answers: list[int | None] = []
    jobs: list[NewRecord] = []
    for firing in firings:
        known = shelf.schedules.get(firing.id)
        if known is None or (known.revision, known.tick_ms) != (firing.revision, firing.tick_ms):
            answers.append(None)
            continue
        if firing.by_hand and shelf.fired_by_hand.get(firing.id) == firing.jobs[0].id:
            answers.append(1)
            continue
        made = _alone(shelf, known, firing) if firing.alone else firing.jobs
        jobs += (replace(job, needs=()) for job in made)
        answers.append(len(made))
        _move_on(shelf, known, firing, made, now_ms)
    if jobs:
        # No bound refuses them: nobody is there to be told, and each tick has its job.
        enqueued = enqueue(shelf, jobs, room, now_ms, limited=False)
        stand = {job.id: answer.record.id for job, answer in zip(jobs, enqueued, strict=True)}
        for firing in firings:
            known = shelf.schedules.get(firing.id)
            if known is not None and stand.get(known.last_job, known.last_job) != known.last_job:
                shelf.schedules[firing.id] = replace(known, last_job=stand[known.last_job])
            ticked = shelf.ticked.get(firing.id, "")
            if ticked in stand:
                shelf.ticked[firing.id] = stand[ticked]
    return answers


def _alone(shelf: Shelf, known: ScheduleRecord, firing: Firing) -> tuple[NewRecord, ...]:
    for job_id in (known.last_job, shelf.ticked.get(firing.id, "")):
        before = shelf.jobs.get(job_id)
        if before is not None and not before.state.finished:
            return ()
    return firing.jobs[:1]


def _move_on(shelf: Shelf, known: ScheduleRecord, firing: Firing, made: tuple[NewRecord, ...], now_ms: int) -> None:
    if made:
        known = replace(known, last_job=made[-1].id, last_ms=now_ms)
    if firing.by_hand:
        shelf.schedules[firing.id] = known
        shelf.fired_by_hand[firing.id] = made[-1].id
        return
    if made:
        shelf.ticked[firing.id] = made[-1].id
    runs = known.runs + len(made)
    ended = 0 < firing.limit <= runs
    shelf.schedules[firing.id] = replace(
        known,
        runs=runs,
        skipped=known.skipped + len(firing.jobs) - len(made),
        tick_ms=None if ended else firing.next_tick_ms,
        due_ms=None if ended else firing.next_due_ms,
    )
    _enter(shelf, firing.id, None if ended else firing.next_due_ms)


def _enter(shelf: Shelf, schedule: str, due_ms: int | None) -> None:
    if due_ms is None:
        shelf.schedules_due.discard(schedule)
    else:
        shelf.schedules_due.put(schedule, due_ms)
