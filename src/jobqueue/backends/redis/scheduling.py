"""Schedules in Redis: one set by when they are due, a hash for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobqueue.backends.redis.codec import Word, job_words, text
from jobqueue.backends.redis.part import RedisPart
from jobqueue.backends.scheduling import (
    HELD_MS,
    DueSchedules,
    Firing,
    ScheduleChange,
    ScheduleList,
    ScheduleRecord,
)
from jobqueue.errors import BackendFull
from jobqueue.model.times import LAST_MOMENT_MS


class ScheduleCalls(RedisPart):
    """The part of the Redis backend that schedules need."""

    async def write_schedule(self, queue: str, change: ScheduleChange) -> bool:
        await self._announce(queue)
        words = (
            change.id,
            change.expected,
            change.revision,
            change.plan,
            change.job,
            _moment(change.tick_ms),
            _moment(change.due_ms),
            change.anchor_ms,
            int(change.paused),
            int(change.declared),
            change.most,
            _moment(change.expected_tick_ms),
        )
        answer = int((await self._calls.write("write_schedule", self._prefix(queue), self._now(), *words))[0])
        if answer < 0:
            raise BackendFull(f"queue {queue!r} has its limit of {change.most} schedules; nothing was written")
        return answer > 0

    async def remove_schedule(self, queue: str, schedule: str) -> bool:
        answer = await self._calls.write("remove_schedule", self._prefix(queue), self._now(), schedule)
        return int(answer[0]) > 0

    async def find_schedules(
        self,
        queue: str,
        *,
        ids: Sequence[str] | None = None,
        declared: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> ScheduleList:
        which: tuple[Word, ...] = ("page", offset, limit)
        if ids is not None:
            which = ("ids", *ids)
        elif declared:
            which = ("declared",)
        now, total, found = await self._calls.read("find_schedules", self._prefix(queue), self._now(), *which)
        return ScheduleList(int(now), _records(found), int(total))

    async def due_schedules(self, queue: str, limit: int) -> DueSchedules:
        now, next_in, found = await self._calls.run("due_schedules", self._prefix(queue), self._now(), limit, HELD_MS)
        return DueSchedules(int(now), _records(found), int(next_in) if next_in else None)

    async def fire_schedules(self, queue: str, firings: Sequence[Firing]) -> list[int | None]:
        words = [word for firing in firings for word in _firing_words(firing)]
        keyed = any(job.unique for firing in firings for job in firing.jobs)
        count = f"{len(firings)}u" if keyed else len(firings)
        answers = await self._calls.write("fire_schedules", self._prefix(queue), self._now(), count, *words)
        return [None if number < 0 else number for number in map(int, answers)]


def _firing_words(firing: Firing) -> list[Word]:
    words: list[Word] = [
        firing.id,
        firing.revision,
        _moment(firing.tick_ms),
        _moment(firing.next_tick_ms),
        _moment(firing.next_due_ms),
        firing.limit,
        int(firing.alone),
        int(firing.by_hand),
        len(firing.jobs),
    ]
    for job in firing.jobs:
        words += job_words(job)
    return words


def _moment(ms: int | None) -> Word:
    return "" if ms is None else ms


def _records(found: Sequence[Any]) -> tuple[ScheduleRecord, ...]:
    return tuple(_record(text(schedule), fields) for schedule, fields in found)


def _record(schedule: str, fields: Sequence[Any]) -> ScheduleRecord:
    plan, job, revision, tick, due, anchor, paused, declared, runs, skipped, last, last_at = fields
    return ScheduleRecord(
        id=schedule,
        plan=plan or b"",
        job=job or b"",
        revision=text(revision),
        tick_ms=_number(tick),
        due_ms=_number(due),
        anchor_ms=_number(anchor) or 0,
        paused=paused == b"1",
        declared=declared == b"1",
        runs=_number(runs) or 0,
        skipped=_number(skipped) or 0,
        last_job=text(last) if last else "",
        last_ms=_number(last_at),
    )


def _number(stored: Any) -> int | None:
    """What somebody else wrote there counts as missing."""
    try:
        number = int(stored)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= LAST_MOMENT_MS else None
