"""Odd jobs (``manners``), as faults see them: enqueued, started, and what became of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from jobqueue import Job, Queue, connect
from tests.faults.ledger import Entry, entries
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE


async def odd_jobs(scene: Scene, prefix: str, manner: str, count: int) -> list[str]:
    """Enqueue jobs that behave like this; returns their ids."""
    ids = [f"{prefix}-{number}" for number in range(count)]
    scene.attempted.update(ids)
    # Not through the proxy: opening a backend does not try again, by design, and what drops replies may be on.
    async with connect(scene.server.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for job_id in ids:
            await queue.enqueue("odd", manner, job_id=job_id)
            scene.ledger.write("acknowledged", job_id)
    return ids


def seen(scene: Scene) -> list[Entry]:
    """The ledger so far."""
    return entries(scene.workers.path)


async def started(scene: Scene, ids: Sequence[str], times: int = 1) -> list[Entry]:
    """The last start of each of these, once each has started so often."""
    deadline = time.monotonic() + 60
    while True:
        starts = [entry for entry in seen(scene) if entry.deed == "started" and entry.job in ids]
        by_job = {job_id: [entry for entry in starts if entry.job == job_id] for job_id in ids}
        if all(len(of_job) >= times for of_job in by_job.values()):
            return [of_job[-1] for of_job in by_job.values()]
        if time.monotonic() > deadline:
            raise TimeoutError(f"not started: {[job_id for job_id, of in by_job.items() if len(of) < times]}")
        await asyncio.sleep(0.02)


async def odd(queue: Queue, found: Sequence[Entry]) -> list[Job[str, int]]:
    """All of them that were started."""
    ids = {entry.job for entry in found if entry.deed == "started" and not entry.job.startswith(("job-", "more-"))}
    return [job for job_id in sorted(ids) if (job := await queue.get(job_id)) is not None]
