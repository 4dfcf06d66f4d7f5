"""F35: groups whose workers are killed, and which are paused and resumed meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import redis

from jobqueue import BackendUnavailable, GroupLimits, Queue, connect
from jobqueue.backends.redis.keys import prefix
from tests.faults.ledger import Entry
from tests.faults.producers import struck
from tests.faults.scene import Scene
from tests.faults.spans import most_at_once, of, overlaps, spans
from tests.faults.steady_producer import GROUPS, UNGROUPED
from tests.faults.worker_process import QUEUE

_AT_ONCE = 12
"""Jobs of the queue that may run at the same time: less than the workers have slots."""
_PRODUCERS = 2
_PAUSERS = 3
_FAVOURED = "room-0"
_REMNANTS = {
    *("completed", "failed", "job", "end", "life", "meta", "calls", "events", "stats", "retention", "wake"),
    *("limits", "overrides", "groups", "orders", "seen", "workers"),
}
"""What may be stored of a queue in which all is done: of its finished jobs, of what was set for good, and of workers
that were killed last and not missed yet."""


async def killed_in_turns(scene: Scene) -> int:
    """F35: SIGKILL workers and a producer, and lose replies, while groups take turns one job at a time, some of them
    paused and resumed.
    """
    async with connect(scene.server.url, fallback="never") as by_hand, connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=by_hand)
        await queue.limit(concurrency=_AT_ONCE, groups=GroupLimits(concurrency=1))
        await queue.group(_FAVOURED).limit(weight=3)
        over = asyncio.Event()
        paused = Queue(QUEUE, backend=backend)
        pausers = [asyncio.create_task(_pause(scene, paused, number, over)) for number in range(_PAUSERS)]
        times = await struck(scene, GROUPS, _PRODUCERS, queue)
        over.set()
        await asyncio.gather(*pausers)
    return times


async def _pause(scene: Scene, queue: Queue, number: int, over: asyncio.Event) -> None:
    """One group after the other; none stays paused. Each pauser has groups of its own: one's resumption, which may be
    repeated for a lost reply, would undo another's pause.
    """
    while not over.is_set():
        # Those that have most of the jobs are called so: see the producer.
        group = queue.group(f"room-{scene.chance.randrange(number, 30, _PAUSERS)}")
        await _done(group.pause)
        scene.ledger.write("paused", group.name)
        scene.count("pauses")
        await asyncio.sleep(scene.chance.uniform(0.1, 0.8))
        scene.ledger.write("resumed", group.name)
        await _done(group.resume)


async def _done(call: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await call()
        except BackendUnavailable:
            await asyncio.sleep(0.1)
        else:
            return


async def one_at_a_time(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Of a group one job ran at a time, and of all no more than may; a paused one began nothing new; and of empty
    groups nothing is left.
    """
    note_attempts(scene, found)
    runs = spans(found)
    scene.complaints += overlaps(runs, lambda job_id: None if of(job_id) == UNGROUPED else of(job_id))
    scene.figures["jobs at once, at the most"] = at_once = most_at_once(runs)
    if at_once > _AT_ONCE:
        scene.complaints.append(f"{at_once} jobs ran at once, {_AT_ONCE} may")
    scene.figures["groups"] = len({of(run.job) for run in runs} - {UNGROUPED})
    scene.complaints += begun_while_paused(found)
    scene.complaints += await asyncio.to_thread(_left, scene.server.plain_url)
    if [group.name for group in await queue.groups()] != [_FAVOURED]:
        scene.complaints.append(f"groups that are left: {await queue.groups()}")


def note_attempts(scene: Scene, found: Sequence[Entry]) -> None:
    """What producers in processes of their own tried to enqueue."""
    scene.attempted.update(entry.job for entry in found if entry.deed == "attempted")


def begun_while_paused(found: Sequence[Entry]) -> list[str]:
    """Groups of concurrency 1 that began more than the one job that a worker may have had in hand when they were
    paused.
    """
    complaints: list[str] = []
    paused: set[str] = set()
    begun = Counter[str]()
    for entry in sorted(found, key=lambda each: each.at):
        if entry.deed == "paused":
            paused.add(entry.job)
            begun[entry.job] = 0
        elif entry.deed == "resumed":
            paused.discard(entry.job)
        elif entry.deed == "started" and (group := of(entry.job)) in paused:
            begun[group] += 1
            if begun[group] == 2:
                complaints.append(f"{entry.job} began, the second one since {group} was paused")
    return complaints


def _left(url: str) -> list[str]:
    start = prefix("jobqueue", QUEUE)
    with redis.Redis.from_url(url, decode_responses=True) as client:  # pyright: ignore[reportUnknownMemberType]
        names = [str(key).removeprefix(start) for key in client.scan_iter(f"{start}*")]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]
    return [f"{name} is left" for name in sorted(names) if name.partition(":")[0] not in _REMNANTS]
