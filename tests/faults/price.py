"""What it costs to lose less in a failover: ``python -m tests.faults.price [ROUNDS]`` (minutes; not a test).

Three ways to enqueue on a primary with one replica, in turns so that whatever else the machine does hits all of them:
as it is; with ``min-replicas-to-write 1``; and with a ``WAIT`` for the replica after each job. For the first two it
also counts how many jobs are acknowledged after the replica has gone silent, its connection still open.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import redis.asyncio

from jobqueue import BackendUnavailable, Queue, connect
from tests.faults.replicas import ReplicatedServers, until

PRODUCERS, JOBS = 20, 150
"""Callers at once, and how many jobs each of them enqueues, one after the other."""
WAYS = ("as it is", "min-replicas", "WAIT")
DEAF_SECONDS = 8.0
MAX_LAG = 3
"""Seconds, of ``min-replicas-max-lag``. A replica reports once a second: 1 would refuse writes without a reason."""
WAIT_MS = 1000


async def throughput(servers: ReplicatedServers, way: str) -> float:
    """Jobs a second."""
    _demand(servers, replicas=way == "min-replicas", max_lag=10)
    async with connect(servers.url, fallback="never") as backend:
        queue = Queue("price", backend=backend)
        await queue.enqueue("any", 0)

        async def produce() -> None:
            async with redis.asyncio.Redis(port=servers.primary.port) as client:
                for number in range(JOBS):
                    await queue.enqueue("any", number)
                    if way == "WAIT":
                        # A write of its own, later than the job's: whoever has this one has that one.
                        await client.set("price", number)
                        heard = await client.wait(1, WAIT_MS)  # pyright: ignore[reportUnknownMemberType]
                        assert heard == 1, "the replica is not there"

        began = time.perf_counter()
        await asyncio.gather(*(produce() for _ in range(PRODUCERS)))
        took = time.perf_counter() - began
        await queue.obliterate(force=True)
    return PRODUCERS * JOBS / took


async def acknowledged_unheard(servers: ReplicatedServers, *, replicas: bool) -> tuple[int, float]:
    """How many jobs were acknowledged that the replica did not hear of, and for how many seconds that went on."""
    _demand(servers, replicas=replicas, max_lag=MAX_LAG)
    async with connect(servers.url, fallback="never", deadline=0.1) as backend:
        queue = Queue("price", backend=backend)
        await queue.enqueue("any", 0)
        servers.replica.stop()
        began = last = time.monotonic()
        acknowledged = 0
        while time.monotonic() < began + DEAF_SECONDS:
            try:
                await queue.enqueue("any", 1)
            except BackendUnavailable:
                continue
            acknowledged, last = acknowledged + 1, time.monotonic()
        servers.let_go()
        await asyncio.to_thread(until, servers.whole)
        _demand(servers, replicas=False, max_lag=10)
        await queue.obliterate(force=True)
    return acknowledged, last - began


def _demand(servers: ReplicatedServers, *, replicas: bool, max_lag: int) -> None:
    servers.primary.ask("CONFIG", "SET", "min-replicas-to-write", int(replicas), "min-replicas-max-lag", max_lag)


async def main(rounds: int) -> None:
    """Print both."""
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="jq-price-") as folder:
        servers = ReplicatedServers(Path(folder))
        await asyncio.to_thread(servers.start)
        try:
            for _ in range(rounds):
                for way in WAYS:
                    found[way].append(await throughput(servers, way))
            for way, figures in found.items():
                # Round by round: what else the machine does changes from one to the next.
                share = median(figure / plain for figure, plain in zip(figures, found[WAYS[0]], strict=True))
                print(f"{way}: {median(figures):.0f} jobs/s, {share:.2f} of {WAYS[0]!r}, medians of {rounds} rounds")
            for replicas in (False, True):
                count, seconds = await acknowledged_unheard(servers, replicas=replicas)
                print(f"min-replicas-to-write {int(replicas)}, max-lag {MAX_LAG}: {count} unheard in {seconds:.1f} s")
        finally:
            servers.kill()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
