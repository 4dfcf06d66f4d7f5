"""F37: unique keys whose holders are killed, in a queue with a rate."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis

from jobqueue import JobState, Queue, Rate, connect
from jobqueue.backends.redis.keys import named
from tests.faults.crew import Outfit
from tests.faults.draining import all_jobs, drained
from tests.faults.groups import note_attempts
from tests.faults.ledger import Entry
from tests.faults.producers import struck
from tests.faults.scene import Plan, Scene
from tests.faults.spans import most_within, of, overlaps, spans
from tests.faults.steady_producer import KEYS, LAST_KEY, LASTING_KEY, TTL
from tests.faults.worker_process import QUEUE

_PRODUCERS = 3
_RATE = 80
"""Starts in a second."""
_WINDOW = 5
"""Seconds in which starts are counted: what a busy machine starts late may crowd one second, and no five."""
_PATIENCE = 10.0


def workers_of_keyed_jobs(_: Plan, __: Path) -> Sequence[Outfit]:
    """All alike."""
    return [Outfit(module="tests.faults.keyed_worker")]


async def killed_with_keys(scene: Scene) -> int:
    """F37: SIGKILL workers and producers, and lose replies, while producers race for unique keys (until done, for a
    time, keeping the last) in a queue with a rate.
    """
    async with connect(scene.server.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        await queue.limit(rate=Rate(_RATE, per=1))
        times = await struck(scene, KEYS, _PRODUCERS, queue)
        await drained(queue)
        # Upkeep lets those go whose time is over.
        patience = time.monotonic() + (TTL + scene.plan.lease) * scene.plan.slack + _PATIENCE
        while held := await asyncio.to_thread(_held, scene.server.plain_url):
            if time.monotonic() > patience:
                scene.complaints.append(f"nothing is left to do, and keys are held: {held}")
                break
            await asyncio.sleep(0.1)
    return times


def _held(url: str) -> dict[str, Any]:
    with redis.Redis.from_url(url, decode_responses=True) as client:  # pyright: ignore[reportUnknownMemberType]
        unique: dict[str, str] = client.hgetall(named("jobqueue", QUEUE, "unique"))  # pyright: ignore[reportAssignmentType]
        lasting: list[str] = client.zrange(named("jobqueue", QUEUE, "lasting"), 0, -1)  # pyright: ignore[reportUnknownMemberType, reportAssignmentType]
    return unique | dict.fromkeys(lasting, "lasting")


async def one_for_each_key(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Of a key one job ran at a time; one that lasts let one job in for its time; the last run saw what was wanted
    last; who fell never ran; and the rate was kept.
    """
    note_attempts(scene, found)
    runs = spans(found)
    scene.complaints += overlaps(runs, lambda job_id: None if job_id.startswith(LASTING_KEY) else of(job_id))
    scene.complaints += crowded_times(await _created(queue))
    scene.complaints += last_is_not_least(found)
    fallen = {entry.job for entry in found if entry.deed == "fallen"}
    if ran := fallen & {run.job for run in runs}:
        scene.complaints.append(f"{sorted(ran)} ran, though others stood for them")
    scene.figures["fell"] = len(fallen)
    scene.figures["starts in a second, at the most"] = most_within(runs, 1)
    scene.figures[f"in {_WINDOW} seconds"] = most = most_within(runs, _WINDOW)
    if most > _RATE * (_WINDOW + 1):
        scene.complaints.append(f"{most} jobs began within {_WINDOW} s, and {_RATE} a second may")


async def _created(queue: Queue) -> list[tuple[str, float]]:
    """Of all the jobs of keys that last, their ids and when they came, in seconds by the server's clock."""
    found = await all_jobs(queue, JobState.COMPLETED)
    return [(job.id, job.created_at.timestamp()) for job in found if job.id.startswith(LASTING_KEY)]


def crowded_times(created: Sequence[tuple[str, float]]) -> list[str]:
    """Jobs that came in while their key was still held by the one before."""
    by_key: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for job_id, at in created:
        by_key[of(job_id)].append((at, job_id))
    return [
        f"{second} came {later - at:.3f} s after {first}, while that held its key"
        for jobs in by_key.values()
        for (at, first), (later, second) in pairwise(sorted(jobs))
        # Both are whole milliseconds; what is left is the arithmetic of floats.
        if later - at < TTL - 0.0005
    ]


def last_is_not_least(found: Sequence[Entry]) -> list[str]:
    """Keys of which the last run saw other data than what was wanted last, and jobs that saw two sorts.

    Where several raced any of them may be last whose call ended after all others had begun; one of which nothing more
    was heard never ended, for all that is known.
    """
    began = dict[str, float]()
    told = defaultdict[str, float](lambda: math.inf)
    running = dict[int, str]()
    seen = dict[str, tuple[float, str]]()
    by_job = defaultdict[str, set[str]](set)
    for entry in found:
        if entry.deed == "started":
            running[entry.process] = entry.job
        elif entry.deed == "saw":
            by_job[running[entry.process]].add(entry.job)
            key = of(entry.job)
            seen[key] = max(seen.get(key, (0.0, "")), (entry.at, entry.job))
        elif entry.deed == "attempted":
            began[entry.job] = entry.at
        elif entry.deed in {"acknowledged", "fallen"}:
            told[entry.job] = entry.at
    complaints = [f"{job} saw {sorted(data)}, one after the other" for job, data in by_job.items() if len(data) > 1]
    latest = dict[str, list[float]]()
    for job_id, at in began.items():
        if job_id.startswith(f"{LAST_KEY}-"):
            latest[of(job_id)] = sorted([*latest.get(of(job_id), []), at])[-2:]
    for key, ends in latest.items():
        _, last = seen.get(key, (0.0, "nothing"))
        if last not in began:
            complaints.append(f"the last run of {key} saw {last}")
            continue
        others = [at for at in ends if at != began[last]]
        if others and told[last] < max(others):
            complaints.append(f"the last run of {key} saw {last}, and others were wanted after that")
    return complaints
