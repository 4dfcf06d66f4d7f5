"""A worker of a fault run: ``python -m tests.faults.worker_process URL LEDGER LEASE LONGEST GRACE``.

Each job waits up to LONGEST seconds, and writes its beginning and its end into the ledger; but a poisonous one ends
the process instead.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import random
import signal
import sys
from pathlib import Path

from jobqueue import Job, Queue, Registry, Worker, connect
from jobqueue.clock import SYSTEM_CLOCK
from tests.faults import manners
from tests.faults.ledger import Ledger
from tests.faults.shift import SHIFT, ShiftedClock

QUEUE = "faults"
SLOTS = 10
POISONS = ("exit", "segfault", "kill")
POISONOUS = "poison-"
"""How the ids of jobs begin that end their process."""


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


def register(registry: Registry, ledger: Ledger, longest: float, folder: Path) -> None:
    """All the processors that workers of fault runs have."""
    manners.take_up(registry, ledger, folder)

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


async def main(url: str, path: str, lease: float, longest: float, grace: float) -> None:
    ledger, registry = Ledger(Path(path)), Registry()
    register(registry, ledger, longest, Path(path).parent)
    shift = os.environ.get(SHIFT)
    clock = ShiftedClock(Path(shift)) if shift else SYSTEM_CLOCK
    async with connect(url, fallback="never", clock=clock) as backend:
        queue = Queue(QUEUE, backend=backend, defaults=manners.defaults())
        worker = Worker(
            queue, registry=registry, concurrency=SLOTS, lease=lease, grace=grace, name="one of many", clock=clock
        )
        await worker.start()
        vitals = asyncio.create_task(manners.write_vitals())
        ledger.write("ready")
        await worker.run()
        vitals.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:])))
