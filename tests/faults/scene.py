"""What a fault can lay hands on, and how much of it there is to be."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from tests.faults.crew import WorkerProcesses
from tests.faults.ledger import Ledger
from tests.faults.parts import DurableServer
from tests.faults.proxy import Proxy


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
    figures: dict[str, float] = field(default_factory=dict[str, float])
    """What a fault measured, by what it is."""
    fleeting: set[str] = field(default_factory=set[str])
    """Ids of jobs that leave nothing when they are completed: the ledger alone tells of their end."""
    mortal: set[str] = field(default_factory=set[str])
    doubtful: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """From when until when what was acknowledged may be gone, for want of a replica that knew of it."""
    """Ids whose acknowledgement the server was not to be trusted with: they may be gone, and are counted."""

    def count(self, what: str, by: float = 1) -> None:
        """Add to a figure."""
        self.figures[what] = self.figures.get(what, 0) + by

    def most(self, what: str, value: float) -> None:
        """Keep the largest of a figure."""
        self.figures[what] = round(max(value, self.figures.get(what, 0)), 3)

    async def pause(self) -> None:
        """Between two strikes."""
        await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.plan.every)

    @property
    def url(self) -> str:
        """Where producers and workers find the server."""
        return self.proxy.url if self.proxy else self.server.url
