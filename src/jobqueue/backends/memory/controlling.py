"""Commands: what a person may do to a whole queue."""

from __future__ import annotations

from jobqueue.backends.memory.limiting import set_limits
from jobqueue.backends.memory.links import settle_heirs
from jobqueue.backends.memory.shelf import Shelf
from jobqueue.backends.memory.unique import rival
from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits, SetLimits
from jobqueue.backends.protocol import MAX_BATCH, Clean, Command, Obliterate, Pause, Purge, Resume, RetryFailed
from jobqueue.errors import InvalidState
from jobqueue.model.events import EventType
from jobqueue.model.record import FINISHED, JobState

_IN_ORDER = (
    JobState.WAITING,
    JobState.ACTIVE,
    JobState.DELAYED,
    JobState.COMPLETED,
    JobState.FAILED,
    JobState.CANCELLED,
    JobState.BLOCKED,
)


def control(shelf: Shelf, command: Command, now_ms: int) -> list[str]:
    """See :meth:`jobqueue.backends.protocol.Backend.control`."""
    changed: list[str] = []
    match command:
        case Pause():
            shelf.paused = True
            shelf.marker.clear()
            shelf.tell(EventType.PAUSED, "", now_ms)
        case Resume():
            shelf.paused, shelf.hold_ms = False, 0
            if shelf.count(JobState.WAITING):
                shelf.wake()
            shelf.tell(EventType.RESUMED, "", now_ms)
        case Purge(delayed):
            changed = _purge(shelf, JobState.WAITING, now_ms)
            if delayed:
                changed += _purge(shelf, JobState.DELAYED, now_ms)
        case Clean():
            changed = _clean(shelf, command, now_ms)
        case RetryFailed(limit):
            for job_id in shelf.ids(JobState.FAILED):
                if len(changed) < limit and rival(shelf, job_id, now_ms) is None:
                    shelf.revive(shelf.jobs[job_id], now_ms)
                    changed.append(job_id)
            if changed:
                shelf.wake()
        case Obliterate(force):
            return _dissolve(shelf, now_ms, force=force)
        case SetLimits() | SetGroupLimits() | PauseGroup() | ResumeGroup() | PurgeGroup():
            changed = set_limits(shelf, command, now_ms)
    settle_heirs(shelf, now_ms)
    shelf.journal.publish()
    return changed


def _purge(shelf: Shelf, state: JobState, now_ms: int) -> list[str]:
    purged = shelf.ids(state)
    for job_id in purged:
        shelf.remove(shelf.jobs[job_id])
    if purged:
        shelf.tell(EventType.PURGED, "", now_ms, str(len(purged)))
    return purged


def _clean(shelf: Shelf, command: Clean, now_ms: int) -> list[str]:
    if command.state is JobState.ACTIVE:
        raise InvalidState("active jobs cannot be cleaned: cancel them, or obliterate(force=True)")
    cutoff = now_ms - command.older_than_ms
    cleaned: list[str] = []
    for job_id in shelf.ids(command.state):
        if len(cleaned) >= command.limit:
            break
        record = shelf.jobs[job_id]
        since = record.finished_ms if command.state in FINISHED else record.created_ms
        if since is not None and since <= cutoff:
            cleaned.append(job_id)
    for job_id in cleaned:
        shelf.remove(shelf.jobs[job_id])
    if cleaned:
        shelf.tell(EventType.CLEANED, "", now_ms, str(len(cleaned)))
    return cleaned


def _dissolve(shelf: Shelf, now_ms: int, *, force: bool) -> list[str]:
    """Remove every job, and leave in the outbox what other queues must hear of it; the caller forgets the rest."""
    active = len(shelf.leases)
    if active and not force:
        raise InvalidState(f"queue {shelf.queue!r} has {active} active jobs: wait for them, or obliterate(force=True)")
    gone: list[str] = []
    while shelf.jobs:
        ids = next(ids for state in _IN_ORDER if (ids := shelf.ids(state, 0, MAX_BATCH)))
        for job_id in ids:
            shelf.remove(shelf.jobs[job_id])
        settle_heirs(shelf, now_ms)
        gone += ids
    return gone
