"""Lines that the host writes while a worker runs are the host's."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, logging
from jobqueue import Job, Queue, Registry, Worker, connect

registry = Registry()
log = logging.getLogger("app")

@registry.processor("a.b", retry=False)
async def fail(job: Job[int]) -> None:
    raise ValueError("no")

async def main():
    async with connect("memory://") as backend:
        queue = Queue("tickets", backend=backend)
        log.warning("before")
        async with Worker(queue, registry=registry):
            log.warning("meanwhile")
            log.info("not shown")
            job = await queue.enqueue("a.b", 1)
            try:
                await job.result(timeout=10)
            except Exception:
                pass
        log.warning("after")

asyncio.run(main())
"""


def test_where_nothing_is_configured_python_still_shows_warnings() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr.splitlines() == ["before", "meanwhile", "job.failed", "after"]


def test_what_is_configured_is_not_shown_twice() -> None:
    program = f"import logging; logging.basicConfig(format='%(message)s')\n{PROGRAM}"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stderr.splitlines() == ["before", "meanwhile", "job.failed", "after"]
