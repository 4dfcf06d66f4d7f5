"""When a crontab line comes round: daylight saving, names, words, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from jobqueue import InvalidOption
from jobqueue.model.cron import NAMES, Cron

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 29, tzinfo=BERLIN)
"""02:00 to 03:00 is left out."""
AUTUMN = datetime(2026, 10, 25, tzinfo=BERLIN)
"""02:00 to 03:00 comes twice."""


def times(cron: str, after: datetime, count: int, timezone: str = "Europe/Berlin") -> list[str]:
    """The next times on the clock of the place, with its distance from UTC."""
    made, ms = Cron(cron, timezone), round(after.timestamp() * 1000)
    found: list[str] = []
    for _ in range(count):
        next_ms = made.after(ms)
        assert next_ms is not None
        assert next_ms > ms
        ms = next_ms
        found.append(f"{datetime.fromtimestamp(ms / 1000, ZoneInfo(timezone)):%d %H:%M %z}")
    return found


@pytest.mark.parametrize(
    ("cron", "night", "expected"),
    [
        # A fixed hour that comes twice: once, in summer time.
        ("30 2 * * *", AUTUMN, ["25 02:30 +0200", "26 02:30 +0100"]),
        ("0,30 2 * * *", AUTUMN, ["25 02:00 +0200", "25 02:30 +0200", "26 02:00 +0100"]),
        # A fixed hour that is left out: at once when the clock has jumped, and once however often it would have been.
        ("30 2 * * *", SPRING, ["29 03:00 +0200", "30 02:30 +0200"]),
        ("0,15,30 2 * * *", SPRING, ["29 03:00 +0200", "30 02:00 +0200"]),
        ("0 2,3 * * *", SPRING, ["29 03:00 +0200", "30 02:00 +0200"]),
        # Every so many minutes or hours: real time.
        (
            "*/30 * * * *",
            AUTUMN + timedelta(hours=1, minutes=31),
            ["25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100"],
        ),
        (
            "*/30 * * * *",
            SPRING + timedelta(hours=1, minutes=10),
            ["29 01:30 +0100", "29 03:00 +0200", "29 03:30 +0200"],
        ),
        ("0 */2 * * *", SPRING, ["29 04:00 +0200", "29 06:00 +0200"]),
        ("0 0 * * *", AUTUMN - timedelta(hours=1), ["25 00:00 +0200", "26 00:00 +0100"]),
    ],
)
def test_nights_on_which_the_clock_is_changed(cron: str, night: datetime, expected: list[str]) -> None:
    assert times(cron, night, len(expected)) == expected


def test_within_the_hour_that_comes_twice_nothing_runs_again() -> None:
    second = datetime(2026, 10, 25, 2, 10, tzinfo=BERLIN, fold=1)
    assert times("30 2 * * *", second, 1) == ["26 02:30 +0100"]


def test_a_zone_with_half_an_hour_of_summer_time() -> None:
    # Lord Howe Island goes back by half an hour, from 02:00 to 01:30, on the first Sunday of April.
    night = datetime(2026, 4, 5, tzinfo=ZoneInfo("Australia/Lord_Howe"))
    assert times("45 1 * * *", night, 2, "Australia/Lord_Howe") == ["05 01:45 +1100", "06 01:45 +1030"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("@hourly", "01 01:00"),
        ("@daily", "02 00:00"),
        ("@midnight", "02 00:00"),
        ("@weekly", "04 00:00"),
        ("@monthly", "01 00:00"),
        ("@yearly", "01 00:00"),
        ("@annually", "01 00:00"),
        ("@DAILY", "02 00:00"),
    ],
)
def test_names(name: str, expected: str) -> None:
    assert times(name, datetime(2026, 1, 1, tzinfo=UTC), 1, "UTC") == [f"{expected} +0000"]


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("0 0 * * *", "every day at 00:00, Europe/Berlin"),
        ("@daily", "every day at 00:00, Europe/Berlin"),
        ("30 2 * * MON-FRI", "on Monday through Friday at 02:30, Europe/Berlin"),
        ("0 9 L * *", "on the last day of every month at 09:00, Europe/Berlin"),
        ("*/15 * * * *", "every 15th minute of every hour, Europe/Berlin"),
        ("0 0 13 * FRI", "on the 13th day of month or on Friday at 00:00, Europe/Berlin"),
        ("0 0 1-7 * MON", "on every day of month from 1 through 7 or on Monday at 00:00, Europe/Berlin"),
        ("@hourly", "at the start of every hour, Europe/Berlin"),
        ("*/10 * * * * *", "every 10th second of every minute, Europe/Berlin"),
    ],
)
def test_words(cron: str, words: str) -> None:
    assert Cron(cron, "Europe/Berlin").words == words


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "wrong number of fields"),
        ("* * * *", "wrong number of fields"),
        ("61 * * * *", "bad minute"),
        ("0 25 * * *", "bad hour"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 * 13 *", "bad month"),
        ("0 0 * * MOO", "bad day-of-week"),
        ("*/0 * * * *", "bad minute"),
        ("10-5 * * * *", "bad minute"),
        ("@reboot", "not a name: there are @hourly"),
        (f"{'1,' * 150}1 * * * *", "200 are the most"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(cron: str, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Cron(cron, "UTC")


@pytest.mark.parametrize("timezone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/localtime", "Europe", "x\x00y"])
def test_zones_that_are_not_known_are_refused(timezone: str) -> None:
    with pytest.raises(InvalidOption, match="not known here"):
        Cron("@daily", timezone)


_FIELDS = st.tuples(
    st.sampled_from(["*", "0", "30", "*/7", "0,15,45", "10-20"]),
    st.sampled_from(["*", "2", "0", "1-3", "*/2", "3,2,1"]),
    st.sampled_from(["*", "1", "L", "15,29"]),
    st.sampled_from(["*", "3,10", "APR", "*/4"]),
    st.sampled_from(["*", "SUN", "MON-FRI", "SUN#1", "5L"]),
).map(" ".join)
_ZONES = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
_MOMENTS = st.integers(*(round(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (2024, 2028)))
_NIGHTS = st.sampled_from([SPRING, AUTUMN]).flatmap(
    lambda night: st.integers(0, 300).map(lambda minutes: round(night.timestamp() + 60 * minutes) * 1000)
)


@given(cron=_FIELDS, timezone=_ZONES, ms=_MOMENTS | _NIGHTS)
def test_times_do_not_depend_on_where_one_begins(cron: str, timezone: str, ms: int) -> None:
    made = Cron(cron, timezone)
    first = made.after(ms)
    if first is None:
        return
    assert first > ms
    assert first % 1000 == 0
    # Whoever asks at any moment before it is told the same.
    for between in (ms + (first - ms) // 2, first - 1):
        assert made.after(between) == first
    second = made.after(first)
    assert second is None or second > first


@given(ms=_MOMENTS | _NIGHTS, timezone=_ZONES)
def test_a_daily_time_comes_once_a_day(ms: int, timezone: str) -> None:
    made, zone = Cron("30 2 * * *", timezone), ZoneInfo(timezone)
    days: list[int] = []
    for _ in range(5):
        ms = made.after(ms) or 0
        days.append(datetime.fromtimestamp(ms / 1000, zone).toordinal())
    assert all(later - earlier == 1 for earlier, later in zip(days, islice(days, 1, None), strict=False))


def test_every_name_is_a_line() -> None:
    for name in NAMES:
        assert Cron(name, "UTC").after(0) is not None
