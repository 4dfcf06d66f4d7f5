"""F29: the same worker twice, as preloading servers and careless start scripts make it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from jobqueue import Queue
from tests.faults.crew import Outfit
from tests.faults.ledger import Entry
from tests.faults.odd import odd_jobs, started
from tests.faults.scene import Plan, Scene

_DROPPED = 0.02


def forked_workers(_: Plan, __: Path) -> Sequence[Outfit]:
    """Every process makes one worker, connected and all, and forks: two children start that same worker."""
    return [Outfit(module="tests.faults.forked_worker")]


async def doubled_workers(scene: Scene) -> int:
    """F29: workers of one name that were made once and started twice, after a fork; replies are lost all the while, so
    that whoever is taken for another is given the other's jobs.
    """
    assert scene.proxy is not None
    for number in range(scene.plan.times):
        await scene.pause()
        # Until it is ready it has nobody to hand the signal on to.
        await scene.workers.all_ready()
        scene.proxy.share = _DROPPED
        ids = await odd_jobs(scene, f"double-{number}", "wait 0.01", 50)
        await started(scene, ids)
        scene.proxy.share = 0
        code, _ = await asyncio.to_thread(scene.workers.terminate, scene.chance.randrange(scene.plan.workers))
        if code != 0:
            scene.complaints.append(f"a worker that was told to stop ended with {code}")
    await scene.workers.all_ready()
    if not scene.proxy.dropped:
        scene.complaints.append("no reply was dropped")
    scene.count("replies dropped", scene.proxy.dropped)
    return scene.plan.times


async def tokens_are_unique(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """No two starts under one token, and both children of each parent had jobs."""
    tokens = Counter(entry.job for entry in found if entry.deed == "token")
    if shared := [token for token, starts in tokens.items() if starts > 1]:
        scene.complaints.append(f"started more than once under one token: {shared[:10]}")
    workers = {entry.process for entry in found if entry.deed == "started"}
    if len(workers) < 2 * scene.plan.workers:
        scene.complaints.append(f"only {len(workers)} processes had jobs")
    scene.figures["tokens, each once"], scene.figures["processes with jobs"] = len(tokens), len(workers)
