"""What a measure is: something done with one contestant on an empty server, which gives figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.program import ContestantFailed, Program
from benchmarks.server import ServerProcess, Usage

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table."""

    name: str
    title: str
    unit: str
    better: Better = "higher"
    digits: int = 0


@dataclass(slots=True)
class Arena:
    """What a trial is given besides the contestant: the server, the caller's wishes, and what is known of speeds."""

    server: ServerProcess
    payload_bytes: int = 150
    bulk: int = 1000
    seconds: float = 2.0
    """How long a timed run should take, about."""
    speeds: dict[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """Jobs a second seen so far, by contestant and figure."""

    def size(self, program: Program, figure: str, pilot: int, *, most: int = 100_000) -> int:
        """How many jobs make a run of the wished length: ``pilot`` of them the first time."""
        speed = self.speeds.get((program.entry.name, figure))
        if speed is None:
            return pilot
        return int(max(min(pilot, 200), min(most, speed * self.seconds)))

    def saw(self, program: Program, figure: str, speed: float) -> None:
        """Remember a speed, for the size of the next run."""
        self.speeds[program.entry.name, figure] = speed

    def second(self, program: Program) -> Program:
        """Another program of the same contestant, for use in a ``with`` statement."""
        return program.twin()

    def common(self, program: Program, count: int, **more: object) -> dict[str, object]:
        """The parameters that every request about ``count`` new jobs has."""
        return {"first": program.numbers(count), "count": count, "payload_bytes": self.payload_bytes, **more}


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing to do. ``run`` returns a value for each of the figures, by name."""

    name: str
    figures: tuple[Figure, ...]
    run: Callable[[Arena, Program], dict[str, float]]
    once: bool = False
    """Long: done in the first round only."""
    through_proxy: bool = False
    only: tuple[str, ...] = ()
    """The contestants it is for; empty for all."""
    without_server: bool = False
    """Makes sense for a contestant that has no server."""


def judge(program: Program, done: dict[str, object], count: int, *, failed: int = 0) -> None:
    """Each job completed exactly once, as the server records it. Raises ContestantFailed."""
    if done.get("wrong"):
        raise ContestantFailed(f"jobs ran more or less often than once: {done['wrong']}")
    records = program.ask("records")
    if records["undone"]:
        raise ContestantFailed(f"{records['undone']} jobs are undone on the server after the end")
    expected = count if records["keeps"] is None else min(count, int(records["keeps"]))
    found = int(records["completed"]) + int(records["failed"])
    if found != expected + failed:
        raise ContestantFailed(f"the server records {found} finished jobs, not {expected + failed}")


def per_job(before: Usage, after: Usage, count: int, polls: int) -> tuple[float, float]:
    """Server CPU in microseconds and commands, each for one job; the harness's own questions are taken off."""
    return (after.cpu - before.cpu) * 1e6 / count, max(0.0, after.commands - before.commands - polls) / count


def percentile(samples: list[float], share: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
