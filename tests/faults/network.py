"""F20: slow networks, narrow ones, ones that deliver byte by byte, and one that swallows everything one way."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence

from jobqueue import BackendUnavailable, Queue, connect
from tests.faults.ledger import Entry
from tests.faults.proxy import Proxy, Way
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_LATENCIES = (0.001, 0.01, 0.05)
_RATE = 100_000.0
_NOTICED = 12.0
"""Seconds: an idle worker calls every third of a lease, a call is given up after five; busy machines add to that."""
_WAYS: tuple[Way, Way] = ("replies", "requests")


async def bad_networks(scene: Scene) -> int:
    """F20: latency of 1, 10, 50 ms; 100 kB/s; one byte at a time; and a connection that swallows one direction."""
    proxy = scene.proxy
    assert proxy is not None
    struck = 0
    for round_ in range(scene.plan.times):
        for latency in _LATENCIES:
            proxy.delay = latency
            struck += await _for_a_while(scene, f"{1000 * latency:.0f} ms")
        proxy.rate = _RATE
        struck += await _for_a_while(scene, "100 kB/s")
        proxy.slices = 1
        struck += await _for_a_while(scene, "one byte at a time")
        await _swallowed(scene, proxy, _WAYS[(scene.plan.seed + round_) % 2])
        struck += 1
    return struck


async def no_lease_was_lost_to_slowness(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """What began twice did so because of the black hole, not of a slow network."""
    holes = [entry.at for entry in found if entry.deed == "hole"]
    starts: dict[str, list[float]] = defaultdict(list)
    for entry in found:
        if entry.deed == "started":
            starts[entry.job].append(entry.at)
    for job_id, times in starts.items():
        if len(times) > 1 and not any(times[0] <= hole <= times[-1] for hole in holes):
            scene.complaints.append(f"{job_id} began {len(times)} times on a slow network")


async def _for_a_while(scene: Scene, what: str) -> int:
    """Let jobs run under what is set, then smooth the way again."""
    proxy = scene.proxy
    assert proxy is not None
    async with connect(scene.server.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        before, began = (await queue.counts()).completed, time.monotonic()
        await asyncio.sleep(scene.chance.uniform(0.8, 1.2) * scene.plan.every)
        done = (await queue.counts()).completed - before
        scene.figures[f"jobs/s, {what}"] = round(done / (time.monotonic() - began), 1)
    proxy.smooth()
    return 1


async def _swallowed(scene: Scene, proxy: Proxy, way: Way) -> None:
    """Swallow one direction until somebody has noticed: a caller, and the workers."""
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        await queue.counts()
        before = scene.workers.said("backend.lost")
        scene.ledger.write("hole")
        proxy.swallow = way
        began = time.monotonic()
        caller = asyncio.create_task(_noticed(queue))
        for _ in range(round(_NOTICED / 0.05)):
            if scene.workers.said("backend.lost") > before:
                break
            await asyncio.sleep(0.05)
        if scene.workers.said("backend.lost") == before:
            scene.complaints.append(f"no worker noticed within {_NOTICED} s that its {way} were swallowed")
        scene.most("a worker noticed a black hole after, s", time.monotonic() - began)
        took = await caller
        if took > _NOTICED:
            scene.complaints.append(f"a caller noticed after {took:.1f} s that its {way} were swallowed")
        scene.most("a caller noticed a black hole after, s", took)
        proxy.smooth()
        scene.ledger.write("hole")


async def _noticed(queue: Queue) -> float:
    began = time.monotonic()
    try:
        await queue.counts()
    except BackendUnavailable:
        return time.monotonic() - began
    return float("inf")
