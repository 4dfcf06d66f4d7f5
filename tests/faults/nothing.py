"""F1: no fault at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import cast

import redis.asyncio

from jobqueue import Queue
from jobqueue.backends.redis import keys
from tests.faults.ledger import Entry
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_TABLE_ROW = re.compile(r"^\| (``.+?) +\| ", re.MULTILINE)
_DECLARED = [
    re.compile(re.sub(r"<\w+>", "[^{}]+", name) + r"\Z")
    for row in _TABLE_ROW.findall(keys.__doc__ or "")
    for name in re.findall(r"``([^`]+)``", row)
]
_UNFINISHED = {
    *("waiting", "delayed", "active", "blocked", "leases"),
    *("cancelling", "expiring", "outbox", "seen", "workers"),
}
_EXPIRING = ("stats:", "orders:")


async def nothing_at_all(_: Scene) -> int:
    """F1: no fault, so that the arithmetic itself is tested: every job starts once, and no key is left over."""
    return 0


async def all_ran_once_and_left_nothing(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Each job started once; what is stored is what the list of keys says, and belongs to finished jobs."""
    starts = [entry.job for entry in found if entry.deed == "started"]
    if sorted(starts) != sorted(scene.attempted):
        scene.complaints.append(f"{len(starts)} starts of {len(scene.attempted)} jobs")
    counts = await queue.counts()
    finished = counts.completed + counts.failed + counts.cancelled
    async with redis.asyncio.Redis.from_url(scene.server.url) as client:  # pyright: ignore[reportUnknownMemberType]
        found_keys = cast("list[bytes]", await client.keys())  # pyright: ignore[reportUnknownMemberType]
        stored = [key.decode() for key in found_keys]
        prefix = keys.prefix("jobqueue", QUEUE)
        own = [key.removeprefix(prefix) for key in stored if key.startswith(prefix)]
        strangers = {key for key in stored if not key.startswith(prefix)} - {keys.queues("jobqueue")}
        strangers |= {key for key in own if not any(pattern.match(key) for pattern in _DECLARED)}
        if strangers:
            scene.complaints.append(f"keys that nobody declared: {sorted(strangers)[:10]}")
        if left := sorted(set(own) & _UNFINISHED):
            scene.complaints.append(f"nothing is left to do, but there are {left}")
        if (records := sum(key.startswith("job:") for key in own)) != finished:
            scene.complaints.append(f"{records} records of {finished} finished jobs")
        for key in own:
            if not key.startswith(("job:", "end:", *_EXPIRING)) and await client.pttl(prefix + key) != -1:
                scene.complaints.append(f"{key} has a time to live")
    scene.figures["finished jobs"], scene.figures["keys, all declared"] = finished, len(stored)
