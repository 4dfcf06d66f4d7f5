"""The few steps that exercises with unique keys are made of."""

from __future__ import annotations

from jobqueue.backends.protocol import (
    Amendment,
    Backend,
    Cancel,
    Clean,
    Command,
    Enqueued,
    NewRecord,
    Purge,
    Remove,
)
from jobqueue.model.events import EventType
from jobqueue.model.links import Need
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Retention
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.unique import Unique
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim

PLAIN = Unique("k")
THROTTLE = Unique("k", ttl=10)
REPLACE = Unique("k", replace=True)
LAST = Unique("k", keep_last=True)
BOTH = Unique("k", replace=True, keep_last=True)

ENDS: dict[str, Outcome] = {
    "completed": Completed(),
    "completed and gone": Completed(None, Retention(0)),
    "failed": Failed(ERROR),
    "failed and gone": Failed(ERROR, Retention(0)),
    "cancelled": Cancelled("enough"),
}
UNDONE: dict[str, Amendment | Command] = {
    "cancel": Cancel("no"),
    "remove": Remove(),
    "purge": Purge(delayed=True),
    "clean": Clean(JobState.WAITING),
}


def unique_job(job_id: str, unique: Unique = PLAIN, **wishes: object) -> NewRecord:
    """A job with a key."""
    wished = {"type": "t", "data": b'"%s"' % job_id.encode(), **wishes}
    return NewRecord(job_id, unique=unique, **wished)  # pyright: ignore[reportArgumentType]


def plain(job_id: str, *needs: str) -> NewRecord:
    """A job without one."""
    return NewRecord(job_id, "t", b"1", needs=tuple(Need(QUEUE, need) for need in needs))


async def ask(backend: Backend, job_id: str, unique: Unique = PLAIN, **wishes: object) -> Enqueued:
    """Enqueue a job with a key."""
    (answer,) = await backend.enqueue(QUEUE, [unique_job(job_id, unique, **wishes)])
    return answer


async def stands(backend: Backend, job_id: str, unique: Unique = PLAIN, **wishes: object) -> str:
    """Enqueue a job with a key; returns the id of the job that stands: its own if it was made."""
    answer = await ask(backend, job_id, unique, **wishes)
    assert answer.created is (answer.record.id == job_id)
    return answer.record.id


async def found(backend: Backend, job_id: str) -> JobRecord:
    """A job that must be there."""
    record = await backend.get(QUEUE, job_id)
    assert record is not None
    return record


async def undo(backend: Backend, job_id: str, what: Amendment | Command) -> None:
    """Amend one job, or all of the queue."""
    if isinstance(what, (Cancel, Remove)):
        await backend.amend(QUEUE, job_id, what)
    else:
        await backend.control(QUEUE, what)  # pyright: ignore[reportArgumentType]


async def start(backend: Backend, job_id: str) -> JobRecord:
    """Claim the next job, which must be this one."""
    (lease,) = await claim(backend)
    assert lease.id == job_id
    return lease


async def told(backend: Backend, cursor: str, *kinds: EventType) -> list[tuple[EventType, str, str]]:
    """Events of some kinds since then."""
    page = await backend.events(QUEUE, cursor, 0)
    return [(event.type, event.job_id, event.detail) for event in page.events if event.type in kinds]
