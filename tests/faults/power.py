"""F9: the power fails. The server is gone at once, and so is the end of its append-only file, cut off anywhere."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from tests.faults.ledger import entries
from tests.faults.parts import DurableServer
from tests.faults.scene import Scene
from tests.faults.whole import torn
from tests.faults.worker_process import QUEUE

_MOST_CUT = 4096
_UNSYNCED_SECONDS = 2.0
"""``appendfsync everysec`` promises one, and two when the disk is slow."""
_UNSYNCED_JOBS = 200
"""Or so many acknowledgements before the cut, on a machine that was too busy to make them within that time."""


class RelaxedServer(DurableServer):
    """Syncs its file every second, as is usual."""

    fsync = "everysec"

    def lose_power(self, most: int) -> int:
        """SIGKILL it, and cut up to ``most`` bytes off its file; how many were cut."""
        self.kill()
        tail = self._tail()
        cut = min(most, tail.stat().st_size)
        os.truncate(tail, tail.stat().st_size - cut)
        return cut

    def _tail(self) -> Path:
        # Redis 7 and Valkey keep a folder of files, of which the newest increment is written to; Redis 6.2 one file.
        increments = self.folder.glob("appendonlydir/*.incr.aof")
        return max(increments, key=lambda path: int(path.name.split(".")[-3]), default=self.folder / "appendonly.aof")


async def failed_power(scene: Scene) -> int:
    """F9: SIGKILL the server and cut up to 4096 bytes off its file, which is synced every second; start it again."""
    server = scene.server
    assert isinstance(server, RelaxedServer)
    for _ in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        scene.count("bytes cut", await asyncio.to_thread(server.lose_power, scene.chance.randint(1, _MOST_CUT)))
        now = time.monotonic()
        told = [entry for entry in entries(scene.ledger.path) if entry.deed == "acknowledged"]
        scene.mortal.update(entry.job for entry in told[-_UNSYNCED_JOBS:])
        scene.mortal.update(entry.job for entry in told if entry.at > now - _UNSYNCED_SECONDS)
        await asyncio.to_thread(server.start)
        # Nothing repairs anything here: as the file was read, so it is.
        scene.complaints += await asyncio.to_thread(torn, server.url, QUEUE)
    return scene.plan.times
