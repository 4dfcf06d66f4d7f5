"""Two workers from one: ``python -m tests.faults.forked_worker URL LEDGER LEASE LONGEST GRACE``.

Makes a backend, uses it, makes a worker, and only then forks two children, each of which starts that worker. It hands
signals on to them, and ends as they do.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from jobqueue import BackendUnavailable, Queue, Registry, Worker
from jobqueue.backends import RedisBackend
from tests.faults import manners
from tests.faults.ledger import Ledger
from tests.faults.worker_process import QUEUE, SLOTS, register


def main(url: str, path: str, lease: float, longest: float, grace: float) -> int:
    ledger, registry = Ledger(Path(path)), Registry()
    register(registry, ledger, longest, Path(path).parent)
    # Not through connect(), whose block would close it again.
    backend = RedisBackend.from_url(url)
    queue = Queue(QUEUE, backend=backend, defaults=manners.defaults())
    asyncio.run(_use(backend, queue))
    worker = Worker(queue, registry=registry, concurrency=SLOTS, lease=lease, grace=grace, name="twin")
    children: list[int] = []
    ready, told = os.pipe()
    for _ in range(2):
        child = os.fork()
        if child == 0:
            asyncio.run(_work(backend, worker, told))
            os._exit(0)
        children.append(child)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: [os.kill(child, number) for child in children])
    for _ in children:
        os.read(ready, 1)
    ledger.write("ready")
    return max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)


async def _use(backend: RedisBackend, queue: Queue) -> None:
    """The lines that the children inherit are open."""
    while True:
        try:
            await backend.open()
            await queue.counts()
        except BackendUnavailable:
            # A lost reply, which opening does not make good.
            continue
        else:
            return


async def _work(backend: RedisBackend, worker: Worker, told: int) -> None:
    await worker.start()
    os.write(told, b".")
    await worker.run()
    await backend.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:])))
