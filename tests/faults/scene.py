"""What a fault can lay hands on, and how much of it there is to be."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.faults.ledger import Ledger
from tests.faults.parts import DurableServer, Proxy, WorkerProcesses


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a fault there is to be. Times are in seconds."""

    jobs: int
    times: int
    """How often the fault strikes."""
    seed: int
    lease: float = 15
    longest: float = 0.02
    """Of a job."""
    workers: int = 3
    every: float = 0.25
    """Between two strikes."""
    grace: float = 5
    """Of a worker that is told to stop."""
    slack: float = 1
    """How many times slower than promised a thing may be before it is a complaint: more than 1 on a machine that has
    other things to do."""


@dataclass(slots=True)
class Scene:
    """One run's parts."""

    plan: Plan
    chance: random.Random
    ledger: Ledger
    server: DurableServer
    workers: WorkerProcesses
    proxy: Proxy | None
    attempted: set[str]
    """Ids that somebody tried to enqueue."""
    complaints: list[str] = field(default_factory=list[str])
    """What a fault saw that should not have been."""
    notes: list[str] = field(default_factory=list[str])
    """What a fault measured, and with what."""

    @property
    def url(self) -> str:
        """Where producers and workers find the server."""
        return self.proxy.url if self.proxy else self.server.url
