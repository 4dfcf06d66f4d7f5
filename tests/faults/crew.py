"""The workers of a fault run, each in a process of its own, and what they wear."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

from tests.faults.ledger import Ledger
from tests.faults.manners import told
from tests.faults.parts import ROOT


@dataclass(frozen=True, slots=True)
class Outfit:
    """How a worker process differs from the plain one: its program, and what its environment says besides."""

    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    module: str = "tests.faults.worker_process"

    @property
    def whole_environment(self) -> dict[str, str]:
        """This process's, and what there is besides."""
        return {**os.environ, **self.environment}


class WorkerProcesses:
    """Workers, each in a process of its own, and what is done to them."""

    def __init__(
        self,
        url: str,
        ledger: Ledger,
        path: Path,
        *,
        lease: float,
        longest: float,
        grace: float,
        outfits: Sequence[Outfit] = (),
    ) -> None:
        self._words: Sequence[str] = (url, str(path), str(lease), str(longest), str(grace))
        self._outfits = cycle(outfits or [Outfit()])
        self.folder = path.parent
        """Where the run's files are."""
        self._ledger = ledger
        self.path = path
        self._were_ready: set[int] = set()
        self._read = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self._worn: dict[int, Outfit] = {}
        self._supervisor: threading.Thread | None = None
        self._ending = threading.Event()

    def dress(self, outfits: Sequence[Outfit]) -> None:
        """Those that are added from now on wear these, in turn."""
        self._outfits = cycle(outfits)

    def add(self, outfit: Outfit | None = None) -> None:
        """One more, in the next outfit unless one is given."""
        outfit = outfit or next(self._outfits)
        command = [sys.executable, "-m", outfit.module, *self._words]
        process = subprocess.Popen(command, cwd=ROOT, env=outfit.whole_environment)
        self.processes.append(process)
        self._worn[process.pid] = outfit

    async def all_ready(self) -> None:
        """Return when each of them has said that it claims jobs."""
        await self.ready({process.pid for process in self.processes})

    async def ready(self, pids: set[int]) -> None:
        """Return when each of these has said that it is at work; they need not be workers."""
        # Other processes write the file: there is nothing here that could be waited on.
        while not pids <= self._ready():  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    def _ready(self) -> set[int]:
        with self.path.open(encoding="ascii") as ledger:
            ledger.seek(self._read)
            for line in iter(ledger.readline, ""):
                if not line.endswith("\n"):
                    # Somebody is writing it at this moment: across a page it can be seen in two pieces.
                    break
                self._read += len(line)
                deed, _, process, _ = line.split()
                if deed == "ready":
                    self._were_ready.add(int(process))
        return self._were_ready

    def kill(self, place: int) -> None:
        """SIGKILL one of them, and start another like it in its place."""
        victim = self.processes.pop(place)
        # Written first: whatever starts elsewhere from here on may be due to it.
        self._ledger.write("disturbed", process=victim.pid)
        victim.kill()
        victim.wait()
        # And again, for what it started between the first line and its end.
        self._ledger.write("disturbed", process=victim.pid)
        self.add(self._worn[victim.pid])

    def stop(self, place: int) -> None:
        """SIGSTOP one of them."""
        victim = self.processes[place]
        self._ledger.write("disturbed", process=victim.pid)
        victim.send_signal(signal.SIGSTOP)
        self._ledger.write("disturbed", process=victim.pid)

    def wake(self, place: int) -> None:
        """SIGCONT."""
        self.processes[place].send_signal(signal.SIGCONT)

    def terminate(self, place: int) -> tuple[int, float]:
        """SIGTERM one of them and start another in its place; how it ended, and after how many seconds."""
        leaver = self.processes[place]
        began = time.monotonic()
        leaver.terminate()
        try:
            code = leaver.wait(60)
        except subprocess.TimeoutExpired:
            leaver.kill()
            code = leaver.wait()
        took = time.monotonic() - began
        self.processes.remove(leaver)
        self.add()
        return code, took

    def said(self, event: str) -> int:
        """How often they have told of this event, of those that are warnings or worse."""
        return len(told(self.folder, event))

    def supervise(self) -> None:
        """From now on, start another for each that dies by itself."""
        self._supervisor = threading.Thread(target=self._replace, daemon=True)
        self._supervisor.start()

    def _replace(self) -> None:
        while not self._ending.wait(0.05):
            for dead in [process for process in self.processes if process.poll() is not None]:
                self.processes.remove(dead)
                self.add()

    def end(self) -> list[int]:
        """SIGTERM all; their exit codes."""
        if self._supervisor is not None:
            self._ending.set()
            self._supervisor.join()
            self._supervisor = None
        for process in self.processes:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        codes: list[int] = []
        for process in self.processes:
            try:
                codes.append(process.wait(20))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(process.wait())
        self.processes.clear()
        return codes
