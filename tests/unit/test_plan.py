"""When a schedule runs, and what becomes of ticks that nobody was there for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from jobqueue import InvalidName, InvalidOption, NewJob, Schedule
from jobqueue.model.naming import checked_job_id
from jobqueue.model.plan import MISSED_MS, MOST_CAUGHT_UP, CatchUp, Plan, Turn, checked_plan, tick_id, turn, upcoming

HOUR = 3_600_000
MIDNIGHT = round(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)

HOURLY = Plan(cron="@hourly")
JOB = NewJob("report.nightly")


def turn_of(plan: Plan, now_ms: int, *, tick_ms: int = MIDNIGHT, runs: int = 0) -> Turn:
    return turn(plan, "s", tick_ms, now_ms, anchor_ms=MIDNIGHT, runs=runs)


def test_on_time() -> None:
    assert turn_of(HOURLY, MIDNIGHT + 20) == Turn((MIDNIGHT,), MIDNIGHT + HOUR)


@pytest.mark.parametrize("catch_up", ["skip", "one", "all"])
def test_a_little_late_is_not_missed(catch_up: CatchUp) -> None:
    plan = Plan(cron="@hourly", catch_up=catch_up)
    assert turn_of(plan, MIDNIGHT + MISSED_MS) == Turn((MIDNIGHT,), MIDNIGHT + HOUR)


@pytest.mark.parametrize(
    ("catch_up", "ticks", "missed"),
    [("skip", [], True), ("one", [10], True), ("all", list(range(11)), False)],
)
def test_catching_up(catch_up: CatchUp, ticks: list[int], missed: bool) -> None:
    for plan in (Plan(cron="@hourly", catch_up=catch_up), Plan(every_ms=HOUR, catch_up=catch_up)):
        expected = Turn(tuple(MIDNIGHT + tick * HOUR for tick in ticks), MIDNIGHT + 11 * HOUR, missed)
        assert turn_of(plan, MIDNIGHT + 10 * HOUR + HOUR // 2) == expected


def test_skipping_runs_the_one_that_is_only_late() -> None:
    assert turn_of(HOURLY, MIDNIGHT + 5 * HOUR + 1000) == Turn((MIDNIGHT + 5 * HOUR,), MIDNIGHT + 6 * HOUR, True)


def test_all_is_bounded() -> None:
    for plan in (Plan(cron="* * * * *", catch_up="all"), Plan(every_ms=60_000, catch_up="all")):
        what = turn_of(plan, MIDNIGHT + 10 * 365 * 24 * HOUR)
        assert len(what.ticks) == MOST_CAUGHT_UP
        assert what.ticks[-1] == MIDNIGHT + 10 * 365 * 24 * HOUR
        assert what.missed


def test_the_limit_and_the_end_bound_what_is_made_up_for() -> None:
    late = MIDNIGHT + 10 * HOUR
    assert len(turn_of(Plan(cron="@hourly", catch_up="all", limit=5), late, runs=2).ticks) == 3
    ended = turn_of(Plan(cron="@hourly", catch_up="all", end_ms=MIDNIGHT + 2 * HOUR), late)
    assert ended == Turn((MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR), None)


@given(
    every=st.sampled_from([1000, 7000, 60_000, HOUR]),
    jitter=st.integers(0, 1000),
    late=st.integers(0, 40 * HOUR),
    catch_up=st.sampled_from(["skip", "one", "all"]),
    crontab=st.booleans(),
)
def test_a_turn_never_runs_what_is_not_due_and_leaves_nothing_due(
    every: int, jitter: int, late: int, catch_up: CatchUp, crontab: bool
) -> None:
    cron = {1000: "* * * * * *", 7000: "*/7 * * * * *", 60_000: "* * * * *", HOUR: "@hourly"}[every]
    plan = Plan(
        cron=cron if crontab else None, every_ms=None if crontab else every, jitter_ms=jitter, catch_up=catch_up
    )
    now = plan.due_ms("s", MIDNIGHT) + late
    what = turn_of(plan, now)
    assert list(what.ticks) == sorted(set(what.ticks))
    assert all(tick >= MIDNIGHT and plan.due_ms("s", tick) <= now for tick in what.ticks)
    assert len(what.ticks) <= (MOST_CAUGHT_UP if catch_up == "all" else 1)
    assert what.next_ms is not None
    assert all(tick < what.next_ms for tick in what.ticks)
    # Two ticks may be closer to each other than their jitter, so the next one may be due; then it comes at once.
    assert what.next_ms + jitter > now
    # Afterwards the schedule moves on: it is never asked the same again.
    assert what.next_ms > MIDNIGHT


@given(st.integers(0, 2**41), st.integers(0, 10_000))
def test_jitter_is_the_same_wherever_it_is_asked_for(tick: int, jitter: int) -> None:
    plan = Plan(every_ms=86_400_000, jitter_ms=jitter)
    assert tick <= plan.due_ms("s", tick) <= tick + jitter
    assert plan.due_ms("s", tick) == Plan.decode(plan.encode()).due_ms("s", tick)


def test_jitter_is_spread() -> None:
    plan = Plan(every_ms=HOUR, jitter_ms=1000)
    drawn = {plan.due_ms("s", MIDNIGHT + number * HOUR) - number * HOUR for number in range(200)}
    assert len(drawn) > 100
    assert plan.due_ms("one", MIDNIGHT) != plan.due_ms("another", MIDNIGHT)


def test_every_counts_from_its_start_or_from_when_it_was_put() -> None:
    assert Plan(every_ms=HOUR).after(MIDNIGHT, MIDNIGHT) == MIDNIGHT + HOUR
    assert Plan(every_ms=HOUR).after(MIDNIGHT + 90 * 60_000, MIDNIGHT) == MIDNIGHT + 2 * HOUR
    start = MIDNIGHT + 5 * HOUR + 60_000
    assert Plan(every_ms=HOUR, start_ms=start).after(MIDNIGHT, 0) == start
    assert Plan(every_ms=HOUR, start_ms=start).after(start, 0) == start + HOUR


def test_a_start_that_is_a_tick_is_one() -> None:
    assert Plan(cron="@hourly", start_ms=MIDNIGHT + HOUR).after(MIDNIGHT - 5 * HOUR, 0) == MIDNIGHT + HOUR


def test_upcoming_ends_with_the_end() -> None:
    plan = Plan(cron="@hourly", end_ms=MIDNIGHT + 2 * HOUR)
    assert upcoming(plan, MIDNIGHT, 0, 5) == [MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + 2 * HOUR]
    assert upcoming(plan, None, 0, 5) == []


@pytest.mark.parametrize(
    ("every_ms", "words"),
    [
        (86_400_000, "every day"), (172_800_000, "every 2 days"), (HOUR, "every hour"), (900_000, "every 15 minutes"),
        (90_000, "every 90 seconds"), (1000, "every second"), (1500, "every 1.5 seconds"),
    ],
)  # fmt: skip
def test_words_of_spans(every_ms: int, words: str) -> None:
    assert Plan(every_ms=every_ms).words == words


@given(st.integers(0, 253_402_300_799_999))
def test_a_ticks_job_id_is_one(tick: int) -> None:
    assert checked_job_id(tick_id("nightly", tick)).startswith("nightly:")


def test_ids_of_ticks_tell_when() -> None:
    assert tick_id("nightly", MIDNIGHT) == "nightly:2026-01-01T00:00:00Z"
    assert tick_id("nightly", MIDNIGHT + 50) == "nightly:2026-01-01T00:00:00.050Z"


def test_a_plan_is_stored_by_what_was_asked_for() -> None:
    plan = Plan(cron="@daily", timezone="Europe/Berlin", limit=3)
    assert plan.encode() == b'{"cron":"@daily","timezone":"Europe/Berlin","limit":3}'
    assert Plan.decode(plan.encode()) == plan


@pytest.mark.parametrize(
    "stored", [b"", b"[]", b"{}", b'{"cron":"x"}', b'{"every_ms":-5}', b'{"every_ms":5000,"jitter_ms":-1}', b"\xff"]
)
def test_what_was_overwritten_is_refused(stored: bytes) -> None:
    with pytest.raises(InvalidOption):
        Plan.decode(stored)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "cron or every"),
        ({"cron": "@daily", "every": 5}, "cron or every"),
        ({"cron": "nonsense"}, "cannot be read"),
        ({"cron": 5}, "cron must be a text"),
        ({"every": 0.01}, "0.1 seconds or more"),
        ({"every": -1}, "more than 0"),
        ({"every": 5, "timezone": "Mars"}, "not known here"),
        ({"every": 5, "start": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"every": 5, "end": datetime(2026, 1, 1)}, "no time zone"),  # noqa: DTZ001
        ({"every": 5, "end": "tomorrow"}, "must be a datetime"),
        (
            {"every": 5, "start": datetime(2026, 1, 2, tzinfo=UTC), "end": datetime(2026, 1, 1, tzinfo=UTC)},
            "before start",
        ),
        ({"every": 5, "limit": 0}, "limit"),
        ({"every": 5, "limit": True}, "limit"),
        ({"every": 5, "jitter": 6}, "jitter"),
        ({"cron": "@yearly", "jitter": timedelta(days=2)}, "jitter"),
        ({"every": 5, "catch_up": "some"}, "catch_up"),
        ({"every": 5, "overlap": "wait"}, "overlap"),
        ({"every": 5, "job": NewJob("x", delay=5)}, "leave delay"),
        ({"every": 5, "job": NewJob("x", run_at=datetime(2026, 1, 1, tzinfo=UTC))}, "leave delay"),
        ({"every": 5, "job": NewJob("x", depends_on=[("tickets", "1")])}, "leave depends_on"),
        ({"every": 5, "job": NewJob("x", job_id="y")}, "leave job_id"),
        ({"every": 5, "job": "x"}, "must be a NewJob"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Schedule("nightly", **{"job": JOB, **options})  # pyright: ignore[reportArgumentType]


def test_names_are_checked() -> None:
    with pytest.raises(InvalidName, match="schedule"):
        Schedule("a:b", every=5, job=JOB)


def test_a_checked_plan_is_the_plan() -> None:
    assert checked_plan(HOURLY) is HOURLY
