"""One run for each fault: enqueue under it, take it away, drain, judge."""

from __future__ import annotations

import asyncio
import random
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from jobqueue import BackendFull, BackendUnavailable, JobState, Queue, connect
from tests.faults.catalogue import FAULTS
from tests.faults.crew import WorkerProcesses
from tests.faults.draining import all_jobs, drained
from tests.faults.fault import Fault
from tests.faults.judge import Judgement, judge
from tests.faults.ledger import Ledger, entries
from tests.faults.proxy import Proxy
from tests.faults.scene import Plan, Scene
from tests.faults.whole import torn
from tests.faults.worker_process import POISONOUS, QUEUE

_BATCH = 50


@dataclass(frozen=True, slots=True)
class Report:
    """What came of it."""

    fault: str
    plan: Plan
    struck: int
    judgement: Judgement
    exit_codes: tuple[int, ...]
    complaints: tuple[str, ...]
    figures: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def sound(self) -> bool:
        """Nothing at all went wrong."""
        return self.judgement.sound and not self.complaints


async def run(name: str, plan: Plan) -> Report:
    """Enqueue ``plan.jobs`` while the fault strikes; when all is quiet again and nothing is left to do, judge."""
    chance = random.Random(plan.seed)
    fault = FAULTS[name]
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jq-fault-")))
        server = fault.server(folder)
        await asyncio.to_thread(server.start)
        stack.callback(server.end)
        proxy = await stack.enter_async_context(Proxy(server.port, chance)) if fault.proxied else None
        path = folder / "ledger"
        ledger = Ledger(path)
        stack.callback(ledger.close)
        url = proxy.url if proxy else server.url
        outfits = fault.dress(plan, folder) if fault.dress else ()
        workers = WorkerProcesses(
            url, ledger, path, lease=plan.lease, longest=plan.longest, grace=plan.grace, outfits=outfits
        )
        stack.callback(workers.end)
        for _ in range(plan.workers):
            workers.add()
        await workers.all_ready()
        scene = Scene(plan, chance, ledger, server, workers, proxy, set())
        struck = await _under(fault, scene)
        async with connect(server.url, fallback="never", clock=server.clock) as backend:
            queues = [Queue(name, backend=backend) for name in fault.queues]
            await drained(*queues)
            # One that has only just been started has no handler for the signal yet.
            await workers.all_ready()
            codes = await asyncio.to_thread(workers.end)
            completed = [job.id for queue in queues for job in await all_jobs(queue, JobState.COMPLETED)]
            for queue in queues:
                scene.complaints += await asyncio.to_thread(torn, server.plain_url, queue.name)
            failed = [job for queue in queues for job in await all_jobs(queue, JobState.FAILED)]
            buried = [job.id for job in failed if job.error is not None and job.error.type == "WorkerLost"]
            found = entries(path)
            ended = {entry.job for entry in found if entry.deed == "ended"}
            completed += [job_id for job_id in scene.fleeting & ended if await queues[0].get(job_id) is None]
            if fault.inspect is not None:
                await fault.inspect(scene, queues[0], found)
            if fault.innocent and (wronged := [job_id for job_id in buried if not job_id.startswith(POISONOUS)]):
                scene.complaints.append(f"buried, though they did nothing: {sorted(wronged)}")
    judgement = judge(found, completed, scene.attempted, buried=buried, mortal=scene.mortal, outages=fault.outages)
    # A lease, and a round of upkeep, which comes every third of one.
    promised = plan.lease * 4 / 3 * plan.slack
    if fault.recovers and judgement.recovery_p99 > promised:
        scene.complaints.append(f"p99 of recovery is {judgement.recovery_p99:.1f} s, {promised:.1f} s are promised")
    return Report(name, plan, struck, judgement, tuple(codes), tuple(scene.complaints), scene.figures)


async def _under(fault: Fault, scene: Scene) -> int:
    """Enqueue for as long as the fault strikes, and all of the plan's jobs at least; returns how often it struck."""
    ids = [f"job-{number}" for number in range(scene.plan.jobs)]
    async with connect(scene.url, fallback="never", clock=scene.server.clock) as backend:
        queue = Queue(QUEUE, backend=backend)
        striking = asyncio.create_task(fault.strike(scene))
        while fault.loaded and (not striking.done() or ids):
            batch, ids = ids[:_BATCH], ids[_BATCH:]
            if not batch:
                # The queue has run dry before the last strike: go on until it is over.
                batch = [f"more-{scene.chance.getrandbits(60):x}" for _ in range(_BATCH)]
            scene.attempted.update(batch)
            await asyncio.gather(*(_acknowledged(queue, job_id, scene) for job_id in batch))
            await _room(queue, striking)
        return await striking


async def _acknowledged(queue: Queue, job_id: str, scene: Scene) -> None:
    """Enqueue until it is acknowledged, as a caller would: again, under the same id."""
    while True:
        try:
            await queue.enqueue("work", 0, job_id=job_id)
        except (BackendUnavailable, BackendFull):
            scene.count("enqueues refused")
            await asyncio.sleep(0.1)
        else:
            scene.ledger.write("acknowledged", job_id)
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
