"""The result as one document: rows of figures with medians, spread and ratios, and everything needed to judge them."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.measures.trial import Better, Trial
from benchmarks.roster import OURS, Entry
from benchmarks.rounds import Outcome


@dataclass(frozen=True, slots=True)
class Cell:
    """What one contestant got in one figure: the median, the extremes, and jobqueue's value over it, round by round."""

    median: float
    low: float
    high: float
    ratio: float | None
    values: list[float]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. A contestant may have both a cell and a note."""

    figure: str
    title: str
    unit: str
    better: Better
    digits: int
    cells: dict[str, Cell]
    notes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Document:
    """Everything."""

    made: str
    machine: dict[str, object]
    settings: dict[str, object]
    contestants: list[str]
    facts: dict[str, dict[str, object]]
    absent: dict[str, str]
    rows: list[Row] = field(default_factory=list[Row])


def make(
    outcome: Outcome, entries: Sequence[Entry], trials: Sequence[Trial], given: argparse.Namespace, server: str
) -> Document:
    """The document of a run."""
    present = [entry.name for entry in entries if entry.name not in outcome.absent]
    rows = [
        Row(
            figure.name,
            figure.title,
            figure.unit,
            figure.better,
            figure.digits,
            _cells(_counting(outcome, trial.name, figure.name)),
            {name: note for name in present if (note := outcome.note(trial.name, name)) is not None},
        )
        for trial in trials
        for figure in trial.figures
    ]
    return Document(
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
        settings={
            "server": server,
            "server settings": "no persistence, TCP on the loopback, glibc.malloc.tcache_count=1000",
            "rounds": given.rounds,
            "seconds a run": given.seconds,
            "payload bytes": given.payload,
            "jobs in a bulk enqueue": given.bulk,
            "measured round trip of the delaying proxy, ms": outcome.round_trip_ms and round(outcome.round_trip_ms, 2),
        },
        contestants=present,
        facts=outcome.facts,
        absent=outcome.absent,
        rows=rows,
    )


def dumps(document: Document) -> str:
    """As JSON."""
    return json.dumps(asdict(document), indent=2) + "\n"


def _counting(outcome: Outcome, trial: str, figure: str) -> dict[str, dict[int, float]]:
    """What was measured, without those whose runs broke too often to believe the others."""
    values = outcome.values.get(figure, {})
    return {name: by_round for name, by_round in values.items() if (trial, name) not in outcome.footnotes}


def _cells(values: dict[str, dict[int, float]]) -> dict[str, Cell]:
    ours = values.get(OURS, {})
    cells: dict[str, Cell] = {}
    for name, by_round in values.items():
        found = list(by_round.values())
        ratios = [ours[number] / value for number, value in by_round.items() if number in ours and value]
        cells[name] = Cell(median(found), min(found), max(found), median(ratios) if ratios else None, found)
    return cells


def _machine() -> dict[str, object]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
