"""A worker that dies: ``python -m tests.webhooks.dying_worker URL WHEN``.

WHEN is ``settled``: the job has been settled, and nothing been handed over; ``handed``: the delivery is in its queue,
and still in the outbox too; or ``never``.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from jobqueue import Job, JobDefaults, Keep, Queue, Registry, Worker, connect
from jobqueue.backends.redis.calls import Calls
from jobqueue.webhooks import deliver_webhooks

LEASE = 1.0


def die_before(what: str) -> None:
    """End this process before it sends this command about an outbox for the first time."""
    command = Calls.command

    async def or_die(self: Calls, *words: Any) -> Any:
        if words[0] == what and "outbox" in str(words[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return await command(self, *words)

    Calls.command = or_die


async def main(url: str, when: str) -> None:
    registry = Registry()

    @registry.processor("invoice.send", keep=Keep(completed=0))
    async def send(job: Job[int]) -> int:
        return job.data

    deliver_webhooks(registry, allow=["127.0.0.0/8"], schedule=[0.05] * 20)
    if when != "never":
        die_before("XRANGE" if when == "settled" else "XDEL")
    async with connect(url, fallback="never") as backend:
        defaults = JobDefaults(keep=Keep(completed=None))
        queues = [Queue(name, backend=backend, defaults=defaults, dead_letter=None) for name in ("tickets", "webhooks")]
        async with Worker(*queues, registry=registry, lease=LEASE, concurrency=5):
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
