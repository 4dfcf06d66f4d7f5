"""The benchmark measures what it says: exact payloads, paired ratios, and no figure for a run that lost a job."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.board import CAPACITY, Board, create
from benchmarks.environments import CONTESTANTS, declared_dependencies
from benchmarks.measures import TRIALS
from benchmarks.measures.trial import Arena, judge, percentile
from benchmarks.payload import ticket
from benchmarks.program import ContestantFailed, Program
from benchmarks.report import chart, document, table
from benchmarks.roster import OURS, ROSTER, Entry, UnknownContestant, chosen
from benchmarks.rounds import Outcome
from benchmarks.server import ServerProcess


@pytest.fixture(scope="module")
def arena() -> Iterator[Arena]:
    with ServerProcess("valkey") as server:
        yield Arena(server, seconds=0.05)


@pytest.fixture
def program(arena: Arena) -> Iterator[Program]:
    """Our own contestant, in this interpreter's environment instead of one made for it."""
    arena.server.empty_keys()
    entry = Entry(OURS, "jobqueue", "here", rival=False)
    command = [sys.executable, "-m", "benchmarks.contestants", "benchmarks.contestants.jobqueue", "plain"]
    with Program(entry, command, url=arena.server.url, direct_url=arena.server.url) as made:
        made.ask("describe")
        made.ask("reopen")
        yield made


@pytest.mark.parametrize("size", [130, 150, 1000])
def test_a_ticket_has_the_size_that_was_asked_for(size: int) -> None:
    for number in (0, 7, 123_456):
        assert len(json.dumps(ticket(number, size), separators=(",", ":"))) == size


@pytest.mark.parametrize(
    "entry", [entry for entry in ROSTER if entry.runtime == "python"], ids=lambda entry: entry.name
)
def test_every_rival_is_pinned(entry: Entry) -> None:
    needed = declared_dependencies((CONTESTANTS / f"{entry.module}.py").read_text())
    assert needed
    assert all("==" in one for one in needed)


def test_a_name_that_is_not_on_the_roster_is_refused() -> None:
    with pytest.raises(UnknownContestant, match="bullmq"):
        chosen("jobqueue,bulmq")
    assert [entry.name for entry in chosen("bullmq, jobqueue")] == ["jobqueue", "bullmq"]


def test_the_board_knows_what_ran_and_how_often(tmp_path: Path) -> None:
    path = str(tmp_path / "board")
    create(path)
    board = Board(path)
    for number in (10, 11, 11, 13):
        board.note(number)
    assert board.unfinished(10, 4) == 1
    assert board.wrong(10, 4) == [11, 12]
    assert board.wrong(10, 4, flaky=True) == [12, 13]
    assert board.twice(10, 4) == 1
    assert len(board.started(10, 4)) == 3


def test_ratios_are_of_the_same_round() -> None:
    outcome = Outcome()
    for number, (ours, theirs) in enumerate([(100.0, 50.0), (10.0, 4.0), (90.0, 30.0)], start=1):
        outcome.add(OURS, number, {"process-1": ours})
        outcome.add("bullmq", number, {"process-1": theirs})
    outcome.absent["arq"] = "no network"
    given = argparse.Namespace(rounds=3, seconds=1, payload=150, bulk=1000)
    trials = [trial for trial in TRIALS if trial.name == "process-1"]
    made = document.make(outcome, chosen("jobqueue,bullmq,arq"), trials, given, "a server")
    cell = made.rows[0].cells["bullmq"]
    assert (cell.median, cell.low, cell.high, cell.ratio) == (30.0, 4.0, 50.0, 2.5)
    assert "SKIPPED arq: no network" in table.plain(made)
    assert "| 30 (2.50" in table.markdown(made)
    assert chart.svg(made).count("<rect") == 3
    assert json.loads(document.dumps(made))["rows"][0]["cells"]["bullmq"]["ratio"] == 2.5


def test_a_failure_of_ours_is_never_forgiven_and_one_of_a_rival_is_shown() -> None:
    outcome = Outcome()
    trials = [trial for trial in TRIALS if trial.name == "process-1"]
    entries = chosen("jobqueue,bullmq,arq")
    for number in (1, 2, 3):
        for entry in entries:
            outcome.add(entry.name, number, {"process-1": 10.0})
    ours, bullmq, arq = entries
    for entry, why in [(ours, "lost one"), (bullmq, "hung"), (arq, "hung"), (arq, "hung again")]:
        outcome.fail("process-1", entry, why)
    given = argparse.Namespace(rounds=3, seconds=1, payload=150, bulk=1000)
    made = document.make(outcome, entries, trials, given, "a server")
    assert set(made.rows[0].cells) == {"bullmq"}
    assert made.rows[0].notes == {
        "jobqueue": "failed: lost one",
        "bullmq": "one run failed and does not count: hung",
        "arq": "failed twice, the second time: hung again",
    }
    assert all(note in table.plain(made) for note in made.rows[0].notes.values())
    assert "[1] | 10 [2] | " in table.markdown(made)
    assert "2. one run failed and does not count: hung" in table.markdown(made)


def test_the_percentile_is_the_nearest_rank() -> None:
    assert percentile([float(n) for n in range(100)], 0.99) == 99
    assert percentile([5.0], 0.5) == 5


@pytest.mark.parametrize(
    "name",
    ["enqueue-single", "enqueue-100", "enqueue-bulk", "process-10", "io-10", "retries", "priorities", "processes-2"],
)
def test_our_contestant_goes_through_a_trial(name: str, arena: Arena, program: Program) -> None:
    (trial,) = (trial for trial in TRIALS if trial.name == name)
    found = trial.run(arena, program)
    assert set(found) == {figure.name for figure in trial.figures}
    assert all(value > 0 for value in found.values())


def test_a_job_that_the_server_does_not_know_of_fails_the_run(program: Program) -> None:
    common = {"first": program.numbers(50), "count": 50, "payload_bytes": 150}
    program.ask("fill", **common)
    done = program.ask("process", **common, concurrency=10)
    judge(program, done, 50)
    with pytest.raises(ContestantFailed, match="finished jobs"):
        judge(program, done, 51)
    with pytest.raises(ContestantFailed, match="more or less often"):
        judge(program, {**done, "wrong": [3]}, 50)
    program.ask("fill", **{**common, "first": program.numbers(1), "count": 1})
    with pytest.raises(ContestantFailed, match="undone"):
        judge(program, done, 50)


def test_a_program_that_dies_is_a_line_in_the_report(arena: Arena) -> None:
    entry = Entry("dead", "jobqueue", "here")
    command = [sys.executable, "-c", "raise SystemExit('no such library')"]
    with (
        Program(entry, command, url=arena.server.url, direct_url=arena.server.url) as program,
        pytest.raises(ContestantFailed, match="no such library"),
    ):
        program.ask("describe")


def test_a_program_is_replaced_before_its_job_numbers_run_out(program: Program) -> None:
    assert not program.used_up
    program.numbers(CAPACITY // 4 + 1)
    assert program.used_up
    # The largest trial keeps a million jobs waiting.
    assert program.numbers(1_200_000) > 0
    with pytest.raises(ContestantFailed, match="out of job numbers"):
        program.numbers(CAPACITY)


def test_nothing_is_left_in_the_environment() -> None:
    assert "BENCH_BOARD" not in os.environ
