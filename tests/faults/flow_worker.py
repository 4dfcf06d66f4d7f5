"""A worker of two queues, whose jobs wait for each other: ``python -m tests.faults.flow_worker URL LEDGER LEASE LONGEST
GRACE``.

A member of a flow knows what the jobs before it come to, and fails for good if that is not what it is given.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from jobqueue import Job, NewJob, Queue, Registry, Unrecoverable, Worker, connect
from tests.faults import manners
from tests.faults.ledger import Ledger
from tests.faults.worker_process import QUEUE, SLOTS

SECOND = "faults-second"


async def main(url: str, path: str, lease: float, longest: float, grace: float) -> None:
    ledger, registry = Ledger(Path(path)), Registry()
    manners.take_up(registry, ledger, Path(path).parent)

    @registry.processor("member")
    async def member(job: Job[int]) -> int:
        ledger.write("started", job.id)
        await asyncio.sleep(random.uniform(0, longest))
        _check(job, 1 + sum(job.results.values()))
        ledger.write("ended", job.id)
        return job.data

    @registry.processor("family")
    async def family(job: Job[int]) -> int:
        before = sum(job.results.values())
        await job.spawn([NewJob("member", 1) for _ in range(job.data - 1 - before)], queue=SECOND)
        grown = await job.wait_for_children()
        # Only now: what comes before is run again, by design, when its children are done.
        ledger.write("started", job.id)
        _check(job, 1 + before + sum(grown))
        ledger.write("ended", job.id)
        return job.data

    async with connect(url, fallback="never") as backend:
        queues = [Queue(name, backend=backend, defaults=manners.defaults()) for name in (QUEUE, SECOND)]
        # Nobody is buried: what becomes of those that wait for a buried one is another question.
        worker = Worker(*queues, registry=registry, concurrency=SLOTS, lease=lease, grace=grace, max_stalls=1000)
        await worker.start()
        ledger.write("ready")
        await worker.run()


def _check(job: Job[int], total: int) -> None:
    if total != job.data:
        raise Unrecoverable(f"{job.id} was to come to {job.data}, and comes to {total}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:])))
