"""F30: the disk that the append-only file lies on is full, and after a while it is not.

The disk is a small file system in memory where one can be mounted (as root), and else a limit to the size of the
server's files, which the kernel refuses to exceed in the same way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import subprocess
from pathlib import Path

import redis

from jobqueue import BackendFull, BackendUnavailable, Queue, connect
from tests.faults.power import RelaxedServer
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

_SIZE = "256m"
_ENDLESS = resource.RLIM_INFINITY
_PATIENCE = 30.0


class CrampedServer(RelaxedServer):
    """Its disk can be filled, and emptied again."""

    # Python ignores the signal that comes with a file that has grown too large, and so does who inherits that.
    restore_signals = False
    # After rewrites that failed for want of space the server would try again after minutes only.
    options = ("--auto-aof-rewrite-percentage", "0")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._ballast = self.folder / "ballast"
        self.mounted = os.geteuid() == 0 and _mounted(self.folder)

    def fill_disk(self) -> None:
        """From now on not one byte more."""
        if not self.mounted:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (0, _ENDLESS))
            return
        try:
            with self._ballast.open("ab", buffering=0) as ballast:
                while True:
                    ballast.write(bytes(4096))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise

    def empty_disk(self) -> None:
        """Space returns, and stays: minutes of work come to more than the disk holds, so the file is rewritten."""
        if self.mounted:
            self._ballast.unlink()
        else:
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (_ENDLESS, _ENDLESS))
        with redis.Redis.from_url(self.url) as client:  # pyright: ignore[reportUnknownMemberType]
            client.bgrewriteaof()  # pyright: ignore[reportUnknownMemberType]

    def end(self) -> None:
        super().end()
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=False)


def _mounted(folder: Path) -> bool:
    """Make ``folder`` a small disk of its own, if this machine allows that."""
    try:
        words = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(folder)]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


async def full_disk(scene: Scene) -> int:
    """F30: the disk is full for a while: callers are told so, workers wait; with space again all goes on."""
    server = scene.server
    assert isinstance(server, CrampedServer)
    loop = asyncio.get_running_loop()
    scene.figures["a disk of its own"] = float(server.mounted)
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for round_ in range(scene.plan.times):
            await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
            await asyncio.to_thread(server.fill_disk)
            if not await _until(queue, scene, f"full-{round_}", refused=True):
                scene.complaints.append("nobody was told that the disk is full")
            await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
            completed = (await queue.counts()).completed
            await asyncio.to_thread(server.empty_disk)
            began = loop.time()
            if not await _until(queue, scene, f"space-{round_}", refused=False):
                scene.complaints.append("there is space again, and jobs are refused")
            await _more_than(completed, queue)
            took = loop.time() - began
            if took >= _PATIENCE:
                scene.complaints.append("there is space again, and no worker does anything")
            scene.most("longest recovery, s", took)
    return scene.plan.times


async def _more_than(completed: int, queue: Queue) -> None:
    """Return when more jobs are completed than that, or when it takes too long."""
    for _ in range(round(_PATIENCE / 0.02)):
        if (await queue.counts()).completed > completed:
            return
        await asyncio.sleep(0.02)


async def _until(queue: Queue, scene: Scene, name: str, *, refused: bool) -> bool:
    """Enqueue until it is refused as it should be, or taken; whether it came to that in time."""
    give_up = asyncio.get_running_loop().time() + _PATIENCE
    number = 0
    while asyncio.get_running_loop().time() < give_up:
        job_id = f"{name}-{number}"
        scene.attempted.add(job_id)
        try:
            await queue.enqueue("work", 0, job_id=job_id)
        except BackendFull:
            if refused:
                return True
        except BackendUnavailable as error:
            scene.complaints.append(f"a full disk was told of as {error!r}")
        else:
            number += 1
            scene.ledger.write("acknowledged", job_id)
            if not refused:
                return True
        await asyncio.sleep(0.01)
    return False
