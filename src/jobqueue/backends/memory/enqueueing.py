"""Enqueueing: all of a batch, or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from jobqueue.backends.memory.links import GATE, Wish, block, connect, settle_heirs
from jobqueue.backends.memory.room import Room
from jobqueue.backends.memory.shelf import Shelf, check_move, copied
from jobqueue.backends.memory.unique import Fate, Verdict, gone, judged, keep_next, take
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
    verdicts = judged(shelf, jobs, now_ms)
    fresh = {job.id: job for job, verdict in zip(jobs, verdicts, strict=True) if verdict.makes}
    if not gate:
        _check_needs(shelf, fresh)
    if limited:
        _check_room(shelf, len(fresh), _coming(shelf, jobs, verdicts, now_ms), now_ms, wait_ms)
    keyed = any(job.unique is not None for job in jobs)
    while room.make(shelf, len(fresh), now_ms) and keyed:
        # Whoever was dropped for them may have held a key of theirs.
        settle_heirs(shelf, now_ms)
        verdicts = judged(shelf, jobs, now_ms)
        fresh = {job.id: job for job, verdict in zip(jobs, verdicts, strict=True) if verdict.makes}

    due_before = shelf.delayed.first_ms()
    linked: list[NewRecord] = []
    front: list[JobRecord] = []
    waiting = False
    for job, verdict in zip(jobs, verdicts, strict=True):
        if verdict.fate is Fate.OVER:
            moved = _take_over(shelf, shelf.jobs[verdict.stander], job, now_ms)
            waiting = waiting or moved
        if not verdict.makes:
            continue
        if verdict.fate is Fate.NEXT and job.unique is not None:
            keep_next(shelf, _record(shelf, job, now_ms), job, job.unique)
        elif job.needs or gate:
            _write_blocked(shelf, job, now_ms, gate)
            linked.append(job)
        else:
            _write(shelf, job, now_ms, front)
        if verdict.fate is Fate.NEW and job.unique is not None:
            take(shelf, job.id, job.unique, now_ms)
        if keyed:
            # The next one may have this one take over what it asks for: it must be in its place by then.
            _to_the_front(shelf, front)
        waiting = waiting or shelf.jobs[job.id].state is JobState.WAITING
        shelf.tell(EventType.ENQUEUED, job.id, now_ms, job.type)
    _to_the_front(shelf, front)
    answers = [_answer(shelf, job, verdict, now_ms) for job, verdict in zip(jobs, verdicts, strict=True)]
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


def _to_the_front(shelf: Shelf, records: list[JobRecord]) -> None:
    # Last in, first out: each goes before the one that came before it.
    for record in records:
        shelf.prepend((record,))
    records.clear()


def _answer(shelf: Shelf, job: NewRecord, verdict: Verdict, now_ms: int) -> Enqueued:
    match verdict.fate:
        case Fate.NEW | Fate.NEXT:
            return Enqueued(shelf.jobs[job.id], created=True)
        case Fate.KNOWN:
            shelf.tell(EventType.DUPLICATE, job.id, now_ms)
            return Enqueued(shelf.jobs[job.id], created=False)
        case _:
            over = verdict.fate is Fate.OVER
            shelf.tell(EventType.REPLACED if over else EventType.DEDUPLICATED, verdict.stander, now_ms, job.id)
            record = shelf.jobs.get(verdict.stander)
            if record is None:
                record = gone(shelf, job, job.unique.key if job.unique else "")
            return Enqueued(record, created=False)


def _check_room(shelf: Shelf, fresh: int, coming: Iterable[str], now_ms: int, wait_ms: int) -> None:
    """Raises QueueFull or GroupFull with nothing written; a caller that will wait is remembered."""
    refusal = _refusal(shelf, fresh, coming)
    if refusal is not None:
        if wait_ms:
            shelf.awaited_ms = max(shelf.awaited_ms, now_ms + wait_ms)
        raise full(shelf.queue, *refusal)
    if wait_ms:
        shelf.pass_on_room(now_ms)


def _refusal(shelf: Shelf, fresh: int, coming: Iterable[str]) -> tuple[int, str] | None:
    most = shelf.groups.limits.max_waiting
    if most is not None and fresh and sum(map(shelf.count, UNSTARTED)) + fresh > most:
        return most, ""
    counts: Counter[str] = Counter()
    for group in coming:
        counts[group] += 1
        most = shelf.groups.limits_of(group).max_waiting
        if most is not None and shelf.groups.length(group) + counts[group] > most:
            return most, group
    return None


def _coming(shelf: Shelf, jobs: Sequence[NewRecord], verdicts: Sequence[Verdict], now_ms: int) -> Iterable[str]:
    """The group of each job that would come to wait in one: new ones, and those that are moved there because they take
    over what another asks for.
    """
    lines: dict[str, str] = {}
    for job, verdict in zip(jobs, verdicts, strict=True):
        at_once = _due_ms(job, now_ms) <= now_ms
        if verdict.fate is Fate.OVER:
            stander = shelf.jobs.get(verdict.stander)
            state = None if stander is None else stander.state
            timed = state is JobState.DELAYED and at_once and job.unique is not None and job.unique.replace
            if stander is not None and state is JobState.WAITING and stander.group == job.group:
                lines[verdict.stander] = ""
            elif verdict.stander in lines or state is JobState.WAITING or timed:
                lines[verdict.stander] = job.group
        elif verdict.makes and at_once:
            lines[job.id] = job.group
    return filter(None, lines.values())


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
        unique=job.unique.key if job.unique is not None else "",
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


def _take_over(shelf: Shelf, record: JobRecord, job: NewRecord, now_ms: int) -> bool:
    """A job that has not begun takes over what another one asked for; True if it was moved to where it waits."""
    shelf.expiring.discard(record.id)
    due = job.run_at_ms if job.run_at_ms is not None else now_ms + job.delay_ms
    timed = record.state is JobState.DELAYED and job.unique is not None and job.unique.replace
    before = (record.priority, record.type, record.group)
    moved = record.state is JobState.WAITING and before != (job.priority, job.type, job.group)
    if timed or moved:
        shelf.pull_out(record)
    record.type, record.data, record.options = job.type, job.data, job.options
    record.priority, record.group = job.priority, job.group
    record.expires_ms = None if job.expires_in_ms is None else now_ms + job.expires_in_ms
    shelf.groups.lined = shelf.groups.lined or bool(job.group)
    if timed and due > now_ms:
        check_move(record, Trigger.RESCHEDULED, JobState.DELAYED)
        shelf.delay(record, due)
    elif timed:
        check_move(record, Trigger.PROMOTED, JobState.WAITING)
        if job.lifo:
            shelf.prepend((record,))
        else:
            shelf.append(record)
    elif moved:
        shelf.append(record)
    else:
        if record.state is JobState.BLOCKED:
            shelf.links.wishes[record.id] = Wish(job.delay_ms, job.run_at_ms, job.lifo)
        if record.expires_ms is not None:
            shelf.expiring.put(record.id, record.expires_ms)
    return record.state is JobState.WAITING and (timed or moved)
