"""The few steps that the exercises are made of."""

from __future__ import annotations

import itertools

from jobqueue.backends.protocol import Backend, Exchange, NewRecord, Page, Settlement
from jobqueue.model.outcome import Outcome
from jobqueue.model.record import JobError, JobRecord, JobState

QUEUE = "tickets"
ERROR = JobError("ValueError", "no", "Traceback …")

_sequence = itertools.count(1)


def job(job_id: str, *, priority: int = 3, delay_ms: int = 0, lifo: bool = False, data: bytes = b"1") -> NewRecord:
    """A job to enqueue."""
    return NewRecord(job_id, "ticket.created", data, priority=priority, delay_ms=delay_ms, lifo=lifo)


async def put(backend: Backend, *job_ids: str, queue: str = QUEUE) -> None:
    """Enqueue plain jobs in this order."""
    await backend.enqueue(queue, [job(job_id) for job_id in job_ids])


async def claim(backend: Backend, count: int = 1, *, worker: str = "w", lease_ms: int = 15_000) -> list[JobRecord]:
    """Claim jobs."""
    request = Exchange(worker, f"{worker}/0", next(_sequence), claim=count, lease_ms=lease_ms)
    return (await backend.exchange(QUEUE, request)).leases


async def settle(backend: Backend, lease: JobRecord, outcome: Outcome, *, logs: tuple[bytes, ...] = ()) -> Page:
    """Hand one outcome in."""
    settlement = Settlement(lease.id, lease.token or 0, outcome, logs)
    return await backend.exchange(QUEUE, Exchange(lease.worker, f"{lease.worker}/0", next(_sequence), [settlement]))


async def run(backend: Backend, job_id: str, outcome: Outcome) -> JobRecord:
    """Enqueue, claim and settle one job in an otherwise empty queue; returns the lease it had."""
    await put(backend, job_id)
    (lease,) = await claim(backend)
    await settle(backend, lease, outcome)
    return lease


async def state(backend: Backend, job_id: str) -> JobState | None:
    """Where the job is, None if it is gone."""
    record = await backend.get(QUEUE, job_id)
    return None if record is None else record.state


async def order(backend: Backend, of: JobState = JobState.WAITING, *, newest: bool = False) -> list[str]:
    """The ids of one state, in its order."""
    return [record.id for record in await backend.find(QUEUE, of, limit=1000, newest=newest)]
