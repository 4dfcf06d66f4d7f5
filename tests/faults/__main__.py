"""The long forms: ``make faults``, or ``python -m tests.faults F2 F6 --scale 0.1 --seed 7 --report faults.json``."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tests.faults import doubles, racing, releases, worker_strikes
from tests.faults.catalogue import FAULTS
from tests.faults.judge import Judgement
from tests.faults.runs import Report, run
from tests.faults.scene import Plan
from tests.model.__main__ import SEQUENCES, same
from tests.simulation.__main__ import broken

LONG = {
    "F2": Plan(jobs=20_000, times=200, seed=0, longest=0.1, every=0.5),
    "F3": Plan(jobs=20_000, times=20, seed=0, every=1.5),
    "F4": Plan(jobs=10_000, times=10, seed=0, lease=5, every=2),
    "F6": Plan(jobs=20_000, times=1000, seed=0),
    "F7": Plan(jobs=5_000, times=10, seed=0, lease=5, longest=0.3, every=0.5),
    "F8": Plan(jobs=20_000, times=150, seed=0, every=2),
    "F10": Plan(jobs=20_000, times=50, seed=0, longest=0.5, every=0.5),
    "F12": Plan(jobs=5_000, times=10, seed=0, lease=5, longest=0.1, every=1),
    "F21": Plan(jobs=1_000, times=100_000, seed=0),
    **worker_strikes.LONG,
    **releases.LONG,
    **racing.LONG,
    **doubles.LONG,
}


SIMULATION, HISTORIES = "F23", 10_000
MODEL = "F22"
NAMES = (*FAULTS, MODEL, SIMULATION)


def arguments() -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="times the jobs and the strikes (1)")
    parser.add_argument("--seed", type=int, help="repeat a run's choices; a new seed is drawn and printed without it")
    parser.add_argument("--report", type=Path, default=Path("faults.json"), help="where the JSON goes (faults.json)")
    given = parser.parse_args()
    unknown = sorted(set(given.faults) - set(NAMES))
    if unknown:
        parser.error(f"no fault called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return given


def line(report: Report) -> str:
    """A run in one line."""
    found = report.judgement
    verdict = "sound" if report.sound else "NOT SOUND"
    complaints = "".join(f"\n  {complaint}" for complaint in report.complaints[:20])
    complaints = "".join(f"\n  ({note})" for note in report.notes) + complaints
    return (
        f"{report.fault} seed {report.plan.seed}: {verdict}; "
        f"{found.acknowledged} acknowledged, {len(found.lost)} lost, {len(found.buried)} buried, "
        f"{len(found.unexpected)} unexpected, {found.repeated} repeated, {len(found.unexplained)} without a reason; "
        f"struck {report.struck} times; {_recovery(found)}{complaints}"
    )


def _recovery(found: Judgement) -> str:
    if not found.recovery:
        return "no job was cut short"
    times: Sequence[float] = found.recovery
    p50, p99 = (times[min(len(times) - 1, int(share * len(times)))] for share in (0.5, 0.99))
    return (
        f"{len(times)} cut short, started again after {p50:.1f} s (p50), {p99:.1f} s (p99), {times[-1]:.1f} s at most"
    )


def main() -> None:
    given = arguments()
    reports: list[Report] = []
    broken_histories: list[int] = []
    all_same = True
    for fault in given.faults or NAMES:
        seed = secrets.randbelow(2**32) if given.seed is None else given.seed
        if fault == SIMULATION:
            broken_histories = broken(seed, max(1, round(HISTORIES * given.scale)))
            continue
        if fault == MODEL:
            all_same = same(seed, max(1, round(SEQUENCES * given.scale)))
            continue
        plan = LONG[fault]
        print(f"{FAULTS[fault].name} Seed {seed}.", file=sys.stderr, flush=True)
        jobs, times = max(1, round(plan.jobs * given.scale)), max(1, round(plan.times * given.scale))
        reports.append(asyncio.run(run(fault, replace(plan, jobs=jobs, times=times, seed=seed))))
        print(line(reports[-1]), flush=True)
    given.report.write_text(json.dumps([asdict(report) for report in reports], indent=2) + "\n", encoding="utf-8")
    if broken_histories:
        raise SystemExit(f"look at one with: python -m tests.simulation --seed {broken_histories[0]}")
    if not all_same:
        raise SystemExit("memory and server differ: see above")
    if not all(report.sound for report in reports):
        raise SystemExit("jobs were lost, invented, or repeated without a reason: see above")


if __name__ == "__main__":
    main()
