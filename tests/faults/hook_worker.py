"""A worker of jobs of which webhooks tell, or one that delivers these: ``python -m tests.faults.hook_worker URL LEDGER
LEASE LONGEST GRACE``. ``SERVES`` in its environment names its queue.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from jobqueue import Job, Keep, Queue, Registry, Unrecoverable, Worker, connect
from jobqueue.webhooks import deliver_webhooks
from tests.faults import manners
from tests.faults.ledger import Ledger
from tests.faults.steady_producer import EVERYTHING, FALTERS
from tests.faults.worker_process import SLOTS

SERVES = "FAULTS_SERVES"
_RESTS = (0.05, 0.1, 0.2, 0.5, *(1.0,) * 90)
"""Seconds between tries: a receiver that is away for a while is back before they are used up."""
_ANSWER_WITHIN = 5


async def main(url: str, path: str, lease: float, longest: float, grace: float) -> None:
    ledger, registry = Ledger(Path(path)), Registry()
    manners.take_up(registry, ledger, Path(path).parent)

    @registry.processor("work")
    async def work(job: Job[int]) -> None:
        ledger.write("started", job.id)
        await asyncio.sleep(random.uniform(0, longest))
        ledger.write("ended", job.id)

    @registry.processor("falter")
    async def falter(job: Job[int]) -> None:
        # Each attempt by itself: that there is more than one is no repeat.
        attempt = f"{job.id}~{job.attempt}"
        ledger.write("started", attempt)
        await asyncio.sleep(random.uniform(0, longest))
        ledger.write("ended", attempt)
        if job.attempt <= FALTERS:
            raise ConnectionError("the printer is out of paper")

    @registry.processor("lose")
    async def lose(job: Job[int]) -> None:
        ledger.write("started", job.id)
        ledger.write("ended", job.id)
        raise Unrecoverable("no such tenant")

    deliver_webhooks(
        registry, allow=["127.0.0.0/8"], timeout=_ANSWER_WITHIN, schedule=_RESTS, keep=Keep(completed=None)
    )
    async with connect(url, fallback="never") as backend:
        queue = Queue(os.environ[SERVES], backend=backend, defaults=EVERYTHING, dead_letter=None)
        # Nobody is buried: each job is to come to what it is for.
        worker = Worker(queue, registry=registry, concurrency=SLOTS, lease=lease, grace=grace, max_stalls=1000)
        await worker.start()
        ledger.write("ready")
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:])))
