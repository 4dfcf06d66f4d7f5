"""Attempts counted by the minute: what a worker adds up, and what a reader makes of it."""

from __future__ import annotations

from typing import get_args

import pytest

from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, RetryAt
from jobqueue.model.record import JobError
from jobqueue.model.stats import JobStats, Tallies, stats_of

ERROR = JobError("ValueError", "no", "")


def rows(tallies: Tallies) -> list[JobStats]:
    return stats_of([(0, tallies.take())])


def test_each_outcome_has_its_number() -> None:
    tallies = Tallies()
    outcomes: list[Outcome] = [Completed(), Completed(), Completed(), RetryAt(0, ERROR), RetryAt(0, ERROR)]
    outcomes += [Failed(ERROR), Cancelled("why"), Released("shutdown"), Parked()]
    assert {type(outcome) for outcome in outcomes} == set(get_args(Outcome))
    for outcome in outcomes:
        tallies.add("a", outcome, 0.5)
    (row,) = rows(tallies)
    assert (row.completed, row.retried, row.failed, row.cancelled, row.attempts) == (3, 2, 1, 1, 7)
    assert row.run_seconds == pytest.approx(3.5)


def test_what_was_taken_is_not_counted_again() -> None:
    tallies = Tallies()
    tallies.add("a", Completed(), 0)
    assert tallies.take() == {"c0 a": 1, "us a": 0}
    assert tallies.take() == {}


def test_durations_go_by_powers_of_two_of_milliseconds() -> None:
    tallies = Tallies()
    for seconds in (0.0009, 0.001, 0.0019, 0.002, 0.0039, 0.1, 10**9):
        tallies.add("a", Completed(), seconds)
    (row,) = rows(tallies)
    assert {power: count for power, count in enumerate(row.durations) if count} == {0: 1, 1: 2, 2: 2, 7: 1, 24: 1}


@pytest.mark.parametrize(("share", "seconds"), [(0, 0.001), (0.5, 0.001), (0.9, 0.001), (0.91, 0.128), (1, 0.128)])
def test_a_percentile_is_the_bound_that_so_many_stayed_below(share: float, seconds: float) -> None:
    tallies = Tallies()
    for number in range(100):
        tallies.add("a", Completed(), 0.1 if number < 10 else 0)
    (row,) = rows(tallies)
    assert row.percentile(share) == seconds


def test_no_attempts_have_no_percentile() -> None:
    (row,) = stats_of([(0, {"us a": 1})])
    assert row.percentile(0.5) == 0


def test_rows_go_by_minute_and_type_and_leave_out_what_is_not_ours() -> None:
    counters = {"c0 b": 1, "c1 a b": 2, "c99 a": 1, "zz a": 1, "nonsense": 1, "": 3}
    found = stats_of([(0, counters), (60_000, {"f0 a": 1})])
    assert [(row.minute.minute, row.type, row.attempts) for row in found] == [(0, "a b", 2), (0, "b", 1), (1, "a", 1)]
