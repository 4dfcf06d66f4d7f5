"""One run for each fault: enqueue under it, take it away, drain, judge."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobqueue import BackendUnavailable, Queue, connect
from tests.faults.judge import Judgement, judge
from tests.faults.ledger import Ledger, entries
from tests.faults.parts import DurableServer, ReplyDropper, WorkerProcesses
from tests.faults.worker_process import QUEUE

_BATCH = 50
_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a fault there is to be. Times are in seconds."""

    jobs: int
    times: int
    """How often the fault strikes."""
    seed: int
    lease: float = 15
    longest: float = 0.02
    """Of a job."""
    workers: int = 3
    every: float = 0.25
    """Between two strikes."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it."""

    fault: str
    plan: Plan
    struck: int
    judgement: Judgement
    exit_codes: tuple[int, ...]


@dataclass(slots=True)
class Scene:
    """What a fault can lay hands on."""

    plan: Plan
    chance: random.Random
    server: DurableServer
    workers: WorkerProcesses
    dropper: ReplyDropper | None


Strike = Callable[[Scene], Coroutine[Any, Any, int]]


async def killed_workers(scene: Scene) -> int:
    """F2: SIGKILL one worker after the other, in the middle of their jobs."""
    for _ in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        scene.workers.kill(scene.chance.randrange(len(scene.workers.processes)))
    return scene.plan.times


async def killed_server(scene: Scene) -> int:
    """F3: SIGKILL the server and start it again on its append-only file."""
    for _ in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        await asyncio.to_thread(scene.server.kill)
        await asyncio.sleep(scene.chance.uniform(0, 0.3))
        await asyncio.to_thread(scene.server.start)
    return scene.plan.times


async def dropped_replies(scene: Scene) -> int:
    """F6: requests go through, and their replies are lost."""
    assert scene.dropper is not None
    scene.dropper.share = 0.02
    await scene.dropper.until(scene.plan.times)
    scene.dropper.share = 0
    return scene.dropper.dropped


async def stopped_workers(scene: Scene) -> int:
    """F7: SIGSTOP a worker until its leases have run out and its jobs run elsewhere, then wake it."""
    for _ in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        place = scene.chance.randrange(len(scene.workers.processes))
        scene.workers.stop(place)
        await asyncio.sleep(2.5 * scene.plan.lease)
        scene.workers.wake(place)
    return scene.plan.times


FAULTS: dict[str, Strike] = {
    "F2": killed_workers,
    "F3": killed_server,
    "F6": dropped_replies,
    "F7": stopped_workers,
}


async def run(fault: str, plan: Plan) -> Report:
    """Enqueue ``plan.jobs`` while the fault strikes; when all is quiet again and nothing is left to do, judge."""
    chance = random.Random(plan.seed)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jq-fault-")))
        server = DurableServer(folder)
        await asyncio.to_thread(server.start)
        stack.callback(server.kill)
        dropper = None
        if fault == "F6":
            dropper = await stack.enter_async_context(ReplyDropper(server.port, chance))
        url = dropper.url if dropper else server.url
        path = folder / "ledger"
        ledger = Ledger(path)
        stack.callback(ledger.close)
        workers = WorkerProcesses(url, ledger, path, lease=plan.lease, longest=plan.longest)
        stack.callback(workers.end)
        for _ in range(plan.workers):
            workers.add()
        await _ready(path, plan.workers)
        scene = Scene(plan, chance, server, workers, dropper)
        attempted: set[str] = set()
        ids = [f"job-{number}" for number in range(plan.jobs)]

        async with connect(url, fallback="never") as backend:
            queue = Queue(QUEUE, backend=backend)
            # Only now: opening a backend does not try again, by design, so that a fallback is quick.
            striking = asyncio.create_task(FAULTS[fault](scene))
            while not striking.done() or ids:
                batch, ids = ids[:_BATCH], ids[_BATCH:]
                if not batch:
                    # The queue has run dry before the last strike: go on until it is over.
                    batch = [f"more-{chance.getrandbits(60):x}" for _ in range(_BATCH)]
                attempted.update(batch)
                await asyncio.gather(*(_acknowledged(queue, job_id, ledger) for job_id in batch))
                await _room(queue, striking)
            struck = await striking

        async with connect(server.url, fallback="never") as backend:
            queue = Queue(QUEUE, backend=backend)
            async with asyncio.timeout(_PATIENCE):
                await _drained(queue)
            codes = await asyncio.to_thread(workers.end)
            completed = await _completed(queue)
        found = entries(path)
    judgement = judge(found, completed, attempted, outages=fault in {"F3", "F6"})
    return Report(fault, plan, struck, judgement, tuple(codes))


async def _ready(path: Path, workers: int) -> None:
    # Other processes write the file: there is nothing here that could be waited on.
    while sum(entry.deed == "ready" for entry in entries(path)) < workers:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def _acknowledged(queue: Queue, job_id: str, ledger: Ledger) -> None:
    """Enqueue until it is acknowledged, as a caller would: again, under the same id."""
    while True:
        try:
            await queue.enqueue("work", 0, job_id=job_id)
        except BackendUnavailable:
            await asyncio.sleep(0.1)
        else:
            ledger.write("acknowledged", job_id)
            return


async def _room(queue: Queue, striking: asyncio.Task[int]) -> None:
    """Return when the workers have nearly caught up: a fault should hit jobs that run, not a backlog."""
    for _ in range(200):
        await asyncio.sleep(0.02)
        try:
            if striking.done() or (await queue.counts()).waiting < 2 * _BATCH:
                return
        except BackendUnavailable:
            return


async def _drained(queue: Queue) -> None:
    while (counts := await queue.counts()).waiting or counts.active or counts.delayed:  # noqa: ASYNC110  # other processes do it
        await asyncio.sleep(0.05)


async def _completed(queue: Queue) -> list[str]:
    found: list[str] = []
    while page := await queue.jobs("completed", limit=1000, offset=len(found)):
        found += [job.id for job in page]
    return found
