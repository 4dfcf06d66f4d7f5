"""The steady producers of a run: processes that are killed and replaced as workers are, and told to stop in the end."""

from __future__ import annotations

import asyncio
import sys

from jobqueue import Queue
from tests.faults.parts import ROOT
from tests.faults.scene import Scene
from tests.faults.steady_producer import AT_ONCE

_DROPPED = 0.02
_DIES = 5
"""Of so many strikes one takes a producer along."""


class Producers:
    """So many, all of one kind."""

    def __init__(self, scene: Scene, kind: str, count: int) -> None:
        self._scene, self._kind, self._count = scene, kind, count
        self._processes: list[asyncio.subprocess.Process] = []
        self._started = 0
        self.unheard = 0
        """Of what was done, so much may have been acknowledged to somebody who was dead, at the most."""

    async def __aenter__(self) -> Producers:
        for _ in range(self._count):
            await self._add()
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def _add(self) -> None:
        scene, self._started = self._scene, self._started + 1
        words = (scene.url, str(scene.workers.path), self._kind, f"p{self._started}")
        command = (sys.executable, "-m", "tests.faults.steady_producer", *words)
        self._processes.append(await asyncio.create_subprocess_exec(*command, cwd=ROOT))

    async def kill_one(self) -> None:
        """SIGKILL the one that is there for the longest, and start another in its place: one with another name."""
        victim = self._processes.pop(0)
        if victim.returncode is not None:
            raise RuntimeError(f"a producer ended by itself, with {victim.returncode}")
        victim.kill()
        await victim.wait()
        self.unheard += AT_ONCE
        self._scene.count("producers killed")
        await self._add()

    async def stop(self) -> None:
        """Tell them to stop; what they are at they bring to an end."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            if code := await process.wait():
                self._scene.complaints.append(f"a producer ended with {code}")

    async def ready(self) -> None:
        """Return when each of them can be told to stop."""
        await self._scene.workers.ready({process.pid for process in self._processes})


async def struck(scene: Scene, kind: str, count: int, queue: Queue) -> int:
    """Have so many producers enqueue jobs of a kind; meanwhile lose replies, and SIGKILL workers one after the other
    and a producer now and then, as often as is planned and until as many jobs as are planned are done. How often a
    worker was killed.
    """
    async with Producers(scene, kind, count) as producers:
        times = await _struck(scene, producers, queue)
    await scene.workers.all_ready()
    return times


async def _struck(scene: Scene, producers: Producers, queue: Queue) -> int:
    plan, proxy = scene.plan, scene.proxy
    assert proxy is not None
    times = 0
    while times < plan.times or (await queue.counts()).completed < plan.jobs + producers.unheard:
        # A process that starts does not try again, by design: replies are lost while none does.
        await scene.workers.all_ready()
        await producers.ready()
        proxy.share = _DROPPED
        await scene.pause()
        proxy.share = 0
        if times % _DIES == 1:
            await producers.kill_one()
        scene.workers.kill(scene.chance.randrange(len(scene.workers.processes)))
        times += 1
    await producers.ready()
    await producers.stop()
    scene.figures["replies lost"] = proxy.dropped
    return times
