"""F34: flows over two queues whose workers are killed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import redis

from jobqueue import BackendUnavailable, Flow, JobState, Node, Queue, connect
from jobqueue.backends.redis.keys import prefix
from tests.faults.crew import Outfit
from tests.faults.flow_worker import SECOND
from tests.faults.ledger import Entry
from tests.faults.scene import Plan, Scene
from tests.faults.worker_process import QUEUE

_DROPPED = 0.02
_MEMBERS = (4, 9)
_CHILDREN = 3
_GIVEN_UP = 0.25
"""Of the submits, those that are cancelled in the middle."""
_EDGES = "edges"
"""In the run's folder: a line for each flow, with what each of its jobs comes after."""


def workers_of_two_queues(_: Plan, __: Path) -> Sequence[Outfit]:
    """Each serves both queues."""
    return [Outfit(module="tests.faults.flow_worker")]


@dataclass(slots=True)
class _Made:
    flow: Flow
    after: dict[str, list[str]]
    """For each job, whom it comes after, the children that it will have among them."""


async def killed_in_flows(scene: Scene) -> int:
    """F34: SIGKILL workers, lose replies and give up submits in the middle, while flows run across two queues."""
    plan, proxy = scene.plan, scene.proxy
    assert proxy is not None
    at_once = max(1, round(plan.jobs / plan.times / _MEMBERS[1]))
    async with connect(scene.url, fallback="never") as backend:
        queues = [Queue(name, backend=backend) for name in (QUEUE, SECOND)]
        struck = members = 0
        while struck < plan.times or members < plan.jobs:
            # A process that starts does not try again, by design: replies are lost while none does.
            await scene.workers.all_ready()
            proxy.share = _DROPPED
            made = [_flow(scene, queues, f"flow-{struck}-{place}") for place in range(at_once)]
            members += sum(await asyncio.gather(*(_submit(scene, each) for each in made)))
            await scene.pause()
            proxy.share = 0
            scene.workers.kill(scene.chance.randrange(len(scene.workers.processes)))
            struck += 1
        scene.figures["replies lost"] = proxy.dropped
    return struck


def _flow(scene: Scene, queues: Sequence[Queue], name: str) -> _Made:
    """A random graph, in which one job has children besides."""
    chance, flow = scene.chance, Flow(queues[0], id=name)
    nodes: list[Node[int, int]] = []
    worth: dict[str, int] = {}
    after: dict[str, list[str]] = {}
    count = chance.randint(*_MEMBERS)
    family = chance.randrange(count)
    for place in range(count):
        before = chance.sample(nodes, min(len(nodes), chance.randint(0, 3)))
        total = 1 + sum(worth[node.id] for node in before)
        job_type = "member"
        if place == family:
            job_type, total = "family", total + _CHILDREN
        node = flow.add(job_type, total, after=before, name=f"n{place}", queue=chance.choice(queues))
        worth[node.id], after[node.id] = total, [one.id for one in before]
        nodes.append(node)
        if place == family:
            children = [f"{node.id}/1.{number}" for number in range(_CHILDREN)]
            after |= dict.fromkeys(children, after[node.id])
            after[node.id] = [*after[node.id], *children]
    return _Made(flow, after)


async def _submit(scene: Scene, made: _Made) -> int:
    """Until it is acknowledged, as a caller would, or not even that; how many jobs there will be for sure."""
    given_up = scene.chance.random() < _GIVEN_UP
    patience = scene.chance.uniform(0, 0.03) if given_up else None
    scene.attempted.update(made.after)
    acknowledged = False
    while not acknowledged:
        try:
            async with asyncio.timeout(patience):
                await made.flow.submit()
            acknowledged = True
        except BackendUnavailable:
            await asyncio.sleep(0.1)
        except TimeoutError:
            break
    with (scene.workers.folder / _EDGES).open("a", encoding="utf-8") as edges:
        edges.write(json.dumps(made.after) + "\n")
    scene.count("flows")
    if not acknowledged:
        scene.count("submits given up")
        return 0
    for job_id in made.after:
        scene.ledger.write("acknowledged", job_id)
    return len(made.after)


async def each_in_its_turn(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """No job began before one that it comes after had ended; a flow is there as a whole or not at all; each came to
    what it should; and nothing waits any more.
    """
    first, ended = dict[str, float](), dict[str, float]()
    for entry in found:
        if entry.deed == "started":
            first.setdefault(entry.job, entry.at)
        elif entry.deed == "ended":
            ended.setdefault(entry.job, entry.at)
    whole = 0
    for line in (scene.workers.folder / _EDGES).read_text(encoding="utf-8").splitlines():
        after: dict[str, list[str]] = json.loads(line)
        there = [job_id for job_id in after if job_id in first]
        whole += len(there) == len(after)
        if len(there) not in {0, len(after)}:
            scene.complaints.append(f"of {list(after)} only {there} ran")
        for job_id in there:
            early = [one for one in after[job_id] if ended.get(one, first[job_id] + 1) > first[job_id]]
            if early:
                scene.complaints.append(f"{job_id} began before {early} had ended")
    scene.figures["flows that ran"] = whole
    backend = await queue.backend()
    for name in (QUEUE, SECOND):
        for job in await Queue(name, backend=backend).jobs(JobState.FAILED):
            scene.complaints.append(f"{job.id} failed: {job.error}")
        scene.complaints += await asyncio.to_thread(_waiting, scene.server.plain_url, name)


def _waiting(url: str, queue: str) -> list[str]:
    with redis.Redis.from_url(url, decode_responses=True) as client:  # pyright: ignore[reportUnknownMemberType]
        return [
            f"{key}: it still waits"
            for key in client.scan_iter(f"{prefix('jobqueue', queue)}needs:*")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        ]
