"""The long forms: ``make faults``, or ``python -m tests.faults F2 F6 --scale 0.1 --seed 7 --report faults.json``."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
from dataclasses import replace
from pathlib import Path

from tests.faults.catalogue import FAULTS, LONG
from tests.faults.runs import Report, run
from tests.faults.summary import recovery, write
from tests.model.__main__ import SEQUENCES, same
from tests.simulation.__main__ import broken

SIMULATION, HISTORIES = "F23", 10_000
MODEL = "F22"
NAMES = (*FAULTS, MODEL, SIMULATION)


def arguments() -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("faults", nargs="*", help=f"of {', '.join(NAMES)}; all if none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="times the jobs and the strikes (1)")
    parser.add_argument("--seed", type=int, help="repeat a run's choices; a new seed is drawn and printed without it")
    parser.add_argument(
        "--report",
        type=Path,
        default=Path("faults.json"),
        help="where the JSON goes, and a page of it beside (faults.json)",
    )
    given = parser.parse_args()
    unknown = sorted(set(given.faults) - set(NAMES))
    if unknown:
        parser.error(f"no fault called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    return given


def line(report: Report) -> str:
    """A run in one line."""
    found = report.judgement
    verdict = "sound" if report.sound else "NOT SOUND"
    complaints = "".join(f"\n  {complaint}" for complaint in (*report.complaints[:20], *found.trail))
    figures = "".join(f"; {what} {value:g}" for what, value in report.figures.items())
    gone = f"; {len(found.gone)} gone with their server" if found.gone else ""
    return (
        f"{report.fault} seed {report.plan.seed}: {verdict}; "
        f"{found.acknowledged} acknowledged, {len(found.lost)} lost, "
        f"{len(found.buried)} buried, "
        f"{len(found.unexpected)} unexpected, {found.repeated} repeated, {len(found.unexplained)} without a reason; "
        f"struck {report.struck} times; cut short and started again after {recovery(found)}{gone}{figures}{complaints}"
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
    if reports:
        page = write(given.report, reports, " ".join(("make faults", *sys.argv[1:])))
        print(f"The report is in {given.report}, a page of it in {page}.", file=sys.stderr)
    if broken_histories:
        raise SystemExit(f"look at one with: python -m tests.simulation --seed {broken_histories[0]}")
    if not all_same:
        raise SystemExit("memory and server differ: see above")
    if not all(report.sound for report in reports):
        raise SystemExit("jobs were lost, invented, or repeated without a reason: see above")


if __name__ == "__main__":
    main()
