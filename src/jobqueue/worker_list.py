"""The workers that are alive, as they themselves report every few seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from jobqueue.backends.protocol import Backend, Presence
from jobqueue.connect import checked_backend
from jobqueue.default_backend import default_backend
from jobqueue.model.times import moment


@dataclass(frozen=True, slots=True)
class Slots:
    """A worker's slots on one queue, and how many of them run a job."""

    total: int
    busy: int


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One live worker: where it runs, what it serves, and when it was last heard of."""

    id: str
    name: str
    host: str
    pid: int
    started_at: datetime
    last_seen: datetime
    queues: dict[str, Slots] = field(default_factory=dict[str, Slots])


async def workers(backend: Backend | None = None) -> list[WorkerInfo]:
    """Every live worker, sorted by id. One that died without a word stays listed for some twenty seconds."""
    found = checked_backend(backend) or await default_backend()
    lanes: dict[str, list[tuple[str, Presence]]] = {}
    for queue in await found.queues():
        for presence in await found.workers(queue):
            lanes.setdefault(presence.worker, []).append((queue, presence))
    return [_info(worker, lanes[worker]) for worker in sorted(lanes)]


def _info(worker: str, lanes: list[tuple[str, Presence]]) -> WorkerInfo:
    _, first = lanes[0]
    return WorkerInfo(
        id=worker,
        name=first.name,
        host=first.host,
        pid=first.pid,
        started_at=moment(first.started_ms),
        last_seen=moment(max(presence.last_seen_ms for _, presence in lanes)),
        queues={queue: Slots(presence.slots, presence.busy) for queue, presence in lanes},
    )
