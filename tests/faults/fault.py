"""What makes a fault: how it strikes, and what it needs of a run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobqueue import Queue
from tests.faults.crew import Outfit
from tests.faults.ledger import Entry
from tests.faults.parts import DurableServer
from tests.faults.scene import Plan, Scene
from tests.faults.worker_process import QUEUE

Strike = Callable[[Scene], Coroutine[Any, Any, int]]
Inspection = Callable[[Scene, Queue, Sequence[Entry]], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``proxied``: everyone reaches the server through a proxy. ``outages``: it, or its replies, go away in between."""

    strike: Strike
    proxied: bool = False
    outages: bool = False
    inspect: Inspection | None = None
    loaded: bool = True
    """Whether jobs are enqueued for as long as it strikes; one that is not loaded brings its own."""
    server: type[DurableServer] = DurableServer
    dress: Callable[[Plan, Path], Sequence[Outfit]] | None = None
    """How the workers differ from plain ones, if they do; what they need is put into the run's folder."""
    queues: Sequence[str] = (QUEUE,)
    """Where its jobs are; the first is the one into which a loaded run enqueues."""
    recovers: bool = False
    """Whether what it cuts short must run again as soon as is promised: within a lease and a round of upkeep."""
    innocent: bool = True
    """Whether no job may be buried but those that kill workers themselves."""

    @property
    def name(self) -> str:
        """What it does, in a line."""
        return (self.strike.__doc__ or "").strip()
