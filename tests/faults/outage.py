"""F5: the server is down for several leases while every slot is taken."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobqueue import NewJob, Queue, connect
from tests.faults.ledger import Entry, entries
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_LEASES = 3
"""For how many leases' time the server is down."""
_PATIENT = 4
"""Kinds of connections that wait as long as they like: two pumps, the waker, the listener."""
_URGENT = 2
"""Those that are tried again within a third of a lease: upkeep, and the keeping of leases."""
_EACH = 1.3
"""Attempts in a second that each may make: about one."""
_LINES = 2
"""What a worker may say of one outage."""


async def long_outage(scene: Scene) -> int:
    """F5: the server is down for three leases: jobs end meanwhile, and workers ask for it seldom and say so once."""
    proxy = scene.proxy
    assert proxy is not None
    down = _LEASES * scene.plan.lease
    for round_ in range(scene.plan.times):
        await _full_slots(scene, round_)
        said, began = scene.workers.said("backend.lost"), _ended(scene)
        await asyncio.to_thread(scene.server.kill)
        await asyncio.sleep(down / 2)
        # The first tries follow each other quickly, so that a short outage is a short one for the jobs too.
        asked = len(proxy.accepted)
        await asyncio.sleep(down / 2)
        scene.count("jobs that ended meanwhile", _ended(scene) - began)
        attempts = (len(proxy.accepted) - asked) / (down / 2) / scene.plan.workers
        lines = (scene.workers.said("backend.lost") - said) / scene.plan.workers
        await asyncio.to_thread(scene.server.start)
        scene.most("attempts a second of a worker", attempts)
        scene.most("lines of a worker for an outage", lines)
    return scene.plan.times


async def outages_are_borne_quietly(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Handlers went on, and neither the network nor the log was flooded."""
    figures = scene.figures
    if not figures["jobs that ended meanwhile"]:
        scene.complaints.append("no job ended while the server was down")
    # Half of a third, because nobody waits for just as long as the others.
    most = _PATIENT * _EACH + _URGENT * max(_EACH, 6 / scene.plan.lease)
    if figures["attempts a second of a worker"] > most:
        scene.complaints.append("workers asked too often whether the server is back")
    if figures["lines of a worker for an outage"] > _LINES:
        scene.complaints.append("workers said too often that the server is away")


async def _full_slots(scene: Scene, round_: int) -> None:
    """Enqueue a share of jobs, and return when workers are busy with them and nobody enqueues any more."""
    share = scene.plan.jobs // scene.plan.times
    ids = [f"long-{round_}-{number}" for number in range(share)]
    scene.attempted.update(ids)
    async with connect(scene.server.url, fallback="never") as backend:
        await Queue(QUEUE, backend=backend).enqueue_many([NewJob("work", 0, job_id=job_id) for job_id in ids])
    for job_id in ids:
        scene.ledger.write("acknowledged", job_id)
    await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)


def _ended(scene: Scene) -> int:
    return sum(entry.deed == "ended" for entry in entries(scene.ledger.path))
