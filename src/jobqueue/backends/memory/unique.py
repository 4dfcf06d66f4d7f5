"""Unique keys: who holds which, who comes next, and what becomes of a new job whose key is held."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from jobqueue.backends.memory.effects import Outcome
from jobqueue.backends.memory.links import GATE, KEY_GATE, Wish, block, resolve
from jobqueue.backends.memory.timetable import Timetable
from jobqueue.backends.protocol import NewRecord
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.unique import Unique

if TYPE_CHECKING:
    from jobqueue.backends.memory.shelf import Shelf


@dataclass(slots=True)
class Hold:
    """Who holds a key: since when, until when (None: until it is done), how it has ended (while the time goes on),
    and who is kept until it is done.
    """

    id: str
    since_ms: int
    until_ms: int | None = None
    ended: str = ""
    next: str | None = None


class Keys:
    """The keys of one queue, and what its jobs have asked for."""

    def __init__(self) -> None:
        self.holds: dict[str, Hold] = {}
        self.lasting = Timetable()
        self.asked: dict[str, Unique] = {}
        self.begun: set[str] = set()
        """Jobs with a key that were handed back by a worker, so that nothing else tells that they have begun."""

    def forget(self, job_id: str) -> None:
        """A job is gone."""
        self.asked.pop(job_id, None)
        self.begun.discard(job_id)

    def free(self, key: str) -> None:
        """Nobody holds it any more."""
        del self.holds[key]
        self.lasting.discard(key)

    def fade(self, now_ms: int, limit: int) -> int:
        """Forget what was held for a time; returns how many were looked at."""
        over = self.lasting.take_until(now_ms, limit)
        for key in over:
            if self.holds[key].next is None:
                del self.holds[key]
        return len(over)


class Fate(Enum):
    """What becomes of a new job."""

    KNOWN = "its id is taken"
    NEW = "it is made"
    NEXT = "it is made, and kept until another is done"
    FELL = "another stands"
    OVER = "another stands, and takes over what it asked for"


class Verdict(NamedTuple):
    """What becomes of a new job, and who stands in its place."""

    fate: Fate
    stander: str = ""

    @property
    def makes(self) -> bool:
        """Whether there is a new job."""
        return self.fate in (Fate.NEW, Fate.NEXT)


_NEW, _KNOWN = Verdict(Fate.NEW), Verdict(Fate.KNOWN)


@dataclass(slots=True)
class _Standing:
    """A key as those who come find it."""

    id: str
    unfinished: bool = True
    begun: bool = False
    expired: bool = False
    """It will not run any more, though nobody has seen to it yet."""
    next: str | None = None


def judged(shelf: Shelf, jobs: Sequence[NewRecord], now_ms: int) -> list[Verdict]:
    """What becomes of each, in order; nothing is written."""
    found: dict[str, _Standing | None] = {}
    made: set[str] = set()
    verdicts: list[Verdict] = []
    for job in jobs:
        verdict = _NEW
        if job.id in made or job.id in shelf.jobs:
            verdict = _KNOWN
        elif job.unique is not None:
            key = job.unique.key
            if key not in found:
                found[key] = _standing(shelf, key, now_ms)
            verdict, found[key] = _met(found[key], job.unique, job.id)
        if verdict.makes:
            made.add(job.id)
        verdicts.append(verdict)
    return verdicts


def _standing(shelf: Shelf, key: str, now_ms: int) -> _Standing | None:
    hold = shelf.keys.holds.get(key)
    if hold is None or (hold.until_ms is not None and hold.until_ms <= now_ms and hold.next is None):
        return None
    record = shelf.jobs.get(hold.id)
    if record is None or record.state.finished:
        return None if hold.until_ms is None else _Standing(hold.id, unfinished=False)
    begun = record.state is JobState.ACTIVE or bool(record.failures or record.stalls) or record.id in shelf.keys.begun
    overdue = record.expires_ms is not None and record.expires_ms <= now_ms
    expired = overdue and not begun and hold.until_ms is None
    return _Standing(hold.id, begun=begun, expired=expired, next=hold.next)


def _met(standing: _Standing | None, unique: Unique, job_id: str) -> tuple[Verdict, _Standing]:
    if standing is None or (standing.expired and not unique.replaces):
        return _NEW, _Standing(job_id)
    if not standing.unfinished or not unique.replaces:
        return Verdict(Fate.FELL, standing.id), standing
    if not standing.begun:
        return Verdict(Fate.OVER, standing.id), standing
    if standing.next is not None:
        return Verdict(Fate.OVER, standing.next), standing
    if not unique.keep_last:
        return _NEW, _Standing(job_id)
    standing.next = job_id
    return Verdict(Fate.NEXT, standing.id), standing


def take(shelf: Shelf, job_id: str, unique: Unique, now_ms: int) -> None:
    """A new job holds its key."""
    keys = shelf.keys
    keys.asked[job_id] = unique
    until_ms = None if unique.ttl_ms is None else now_ms + unique.ttl_ms
    keys.holds[unique.key] = Hold(job_id, now_ms, until_ms)
    keys.lasting.discard(unique.key)
    if until_ms is not None:
        keys.lasting.put(unique.key, until_ms)


def keep_next(shelf: Shelf, record: JobRecord, job: NewRecord, unique: Unique) -> None:
    """A new job is blocked until the one that holds its key is done."""
    shelf.keys.asked[record.id] = unique
    shelf.keys.holds[unique.key].next = record.id
    block(shelf, record, Wish(job.delay_ms, job.run_at_ms, job.lifo), [(KEY_GATE, GATE)])


def let_go(shelf: Shelf, job_id: str, unique: Unique, state: str, now_ms: int) -> None:
    """A job that asked for a key has ended, in whatever way."""
    keys = shelf.keys
    hold = keys.holds.get(unique.key)
    if hold is None:
        return
    over = hold.until_ms is None or hold.until_ms <= now_ms
    if hold.next == job_id:
        hold.next = None
        needs = shelf.links.needs.get(job_id, {})
        needs.pop(KEY_GATE, None)
        if not needs:
            shelf.links.needs.pop(job_id, None)
        shelf.links.wishes.pop(job_id, None)
        if hold.until_ms is not None and over:
            keys.free(unique.key)
    elif hold.id == job_id and hold.next is not None:
        keys.holds[unique.key] = Hold(hold.next, now_ms)
        keys.lasting.discard(unique.key)
        resolve(shelf, hold.next, KEY_GATE, Outcome("completed"), now_ms)
    elif hold.id == job_id and not over and state != "removed":
        hold.ended = state
    elif hold.id == job_id:
        keys.free(unique.key)


def rival(shelf: Shelf, job_id: str, now_ms: int) -> str | None:
    """The unfinished job because of which a finished one cannot begin again."""
    unique = shelf.keys.asked.get(job_id)
    if unique is None or unique.ttl is not None:
        return None
    standing = _standing(shelf, unique.key, now_ms)
    if standing is None or not standing.unfinished or standing.expired or standing.id == job_id:
        return None
    return standing.id


def take_again(shelf: Shelf, job_id: str, now_ms: int) -> None:
    """A finished job begins again, and nobody else holds its key."""
    shelf.keys.begun.discard(job_id)
    unique = shelf.keys.asked.get(job_id)
    if unique is not None and unique.ttl is None:
        take(shelf, job_id, unique, now_ms)


def gone(shelf: Shelf, job: NewRecord, key: str) -> JobRecord:
    """A job that still holds a key and is there no more, as far as it is known."""
    hold = shelf.keys.holds[key]
    return JobRecord(
        hold.id, shelf.queue, job.type, job.data, JobState(hold.ended),
        priority=job.priority, options=job.options, created_ms=hold.since_ms, group=job.group, unique=key,
    )  # fmt: skip
