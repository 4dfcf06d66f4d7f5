"""A worker of jobs with unique keys: ``python -m tests.faults.keyed_worker URL LEDGER LEASE LONGEST GRACE``.

Each run writes down which data it saw.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from jobqueue import Job, Queue, Registry, Worker, connect
from tests.faults import manners
from tests.faults.ledger import Ledger
from tests.faults.steady_producer import EVERYTHING
from tests.faults.worker_process import QUEUE, SLOTS


async def main(url: str, path: str, lease: float, longest: float, grace: float) -> None:
    ledger, registry = Ledger(Path(path)), Registry()
    manners.take_up(registry, ledger, Path(path).parent)

    @registry.processor("keyed")
    async def keyed(job: Job[str]) -> str:
        # Nothing comes between these two in this process: so it can be told which run saw what.
        ledger.write("started", job.id)
        ledger.write("saw", job.data)
        await asyncio.sleep(random.uniform(0, longest))
        ledger.write("ended", job.id)
        return job.data

    async with connect(url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend, defaults=EVERYTHING)
        # Nobody is buried: each key's last job is to come to its end.
        worker = Worker(queue, registry=registry, concurrency=SLOTS, lease=lease, grace=grace, max_stalls=1000)
        await worker.start()
        ledger.write("ready")
        await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:])))
