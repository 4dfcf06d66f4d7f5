"""When a delivery is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from jobqueue.webhooks import SCHEDULE, DeliveryFailed
from jobqueue.webhooks.retries import JITTER, LONGEST_REST, later, policy, retry_after_of

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
draws = st.floats(0, 1)


def test_ten_tries_in_three_days() -> None:
    assert policy(SCHEDULE).attempts == 10
    assert 3 * 86_400 < sum(SCHEDULE) < 4 * 86_400


@given(st.integers(1, len(SCHEDULE)), draws)
def test_rests_are_those_of_the_schedule_and_a_little_more(failed_try: int, draw: float) -> None:
    rest = policy(SCHEDULE, lambda: draw).delay_ms(failed_try, ValueError())
    assert rest is not None
    asked = SCHEDULE[failed_try - 1] * 1000
    assert asked - 1 <= rest <= asked * (1 + JITTER) + 1


def test_the_last_try_is_the_last() -> None:
    assert policy(SCHEDULE).delay_ms(len(SCHEDULE) + 1, ValueError()) is None
    assert policy([]).delay_ms(1, ValueError()) is None


@given(st.integers(1, len(SCHEDULE)), st.floats(0, LONGEST_REST), draws)
def test_nobody_is_bothered_before_the_time_asked_for(failed_try: int, asked: float, draw: float) -> None:
    rest = policy(SCHEDULE, lambda: draw).delay_ms(failed_try, DeliveryFailed("503", status=503, retry_after=asked))
    assert rest is not None
    assert rest + 1 >= max(asked, SCHEDULE[failed_try - 1]) * 1000
    assert rest <= LONGEST_REST * 1000 * (1 + JITTER) + 1


@given(st.floats(0, LONGEST_REST), draws)
def test_later_is_never_earlier(seconds: float, draw: float) -> None:
    assert later(seconds, lambda: draw) >= seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999999999999", LONGEST_REST),
        ("Thu, 01 Jan 2026 12:02:00 GMT", 120.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Fri, 01 Jan 2027 12:00:00 GMT", LONGEST_REST),
        ("Thu, 01 Jan 2026 99:00:00 GMT", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read(header: str | None, seconds: float | None) -> None:
    assert retry_after_of(header, NOW) == seconds


@given(st.text())
def test_retry_after_is_bounded_whatever_it_says(header: str) -> None:
    seconds = retry_after_of(header, NOW)
    assert seconds is None or 0 <= seconds <= timedelta(days=1).total_seconds()
