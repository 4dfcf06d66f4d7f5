"""F36: webhooks whose workers and deliverers are killed, and whose receiver is no better."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from jobqueue import JobState, Queue, Webhook, connect
from jobqueue.backends.redis.keys import outbox
from jobqueue.webhook import WEBHOOKS
from tests.faults.crew import Outfit
from tests.faults.draining import all_jobs, drained
from tests.faults.groups import note_attempts
from tests.faults.hook_receiver import HEARD, SECRETS, TAKEN
from tests.faults.hook_worker import SERVES
from tests.faults.ledger import Entry
from tests.faults.parts import ROOT, free_port
from tests.faults.producers import struck
from tests.faults.scene import Plan, Scene
from tests.faults.spans import of
from tests.faults.steady_producer import CANCELLED, FALTERS, HOOKS, LOST
from tests.faults.whole import torn
from tests.faults.worker_process import QUEUE

_PRODUCERS = 2
_RECEIVER_DIES = 3.0
"""Seconds between two deaths of the receiver, about."""
_PATIENCE = 60.0
_BOOKS, _LOSSES = "/books", "/losses"
"""The one is told of everything, the other of jobs of one type that fail."""

Change = tuple[str, str, str]
"""Who is told, of what, of which job."""


def workers_and_deliverers(_: Plan, __: Path) -> Sequence[Outfit]:
    """In turn."""
    module = "tests.faults.hook_worker"
    return [Outfit({SERVES: QUEUE}, module), Outfit({SERVES: WEBHOOKS}, module)]


async def killed_with_notices(scene: Scene) -> int:
    """F36: SIGKILL workers, those that deliver, producers and the receiver, and lose replies, while webhooks tell of
    jobs; the receiver answers 500, or hangs up, every fourth time.
    """
    port = free_port()
    async with connect(scene.server.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        address = f"http://127.0.0.1:{port}"
        for webhook in (
            Webhook(
                "books",
                address + _BOOKS,
                events=["job.completed", "job.failed", "job.cancelled", "job.retrying"],
                include=["error"],
            ),
            Webhook("losses", address + _LOSSES, events=["job.failed"], types=["los*"], include=["data"]),
        ):
            await queue.webhooks.put(webhook)
        secrets = {_BOOKS: await queue.webhooks.secret("books"), _LOSSES: await queue.webhooks.secret("losses")}
        (scene.workers.folder / SECRETS).write_text(json.dumps(secrets), encoding="utf-8")
        async with _receiver(scene, port):
            times = await struck(scene, HOOKS, _PRODUCERS, queue)
            await _told_ofall_jobs(scene, queue, Queue(WEBHOOKS, backend=backend))
    return times


@asynccontextmanager
async def _receiver(scene: Scene, port: int) -> AsyncGenerator[None]:
    """It is killed now and then, and always comes back."""
    command = (sys.executable, "-m", "tests.faults.hook_receiver", str(port), str(scene.workers.path))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)

    async def live_and_die() -> None:
        nonlocal process
        while True:
            await scene.workers.ready({process.pid})
            await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * _RECEIVER_DIES)
            process.kill()
            await process.wait()
            scene.count("receivers killed")
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)

    dying = asyncio.create_task(live_and_die())
    try:
        yield
    finally:
        dying.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await dying
        process.kill()
        await process.wait()


async def _told_ofall_jobs(scene: Scene, queue: Queue, deliveries: Queue) -> None:
    """Return when nothing is left to be told, in the order in which it goes: jobs, the outbox, deliveries."""
    for job in await all_jobs(queue, JobState.DELAYED):
        # Its producer was killed before it could.
        if of(job.id) == CANCELLED:
            await queue.cancel(job.id)
    for each in (queue, deliveries):
        await drained(each)
        patience = time.monotonic() + _PATIENCE
        while left := await asyncio.to_thread(_in_outbox, scene.server.plain_url, each.name):
            if time.monotonic() > patience:
                scene.complaints.append(f"{left} effects stay in the outbox of {each.name}")
                break
            await asyncio.sleep(0.05)


def _in_outbox(url: str, queue: str) -> int:
    with redis.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        return int(client.xlen(outbox("jobqueue", queue)))


@dataclass(frozen=True, slots=True)
class Heard:
    """One request, as the receiver wrote it down."""

    to: str
    id: str
    type: str
    job: str
    body: str
    status: int

    @property
    def change(self) -> Change:
        """Of what it tells."""
        return self.to, self.type, self.job


async def all_was_told(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Each change that an endpoint wants to hear of was taken by it, under an id of its own, with one body, rightly
    signed; nobody heard of anything else; and each job has come to what it was for.
    """
    note_attempts(scene, found)
    changes = Counter[Change]()
    ends: dict[str, JobState] = {}
    for state in (JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED):
        for job in await all_jobs(queue, state):
            ends[job.id] = state
            changes.update(_told_of(job.id, state))
    for entry in found:
        due = {LOST: JobState.FAILED, CANCELLED: JobState.CANCELLED}.get(of(entry.job), JobState.COMPLETED)
        if entry.deed in {"acknowledged", "promised"} and ends.get(entry.job) != due:
            scene.complaints.append(f"{entry.job} is {ends.get(entry.job)}, and should be {due}")
    lines = (scene.workers.folder / HEARD).read_text(encoding="utf-8").splitlines()
    heard = [Heard(**json.loads(line)) for line in lines]
    scene.complaints += misheard(changes, heard)
    deliveries = Queue(WEBHOOKS, backend=await queue.backend())
    made = {job.id for job in await all_jobs(deliveries, JobState.COMPLETED)}
    if made != {each.id for each in heard}:
        scene.complaints.append(f"{len(made)} deliveries were completed, {len({each.id for each in heard})} ids heard")
    if (counts := await deliveries.counts()).total != len(made):
        scene.complaints.append(f"deliveries: {counts}")
    scene.complaints += await asyncio.to_thread(torn, scene.server.plain_url, WEBHOOKS)
    answers = Counter(each.status for each in heard)
    taken = Counter(each.id for each in heard if each.status == TAKEN)
    scene.figures |= {
        "changes told of": changes.total(),
        "requests": len(heard),
        "answered badly or not at all": len(heard) - answers[TAKEN],
        "told again though taken": taken.total() - len(taken),
    }


def _told_of(job_id: str, state: JobState) -> Counter[Change]:
    changes = Counter[Change]({(_BOOKS, f"job.{state}", job_id): 1})
    if of(job_id) == "faltered":
        changes[_BOOKS, "job.retrying", job_id] = FALTERS
    if of(job_id) == LOST:
        changes[_LOSSES, "job.failed", job_id] = 1
    return changes


def misheard(changes: Counter[Change], heard: Sequence[Heard]) -> list[str]:
    """What is wrong with what was heard, of these changes, in words."""
    ids: dict[Change, set[str]] = defaultdict(set)
    meant: dict[str, set[tuple[Change, str]]] = defaultdict(set)
    for each in heard:
        ids[each.change].add(each.id)
        meant[each.id].add((each.change, each.body))
    taken = {each.id for each in heard if each.status == TAKEN}
    return [
        *(
            f"{change} happened {changes[change]} times, and was told under {sorted(ids[change])}"
            for change in changes.keys() | ids.keys()
            if len(ids[change]) != changes[change]
        ),
        *(f"{one} stands for {sorted(meanings)}" for one, meanings in meant.items() if len(meanings) > 1),
        *(f"{one} was never taken" for one in sorted(meant.keys() - taken)),
    ]
