"""The exchange: settle, move what is due, claim. All of it happens in one step of the loop."""

from __future__ import annotations

from dataclasses import replace

from jobqueue.backends.memory.crew import Call
from jobqueue.backends.memory.links import settle_heirs
from jobqueue.backends.memory.settling import settle
from jobqueue.backends.memory.shelf import Shelf, check_move, copied
from jobqueue.backends.memory.turns import Book
from jobqueue.backends.protocol import MAX_BATCH, Exchange, Page
from jobqueue.model.record import JobRecord, JobState, Trigger


def exchange(shelf: Shelf, request: Exchange, now_ms: int) -> Page:
    """See :meth:`jobqueue.backends.protocol.Backend.exchange`."""
    last = shelf.crew.calls.get(request.caller)
    if last is not None and last.sequence >= request.sequence:
        # An older one has been given up by its caller.
        last = last if last.sequence == request.sequence else replace(last, claimed=(), refused=frozenset())
        return _same_again(shelf, last, now_ms)
    refused: frozenset[str] = frozenset()
    letter = False
    shelf.earliest_delay_ms = None
    if request.settlements:
        refused, letter = settle(shelf, request.settlements, now_ms)
        settle_heirs(shelf, now_ms)
    if request.tallies:
        shelf.count_attempts(request.tallies, now_ms)
    move_due(shelf, now_ms)
    if shelf.earliest_delay_ms is not None and shelf.earliest_delay_ms == shelf.delayed.first_ms():
        # Whoever sleeps must know of it, as this worker may be about to stop, or busy for long.
        shelf.marker.put()

    held = shelf.hold_ms > now_ms
    leases: list[JobRecord] = []
    book = Book(shelf.groups, len(shelf.leases), request, now_ms)
    if request.claim > 0 and not shelf.paused and not held:
        letter = _claim(shelf, request, now_ms, leases, book) or letter
    left = book.close(leases)
    settle_heirs(shelf, now_ms)
    more = shelf.count(JobState.WAITING) > 0 if held or shelf.paused else left.more
    # Nothing was found by who has asked for more than this: it would only wake itself.
    if (more and not held and len(leases) >= min(request.claim, book.left)) or book.lent:
        shelf.wake()
    if leases:
        shelf.pass_on_room(now_ms)
    if leases or request.settlements or request.tallies or request.repeated:
        claimed = tuple([(record.id, record.token or 0) for record in leases])
        shelf.crew.calls[request.caller] = Call(request.sequence, now_ms, claimed, refused)
    shelf.journal.publish()
    shelf.claims = shelf.token
    look_again_ms = shelf.delayed.first_ms()
    rests = [moment for moment in (left.rests_until_ms, shelf.hold_ms if held else None) if moment is not None]
    rests_until_ms = min(rests, default=None)
    if rests_until_ms is not None:
        look_again_ms = rests_until_ms if look_again_ms is None else min(look_again_ms, rests_until_ms)
    crowded = left.crowded and not held and not shelf.paused
    outbox, shelf.has_effects = letter or shelf.has_effects, False
    return Page(leases, refused, now_ms, look_again_ms, more, shelf.paused, outbox, crowded, rests_until_ms)


def move_due(shelf: Shelf, now_ms: int) -> None:
    """What is due joins the end of the line, in order of its due time; a bounded number at once."""
    if not len(shelf.delayed):
        return
    for job_id in shelf.delayed.take_until(now_ms, MAX_BATCH):
        record = shelf.jobs[job_id]
        check_move(record, Trigger.DUE, JobState.WAITING)
        shelf.append(record)


def _claim(shelf: Shelf, request: Exchange, now_ms: int, leases: list[JobRecord], book: Book) -> bool:
    """Fill ``leases`` with copies of the claimed jobs; True if an expired one left a letter."""
    letter = False
    deadline = now_ms + request.lease_ms
    worker, claim, suspects = request.worker, book.left, request.suspects
    popped: list[str] = []
    put_back: list[JobRecord] = []
    while len(leases) < claim:
        if book.turned:
            if not popped:
                popped = book.take(shelf.jobs, claim - len(leases), leases)[::-1]
            job_id = popped.pop() if popped else None
        else:
            job_id = shelf.waiting.pop()
        if job_id is None:
            break
        record = shelf.jobs[job_id]
        if record.expires_ms is not None:
            shelf.expiring.discard(job_id)
            if record.expires_ms <= now_ms:
                letter = shelf.expire(record, now_ms, letter_to=request.dead_letter) or letter
                continue
        if record.stalls >= request.suspect_stalls:
            # Of the jobs that have cost workers a worker gets one at a time, so that it takes no other one with it.
            suspects -= 1
            if suspects < 0:
                put_back.append(record)
                continue
            if request.reserve:
                shelf.reserved.add(job_id)
        check_move(record, Trigger.CLAIMED, JobState.ACTIVE)
        shelf.token += 1
        record.state, record.token, record.worker = JobState.ACTIVE, shelf.token, worker
        record.started_ms = now_ms
        shelf.leases.put(job_id, deadline)
        leases.append(copied(record))
    shelf.prepend(put_back)
    shelf.tell_started(leases, now_ms)
    return letter


def _same_again(shelf: Shelf, last: Call, now_ms: int) -> Page:
    if not last.claimed and not shelf.paused and shelf.count(JobState.WAITING) > 0:
        # It may have come with a marker, of which nothing comes now.
        shelf.wake()
    leases: list[JobRecord] = []
    for job_id, token in last.claimed:
        record = shelf.jobs.get(job_id)
        # What was lost meanwhile would only be run for nothing: its settlement would be refused.
        if record is not None and record.token == token:
            lease = copied(record)
            lease.cancel_requested = None
            leases.append(lease)
    return Page(leases, last.refused, now_ms, more=True, outbox=True)
