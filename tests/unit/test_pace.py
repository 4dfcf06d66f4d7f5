"""A rate is kept: never more starts in any window of a period than its limit, and never fewer than it could be."""

from __future__ import annotations

from hypothesis import given, settings, strategies as st

from jobqueue import Rate
from jobqueue.model.pace import MOST_LAG, Pace


def _rate(limit: int, per_ms: int, share: float) -> Rate:
    return Rate(limit, per_ms / 1000, max(1, round(limit * share)))


rates = st.builds(_rate, st.integers(1, 300), st.sampled_from([1, 7, 100, 1000, 60_000]), st.floats(0, 1))
steps = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 400)), min_size=1, max_size=60)
late_steps = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(1, 400), st.integers(0, 250)), min_size=1, max_size=60
)


def _starts(rate: Rate, asked: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """When how many start: at each step some time passes and so many would like to."""
    pace, now_ms, starts = Pace(rate), 1_000_000, list[tuple[int, int]]()
    for passed_ms, wanted in asked:
        now_ms += passed_ms
        count = min(wanted, pace.left(now_ms))
        pace.take(now_ms, count)
        starts.append((now_ms, count))
    return starts


@settings(deadline=None)
@given(rates, steps)
def test_no_window_of_a_period_has_more_starts_than_the_limit(rate: Rate, asked: list[tuple[int, int]]) -> None:
    starts = _starts(rate, asked)
    for first, (since, _) in enumerate(starts):
        # From this start to just before a period later: no window that begins elsewhere holds more.
        assert sum(count for at_ms, count in starts[first:] if at_ms < since + rate.per_ms) <= rate.limit


@settings(deadline=None)
@given(
    rates, st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 400), st.integers(0, 250)), min_size=1, max_size=60)
)
def test_starts_that_come_late_keep_the_rate_too(rate: Rate, asked: list[tuple[int, int, int]]) -> None:
    pace, now_ms, starts = Pace(rate), 1_000_000, list[tuple[int, int]]()
    lag_ms = min(250, rate.per_ms // MOST_LAG)
    for passed_ms, wanted, late_ms in asked:
        now_ms += passed_ms
        count = min(wanted, pace.left(now_ms, lag_ms))
        pace.take(now_ms, count)
        starts.append((now_ms + min(late_ms, lag_ms), count))
    for since, _ in starts:
        assert sum(count for at_ms, count in starts if since <= at_ms < since + rate.per_ms) <= rate.limit


@settings(deadline=None)
@given(rates, steps)
def test_no_more_than_a_burst_start_at_once_and_the_bucket_bounds_every_stretch(
    rate: Rate, asked: list[tuple[int, int]]
) -> None:
    starts = _starts(rate, asked)
    for first, (since, _) in enumerate(starts):
        started = 0
        for until, count in starts[first:]:
            started += count
            assert started <= rate.at_once + (until - since) * rate.limit / rate.per_ms


@settings(deadline=None)
@given(rates, steps, st.sampled_from([0, 0, 3, 500]))
def test_the_next_moment_is_exact(rate: Rate, asked: list[tuple[int, int]], lag_ms: int) -> None:
    pace, now_ms = Pace(rate), 1_000_000
    for passed_ms, wanted in asked:
        now_ms += passed_ms
        pace.take(now_ms, min(wanted, pace.left(now_ms, lag_ms)))
        if not pace.left(now_ms, lag_ms):
            moment = pace.next_ms(now_ms, lag_ms)
            assert now_ms < moment <= now_ms + rate.per_ms + lag_ms
            assert pace.left(moment, lag_ms) > 0
            assert pace.left(moment - 1, lag_ms) == 0


@settings(deadline=None)
@given(st.integers(1, 300), st.sampled_from([10, 1000, 60_000]))
def test_with_enough_to_do_a_full_limit_starts_in_every_period(limit: int, per_ms: int) -> None:
    pace, now_ms, started = Pace(Rate(limit, per_ms / 1000)), 5_000, 0
    until = now_ms + 10 * per_ms
    while now_ms < until:
        count = pace.left(now_ms)
        pace.take(now_ms, count)
        started += count
        now_ms = pace.next_ms(now_ms)
    assert started == 10 * limit


def test_a_clock_that_is_set_back_holds_nothing_up_for_longer_than_a_period() -> None:
    pace = Pace(Rate(2, per=10))
    pace.take(10_000_000, 2)
    assert pace.left(1_000_000) == 0
    assert pace.next_ms(1_000_000) <= 1_010_000


def test_a_rate_that_changes_keeps_count_of_what_has_started() -> None:
    pace = Pace(Rate(10, per=1))
    pace.take(0, 8)
    pace.change(Rate(5, per=1))
    assert pace.left(500) == 0
    pace.change(Rate(20, per=1))
    assert pace.left(500) == 12
