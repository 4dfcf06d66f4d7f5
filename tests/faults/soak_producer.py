"""The producer of the soak: ``python -m tests.faults.soak_producer URL LEDGER MOST``.

Enqueues soak-0, soak-1 ..., as many as the workers get done and MOST of all, until it is told to stop; writes down what
was acknowledged, and what it holds.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from jobqueue import BackendUnavailable, Queue, connect
from tests.faults import manners
from tests.faults.ledger import Ledger
from tests.faults.worker_process import QUEUE

BATCH = 100


async def main(url: str, path: str, most: int) -> None:
    ledger, told_to_stop = Ledger(Path(path)), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, told_to_stop.set)
    async with connect(url, fallback="never") as backend:
        vitals = asyncio.create_task(manners.write_vitals())
        queue = Queue(QUEUE, backend=backend)
        ledger.write("ready")
        for first in range(0, most, BATCH):
            await asyncio.gather(*(_acknowledged(queue, ledger, f"soak-{first + place}") for place in range(BATCH)))
            # Others do the work: there is nothing here that could be waited on.
            while not told_to_stop.is_set() and await _crowded(queue):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            if told_to_stop.is_set():
                break
        await told_to_stop.wait()
        vitals.cancel()


async def _acknowledged(queue: Queue, ledger: Ledger, job_id: str) -> None:
    while True:
        try:
            await queue.enqueue("work", 0, job_id=job_id)
        except BackendUnavailable:
            await asyncio.sleep(0.1)
        else:
            ledger.write("acknowledged", job_id)
            return


async def _crowded(queue: Queue) -> bool:
    try:
        return (await queue.counts()).waiting > 2 * BATCH
    except BackendUnavailable:
        return True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
