"""What was claimed and has no slot yet goes back in time. Time is a number here: nothing waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from operator import itemgetter
from types import SimpleNamespace

import pytest

from jobqueue.model.record import JobRecord
from jobqueue.worker import ready as module
from jobqueue.worker.prefetch import LONGEST_WAIT
from jobqueue.worker.ready import Ready

LEASE = 30.0


class Time:
    """The process's clock and the loop's timers, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._timers: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay: float, callback: Callable[[float], None], until: float) -> SimpleNamespace:
        timer = (self.now + delay, partial(callback, until))
        self._timers.append(timer)
        return SimpleNamespace(cancel=lambda: self._timers.remove(timer))

    def pass_(self, seconds: float) -> None:
        until = self.now + seconds
        while self._timers and min(self._timers, key=itemgetter(0))[0] <= until:
            due = min(self._timers, key=itemgetter(0))
            self._timers.remove(due)
            self.now = due[0]
            due[1]()
        self.now = until

    @property
    def timers(self) -> int:
        return len(self._timers)


class Lane:
    """What a lane would be told."""

    def __init__(self, time: Time) -> None:
        self.back: list[tuple[str, str]] = []
        self.overdue = 0
        self.ready = Ready(LEASE, hand_back=self._take_back, overdue=self._is_overdue)
        self._time = time

    def _take_back(self, record: JobRecord, reason: str) -> None:
        self.back.append((record.id, reason))

    def _is_overdue(self) -> None:
        self.overdue += 1

    def put(self, *ids: str, asked_ago: float = 0.0) -> None:
        self.ready.put([JobRecord(job_id, "tickets", "look") for job_id in ids], self._time.now - asked_ago)
        self.ready.watch()

    def take(self) -> str | None:
        record = self.ready.take()
        return record and record.id


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(module, "perf_counter", lambda: time.now)
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: time)
    return time


@pytest.fixture
def lane(time: Time) -> Lane:
    return Lane(time)


def test_first_come_first_served(lane: Lane) -> None:
    lane.put("a", "b")
    lane.put("c")
    assert [lane.take() for _ in range(4)] == ["a", "b", "c", None]
    assert lane.back == []


def test_what_found_no_slot_goes_back_in_order(time: Time, lane: Lane) -> None:
    lane.put("a", "b")
    time.pass_(LONGEST_WAIT)
    assert lane.back == [("a", "no slot was free"), ("b", "no slot was free")]
    assert lane.overdue == 1
    assert time.timers == 0


def test_no_job_waits_longer_because_one_before_it_found_a_slot(time: Time, lane: Lane) -> None:
    lane.put("a", "b")
    time.pass_(LONGEST_WAIT / 2)
    assert lane.take() == "a"
    time.pass_(LONGEST_WAIT / 2)
    assert lane.back == [("b", "no slot was free")]


def test_each_job_has_its_own_time(time: Time, lane: Lane) -> None:
    lane.put("a")
    time.pass_(LONGEST_WAIT * 0.75)
    lane.put("b")
    assert lane.take() == "a"
    time.pass_(LONGEST_WAIT * 0.5)
    assert lane.back == []
    time.pass_(LONGEST_WAIT * 0.5)
    assert lane.back == [("b", "no slot was free")]


def test_a_slow_answer_does_not_count_as_waiting_here(time: Time, lane: Lane) -> None:
    lane.put("a", asked_ago=2 * LONGEST_WAIT)
    time.pass_(LONGEST_WAIT / 2)
    assert lane.back == []
    assert lane.take() == "a"


def test_but_it_counts_for_the_lease(lane: Lane) -> None:
    lane.put("a", asked_ago=LEASE)
    lane.put("b")
    assert lane.take() == "b"
    assert lane.back == [("a", "its lease was not kept")]


def test_nothing_is_watched_when_nothing_is_left(time: Time, lane: Lane) -> None:
    lane.put("a")
    lane.take()
    time.pass_(2 * LONGEST_WAIT)
    assert (lane.back, lane.overdue, time.timers) == ([], 0, 0)


def test_an_ending_lane_leaves_no_timer(time: Time, lane: Lane) -> None:
    lane.put("a")
    lane.ready.stop()
    assert time.timers == 0
