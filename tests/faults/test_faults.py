"""Each fault in a form of seconds. The long forms are ``make faults``."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.faults.__main__ import line
from tests.faults.judge import judge
from tests.faults.ledger import Entry
from tests.faults.runs import run
from tests.faults.scene import Plan
from tests.faults.strikes import FAULTS

pytestmark = pytest.mark.timeout(180)

QUICK = {
    "F2": Plan(jobs=1000, times=4, seed=0, lease=3, longest=0.2, every=1),
    "F3": Plan(jobs=1000, times=3, seed=0, lease=5, every=0.6),
    "F4": Plan(jobs=600, times=2, seed=0, lease=1, every=0.3),
    "F6": Plan(jobs=1000, times=25, seed=0, lease=5),
    "F7": Plan(jobs=600, times=2, seed=0, lease=2, longest=0.2),
    "F8": Plan(jobs=1000, times=10, seed=0, lease=5, every=0.2),
    "F10": Plan(jobs=1000, times=4, seed=0, lease=5, longest=0.2, every=0.3),
    "F12": Plan(jobs=600, times=3, seed=0, lease=3, longest=0.05, every=0.5),
    "F21": Plan(jobs=200, times=3000, seed=0, lease=5),
}


def test_every_fault_has_a_quick_form() -> None:
    assert QUICK.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", QUICK)
async def test_nothing_is_lost_and_nothing_repeated_without_a_reason(fault: str) -> None:
    plan = QUICK[fault]
    report = await run(fault, replace(plan, seed=random.randrange(2**32)))
    assert report.sound, line(report)
    assert report.struck >= (plan.times if fault != "F21" else 1), report
    assert report.judgement.acknowledged >= plan.jobs, report
    assert set(report.exit_codes) == {0}, report
    if fault in {"F2", "F7"}:
        assert report.judgement.repeated > 0, f"the fault did not hit anything: {report}"
    if fault in {"F3", "F6", "F8", "F10", "F21"}:
        # Leases outlive the outage, a repeat is recognised, and who stops finishes first: nobody runs anything again.
        assert report.judgement.repeated == 0, report


def _entries(*words: str) -> list[Entry]:
    made: list[Entry] = []
    for at, word in enumerate(words):
        deed, job, process = word.split()
        made.append(Entry(deed, job, int(process), float(at)))  # pyright: ignore[reportArgumentType]
    return made


def test_the_judge_finds_what_was_lost() -> None:
    judgement = judge(_entries("acknowledged a 1", "acknowledged b 1"), ["a"], ["a", "b"])
    assert judgement.lost == ("b",)
    assert not judgement.sound


def test_a_buried_job_is_not_lost_and_is_told_of() -> None:
    judgement = judge(_entries("acknowledged a 1", "acknowledged b 1"), ["a"], ["a", "b"], buried=["b"])
    assert (judgement.lost, judgement.buried) == ((), ("b",))


def test_the_judge_finds_what_nobody_asked_for() -> None:
    judgement = judge(_entries("acknowledged a 1"), ["a", "z"], ["a"])
    assert judgement.unexpected == ("z",)
    assert not judgement.sound


def test_a_repeat_needs_a_reason() -> None:
    twice = _entries("acknowledged a 1", "started a 2", "ended a 2", "started a 3", "ended a 3")
    assert judge(twice, ["a"], ["a"]).unexplained == ("a",)
    assert judge(twice, ["a"], ["a"], outages=True).unexplained == ()
    killed = _entries("acknowledged a 1", "started a 2", "disturbed - 2", "started a 3", "ended a 3")
    judgement = judge(killed, ["a"], ["a"])
    assert (judgement.unexplained, judgement.repeated, judgement.recovery) == ((), 1, (1.0,))
    too_late = _entries("acknowledged a 1", "started a 2", "started a 3", "disturbed - 2")
    assert judge(too_late, ["a"], ["a"]).unexplained == ("a",)
    another = _entries("acknowledged a 1", "disturbed - 2", "started a 2", "started a 3")
    assert judge(another, ["a"], ["a"]).unexplained == ("a",)
