"""Fifty lanes in one process, each with a waker and a slot of its own: ``python -m tests.faults.herd_process URL LEDGER
LEASE LONGEST GRACE``. Each time that the server wakes one of them is written into the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
from pathlib import Path

from jobqueue import Job, JobDefaults, Keep, Queue, Registry, Worker
from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import Exchange, Page
from tests.faults.ledger import Ledger
from tests.faults.worker_process import QUEUE

LANES = 50


class Watched(RedisBackend):
    """Writes down who is woken."""

    ledger: Ledger

    async def wait(self, queue: str, seconds: float) -> bool:
        woken = await super().wait(queue, seconds)
        if woken:
            self.ledger.write("woken")
        return woken

    async def await_jobs(self, queue: str, seconds: float, request: Exchange) -> Page:
        loop = asyncio.get_running_loop()
        began = loop.time()
        page = await super().await_jobs(queue, seconds, request)
        # The page of one who was woken and came too late looks like that of one for whom nothing came.
        if loop.time() - began < seconds:
            self.ledger.write("woken")
        return page


async def main(url: str, path: str, lease: float, longest: float, grace: float) -> None:
    ledger, registry = Ledger(Path(path)), Registry()

    @registry.processor("work")
    async def work(job: Job[int]) -> None:
        ledger.write("started", job.id)
        await asyncio.sleep(random.uniform(0, longest))
        ledger.write("ended", job.id)

    backend = Watched.from_url(url)
    backend.ledger = ledger
    await backend.open()
    queue = Queue(QUEUE, backend=backend, defaults=JobDefaults(keep=Keep(completed=None)))
    workers = [Worker(queue, registry=registry, concurrency=1, lease=lease, grace=grace) for _ in range(LANES)]
    await asyncio.gather(*(worker.start() for worker in workers))
    ledger.write("ready")
    await workers[0].run()
    await asyncio.gather(*(worker.stop() for worker in workers))
    await backend.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    asyncio.run(main(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:])))
