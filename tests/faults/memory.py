"""F17: producers enqueue until the server has no memory left, and workers make room."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from jobqueue import BackendFull, BackendUnavailable, Keep, NewJob, Queue, connect
from tests.faults.ledger import Entry
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

PRODUCERS = 64
_ROOM_BYTES = 3_000_000
_LARGE = 10**4000
"""A job's data of some 4 kB."""
_REFUSALS = 2
"""How often each producer is refused before it gives up."""
_PATIENCE = 60.0


async def full_server(scene: Scene) -> int:
    """F17: 64 producers fill the server up to maxmemory; it is drained with no more room than that, and takes jobs."""
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for round_ in range(scene.plan.times):
            used = int((await asyncio.to_thread(scene.server.facts))["used_memory"])
            await asyncio.to_thread(scene.server.configure, maxmemory=used + _ROOM_BYTES)
            await asyncio.gather(*(_produce(queue, scene, f"{round_}-{number}") for number in range(PRODUCERS)))
            await _drained(queue, scene)
            await _taken_again(queue, scene, f"again-{round_}")
            await asyncio.to_thread(scene.server.configure, maxmemory=0)
    return scene.plan.times


async def producers_were_refused(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """The fault did strike."""
    if scene.figures.get("batches refused", 0) < PRODUCERS:
        scene.complaints.append("the server was never full")


async def _produce(queue: Queue, scene: Scene, name: str) -> None:
    refused = number = 0
    while refused < _REFUSALS:
        # Some come alone, and are coalesced with others'; some are batches, to be taken whole or not at all.
        size = scene.chance.choice((1, 1, 5, 20))
        ids = [f"full-{name}-{number + place}" for place in range(size)]
        number += size
        scene.attempted.update(ids)
        scene.fleeting.update(ids)
        try:
            if size == 1:
                await queue.enqueue("work", _LARGE, job_id=ids[0], keep=Keep(completed=0))
            else:
                await queue.enqueue_many([NewJob("work", _LARGE, job_id=id_, keep=Keep(completed=0)) for id_ in ids])
        except BackendFull:
            refused += 1
            scene.count("batches refused")
            if there := [job_id for job_id in ids if await queue.get(job_id) is not None]:
                scene.complaints.append(f"of a refused batch there is {there}")
            await asyncio.sleep(scene.chance.uniform(0, 0.05))
        else:
            for job_id in ids:
                scene.ledger.write("acknowledged", job_id)
            scene.count("large jobs taken", size)


async def _drained(queue: Queue, scene: Scene) -> None:
    for _ in range(round(_PATIENCE / 0.05)):
        counts = await queue.counts()
        if not counts.waiting and not counts.active:
            return
        await asyncio.sleep(0.05)
    scene.complaints.append(f"a full server was not drained: {await queue.counts()}")


async def _taken_again(queue: Queue, scene: Scene, job_id: str) -> None:
    scene.attempted.add(job_id)
    try:
        await queue.enqueue("work", 0, job_id=job_id)
    except (BackendFull, BackendUnavailable) as error:
        scene.complaints.append(f"a drained server takes no jobs: {error}")
    else:
        scene.ledger.write("acknowledged", job_id)
