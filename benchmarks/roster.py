"""Who takes part: each contestant's name, what runs it, and what it is measured as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Runtime = Literal["here", "python", "node"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table. ``module`` is the file in ``benchmarks/contestants`` that runs it."""

    name: str
    module: str
    runtime: Runtime
    variant: str = "plain"
    rival: bool = True
    rounds_apart: bool = False
    """Too slow to be run as often as the others; runs a third of the rounds."""


OURS = "jobqueue"
BULLMQ = "bullmq"

ROSTER: tuple[Entry, ...] = (
    Entry(OURS, "jobqueue", "here", rival=False),
    Entry("jobqueue-uvloop", "jobqueue", "here", "uvloop", rival=False),
    Entry("jobqueue-memory", "jobqueue", "here", "memory", rival=False),
    Entry(BULLMQ, "bullmq_node", "node"),
    Entry("bullmq-python", "bullmq_python", "python"),
    Entry("arq", "arq", "python"),
    Entry("saq", "saq", "python"),
    Entry("streaq", "streaq", "python"),
    Entry("taskiq", "taskiq", "python"),
    Entry("docket", "docket", "python"),
    Entry("rq", "rq", "python"),
    Entry("dramatiq", "dramatiq", "python"),
    Entry("celery", "celery", "python"),
    Entry("huey", "huey", "python"),
)


class UnknownContestant(ValueError):
    """A name that is not on the roster."""


def chosen(names: str | None) -> tuple[Entry, ...]:
    """The entries of a comma-separated list, or all. Raises UnknownContestant."""
    if not names:
        return ROSTER
    known = {entry.name: entry for entry in ROSTER}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UnknownContestant(f"no contestant called {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in known if name in wanted)
