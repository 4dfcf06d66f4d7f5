"""The benchmark: ``make bench``, or ``python -m benchmarks --only jobqueue,bullmq --measures process --rounds 5``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.measures import TRIALS
from benchmarks.measures.trial import Arena, Trial
from benchmarks.report import chart, document, table
from benchmarks.roster import ROSTER, UnknownContestant, chosen
from benchmarks.rounds import play
from benchmarks.server import NoServer, ServerProcess


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What the caller wants."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = ", ".join(entry.name for entry in ROSTER)
    parser.add_argument("--only", help=f"contestants, separated by commas; all: {names}")
    parser.add_argument("--measures", help="beginnings of trial names, separated by commas; see --list")
    parser.add_argument("--list", action="store_true", help="name the trials and stop")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count, after a short warm-up (3)")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a timed run should take, about (2)")
    parser.add_argument("--payload", type=int, default=150, help="bytes of JSON in a job's data (150)")
    parser.add_argument("--bulk", type=int, default=1000, help="jobs in one bulk enqueue (1000)")
    parser.add_argument("--server", choices=("valkey", "redis"), default="valkey", help="the server for everyone")
    parser.add_argument("--out", type=Path, default=Path(".bench/results"), help="folder for the JSON, table and chart")
    return parser.parse_args(words)


def chosen_trials(beginnings: str | None) -> tuple[Trial, ...]:
    """The trials whose names begin with one of these. Raises SystemExit where that is none."""
    if not beginnings:
        return TRIALS
    wanted = tuple(part.strip() for part in beginnings.split(",") if part.strip())
    found = tuple(trial for trial in TRIALS if trial.name.startswith(wanted))
    if not found:
        raise SystemExit(f"no trial begins with {beginnings}; there are: {', '.join(trial.name for trial in TRIALS)}")
    return found


def main() -> None:
    given = arguments()
    trials = chosen_trials(given.measures)
    if given.list:
        print("\n".join(f"{trial.name:<16} {figure.title}" for trial in trials for figure in trial.figures))
        return
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.0f} s] {line}", file=sys.stderr, flush=True)

    try:
        entries = chosen(given.only)
        with ServerProcess(given.server) as server:
            arena = Arena(server, payload_bytes=given.payload, bulk=given.bulk, seconds=given.seconds)
            outcome = play(arena, entries, trials, given.rounds, say)
            made = document.make(outcome, entries, trials, given, server.version())
    except (UnknownContestant, NoServer) as why:
        raise SystemExit(str(why)) from None
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "results.json").write_text(document.dumps(made))
    (given.out / "results.md").write_text(table.markdown(made))
    (given.out / "results.svg").write_text(chart.svg(made))
    print(table.plain(made))
    print(f"written: {given.out}/results.json, results.md, results.svg")
    ours = {entry.name for entry in entries if not entry.rival}
    broken = [f"{name} failed {trial}: {why[0]}" for (trial, name), why in outcome.failures.items() if name in ours]
    if broken:
        raise SystemExit("\n".join(broken))


if __name__ == "__main__":
    main()
