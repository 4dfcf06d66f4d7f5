"""F16: a server that forgets its scripts, again and again, and then altogether. Nobody who uses a queue may notice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import redis.asyncio

from jobqueue import JobQueueError, Queue, connect
from tests.faults.ledger import Entry
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_EVERY = 0.05
_USERS = 4


async def flushed_scripts(scene: Scene) -> int:
    """F16: SCRIPT FLUSH every 50 ms, then a restart of the server, while users make calls of every kind."""
    async with connect(scene.url, fallback="never") as backend:
        users = [asyncio.create_task(_use(Queue(QUEUE, backend=backend), scene, number)) for number in range(_USERS)]
        async with redis.asyncio.Redis.from_url(scene.url) as admin:  # pyright: ignore[reportUnknownMemberType]
            for _ in range(scene.plan.times):
                await admin.script_flush()
                await asyncio.sleep(_EVERY)
        await asyncio.to_thread(scene.server.kill)
        await asyncio.to_thread(scene.server.start)
        await asyncio.sleep(_EVERY)
        for user in users:
            user.cancel()
        for ended in await asyncio.gather(*users, return_exceptions=True):
            if isinstance(ended, Exception):
                scene.complaints.append(f"a user was told {ended!r}")
    if scene.figures.get("calls of users", 0) < _USERS:
        scene.complaints.append("nobody used the queue")
    return scene.plan.times


async def nobody_noticed(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """No enqueue was refused either."""
    if refused := scene.figures.get("enqueues refused"):
        scene.complaints.append(f"{refused:.0f} enqueues were refused")


async def _use(queue: Queue, scene: Scene, number: int) -> None:
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        queue.counts,
        queue.stats,
        lambda: queue.get("job-0"),
        lambda: queue.jobs("waiting"),
        queue.is_paused,
    )
    for round_ in range(10**9):
        try:
            await calls[(number + round_) % len(calls)]()
        except JobQueueError as error:
            scene.complaints.append(f"a user was told {error!r}")
        scene.count("calls of users")
        await asyncio.sleep(0.002)
