"""A worker of a fault run: ``python -m tests.faults.worker_process URL LEDGER LEASE LONGEST``.

Each job waits up to LONGEST seconds, and writes its beginning and its end into the ledger; but a poisonous one ends
the process instead.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import random
import signal
import sys
from pathlib import Path

from jobqueue import Job, JobDefaults, Keep, Queue, Registry, Worker, connect
from jobqueue.clock import SYSTEM_CLOCK
from tests.faults.ledger import Ledger
from tests.faults.shift import SHIFT, ShiftedClock

QUEUE = "faults"
SLOTS = 10
GRACE = 5.0
POISONS = ("exit", "segfault", "kill")


def die(poison: str) -> None:
    """End this process as such a job would."""
    match poison:
        case "exit":
            os._exit(1)
        case "segfault":
            faulthandler.disable()
            os.kill(os.getpid(), signal.SIGSEGV)
        case _:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, path: str, lease: float, longest: float) -> None:
    ledger, registry = Ledger(Path(path)), Registry()

    @registry.processor("work")
    async def work(job: Job[int | str]) -> int | str:
        ledger.write("started", job.id)
        if isinstance(job.data, str):
            # Whatever runs here beside it is cut short for a reason.
            ledger.write("disturbed", process=os.getpid())
            die(job.data)
        await asyncio.sleep(random.uniform(0, longest))
        ledger.write("ended", job.id)
        return job.data if isinstance(job.data, str) or job.data < 2**63 else 0

    shift = os.environ.get(SHIFT)
    clock = ShiftedClock(Path(shift)) if shift else SYSTEM_CLOCK
    async with connect(url, fallback="never", clock=clock) as backend:
        queue = Queue(QUEUE, backend=backend, defaults=JobDefaults(keep=Keep(completed=None)))
        worker = Worker(queue, registry=registry, concurrency=SLOTS, lease=lease, grace=GRACE, clock=clock)
        await worker.start()
        ledger.write("ready")
        await worker.run()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
