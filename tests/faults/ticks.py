"""F33: schedules whose workers are killed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from jobqueue import BackendUnavailable, Keep, NewJob, Queue, Schedule, connect
from jobqueue.stored_schedule import StoredSchedule
from tests.faults.ledger import Entry
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_DROPPED = 0.02
_EXACT = {"quarter": 0.25, "half": 0.5, "unkept": 0.2}
"""Schedules of which every tick runs, and their seconds."""
_CRON = "second"
_SKIPPING, _SKIPPING_EVERY = "skipping", 0.1
_LATE = 10.0
"""Seconds that the last tick may be behind the clock, when it is stopped: for a worker that had just been killed."""


async def killed_between_ticks(scene: Scene) -> int:
    """F33: SIGKILL workers, and lose replies, while schedules fire several times a second."""
    plan, proxy = scene.plan, scene.proxy
    assert proxy is not None
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
        for schedule in _schedules(start):
            await queue.schedules.put(schedule)
        struck = 0
        while struck < plan.times or (datetime.now(UTC) - start).total_seconds() * _ticks_a_second() < plan.jobs:
            # A process that starts does not try again, by design: replies are lost while none does.
            await scene.workers.all_ready()
            proxy.share = _DROPPED
            await scene.pause()
            proxy.share = 0
            scene.workers.kill(scene.chance.randrange(len(scene.workers.processes)))
            struck += 1
        await scene.workers.all_ready()
        for name in (*_EXACT, _CRON, _SKIPPING):
            stopped = await _stopped(queue, name)
            every = timedelta(seconds={**_EXACT, _CRON: 1.0, _SKIPPING: _SKIPPING_EVERY}[name])
            ticks = [_tick(name, start + number * every) for number in range(stopped.runs + stopped.skipped)]
            scene.attempted.update(ticks)
            behind = (datetime.now(UTC) - start - (len(ticks) - 1) * every).total_seconds()
            scene.most("the last tick is behind by at most, s", behind)
            if behind > _LATE * plan.slack:
                scene.complaints.append(f"{name} is {behind:.1f} s behind: {len(ticks)} ticks")
            scene.count("ticks", len(ticks))
            if name == _SKIPPING:
                scene.figures["ticks left out, as they overlapped"] = stopped.skipped
                scene.figures["runs that did not"] = stopped.runs
                continue
            for tick in ticks:
                scene.ledger.write("acknowledged", tick)
            if name == "unkept":
                scene.fleeting.update(ticks)
        scene.figures["replies lost"] = proxy.dropped
    return struck


def _schedules(start: datetime) -> list[Schedule]:
    job = NewJob("work", 0)
    return [
        *(
            Schedule(
                name,
                every=every,
                start=start,
                catch_up="all",
                # One that leaves no job behind by which a second one would be recognised.
                job=NewJob("work", 0, keep=Keep(completed=0)) if name == "unkept" else job,
            )
            for name, every in _EXACT.items()
        ),
        Schedule(_CRON, cron="* * * * * *", start=start, catch_up="all", job=job),
        Schedule(_SKIPPING, every=_SKIPPING_EVERY, start=start, catch_up="all", overlap="skip", job=job),
    ]


def _ticks_a_second() -> float:
    return sum(1 / every for every in _EXACT.values()) + 1


async def _stopped(queue: Queue, name: str) -> StoredSchedule:
    while True:
        try:
            return await queue.schedules.pause(name)
        except BackendUnavailable:
            await asyncio.sleep(0.1)


def _tick(name: str, at: datetime) -> str:
    """What the job of a tick is called: reckoned here once more, and not by the code that is under test."""
    ms = at.microsecond // 1000
    return f"{name}:{at:%Y-%m-%dT%H:%M:%S}{f'.{ms:03}' if ms else ''}Z"


async def none_overlapped(scene: Scene, _: Queue, found: Sequence[Entry]) -> None:
    """Of the schedule that skips, each job had ended before the next one began; there were as many as it counted."""
    first, last = dict[str, float](), dict[str, float]()
    for entry in found:
        if entry.job.startswith(f"{_SKIPPING}:"):
            if entry.deed == "started":
                first.setdefault(entry.job, entry.at)
            elif entry.deed == "ended":
                last[entry.job] = entry.at
    for one, following in pairwise(sorted(first, key=lambda job: first[job])):
        if last.get(one, first[following]) > first[following]:
            scene.complaints.append(f"{following} began before {one} had ended")
    if len(first) != scene.figures["runs that did not"]:
        scene.complaints.append(f"{len(first)} jobs of {_SKIPPING} ran, it counts {scene.figures['runs that did not']}")
