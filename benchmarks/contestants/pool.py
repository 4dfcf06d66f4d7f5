"""More worker processes than one: copies of this contestant's program that only run a worker."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

from benchmarks.contestants.contract import Contestant

READY = b"ready\n"


class Pool:
    """``processes`` children of this program, each with a worker of ``concurrency`` slots."""

    def __init__(self, contestant: Contestant, processes: int, concurrency: int) -> None:
        words = [type(contestant).__module__, contestant.variant, "--work", str(concurrency)]
        self._command = [sys.executable, "-m", "benchmarks.contestants", *words]
        self._processes = processes
        self._children: list[subprocess.Popen[bytes]] = []

    async def start(self) -> None:
        """Start the children, and return when each of them says that its worker is up."""
        for _ in range(self._processes):
            child = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self._children.append(child)
        for child in self._children:
            assert child.stdout is not None
            if await asyncio.to_thread(child.stdout.readline) != READY:
                raise RuntimeError("a worker process did not start")

    async def stop(self) -> None:
        """Ask them to stop, and wait."""
        for child in self._children:
            child.send_signal(signal.SIGTERM)
        for child in self._children:
            await asyncio.to_thread(child.wait, 60)
