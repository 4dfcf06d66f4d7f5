"""A producer of a fault run: ``python -m tests.faults.producer_process URL LEDGER PREFIX COUNT RIVALS``.

RIVALS callers, each with connections of its own, enqueue COUNT jobs PREFIX-0, PREFIX-1 ... all under the same ids, and
write down what was acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from jobqueue import BackendUnavailable, Queue, connect
from tests.faults.ledger import Ledger
from tests.faults.worker_process import QUEUE

_AT_ONCE = 20


async def main(url: str, path: str, prefix: str, count: int, rivals: int) -> None:
    ledger = Ledger(Path(path))
    await asyncio.gather(*(_enqueue_all(url, ledger, prefix, count) for _ in range(rivals)))


async def _enqueue_all(url: str, ledger: Ledger, prefix: str, count: int) -> None:
    async with connect(url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for first in range(0, count, _AT_ONCE):
            batch = [f"{prefix}-{number}" for number in range(first, min(first + _AT_ONCE, count))]
            random.shuffle(batch)
            await asyncio.gather(*(_enqueue(queue, ledger, job_id) for job_id in batch))


async def _enqueue(queue: Queue, ledger: Ledger, job_id: str) -> None:
    while True:
        try:
            job = await queue.enqueue("work", 0, job_id=job_id)
        except BackendUnavailable:
            await asyncio.sleep(0.1)
        else:
            assert job.id == job_id
            ledger.write("acknowledged", job_id)
            return


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
