"""Faults of workers, each in a form of seconds."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.faults import doubles, racing, releases, worker_strikes
from tests.faults.__main__ import LONG, line
from tests.faults.catalogue import FAULTS
from tests.faults.runs import run

pytestmark = pytest.mark.timeout(180)

QUICK = {**worker_strikes.QUICK, **releases.QUICK, **racing.QUICK, **doubles.QUICK}


def test_every_fault_has_a_quick_and_a_long_form() -> None:
    from tests.faults.test_faults import QUICK as OTHERS

    assert QUICK.keys() | OTHERS.keys() == FAULTS.keys() == LONG.keys()


@pytest.mark.parametrize("fault", QUICK)
async def test_nothing_is_lost_and_nothing_repeated_without_a_reason(fault: str) -> None:
    if fault == "F26" and not releases.available():
        pytest.skip(releases.MISSING)
    plan = replace(QUICK[fault], seed=random.randrange(2**32))
    report = await run(fault, plan)
    assert report.sound, line(report)
    assert report.struck == plan.times, report
    assert report.judgement.acknowledged >= plan.jobs, report
    assert report.judgement.buried == (), report
    assert set(report.exit_codes) == {0}, report
    if fault in {"F1", "F14", "F26", "F27", "F29"}:
        assert report.judgement.repeated == 0, report
