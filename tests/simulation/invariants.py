"""What must hold after every step of the backend, and what must hold in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from jobqueue.backends import MemoryBackend
from jobqueue.model.events import Event, EventType
from jobqueue.model.limits import Rate
from jobqueue.model.record import JobRecord, JobState

ENDS_A_LEASE = frozenset(
    {
        EventType.COMPLETED,
        EventType.FAILED,
        EventType.RETRYING,
        EventType.RELEASED,
        EventType.RECOVERED,
        EventType.CANCELLED,
    }
)


class Broken(AssertionError):
    """An invariant does not hold."""


class Watch:
    """Looks at a queue of the memory backend, again and again."""

    def __init__(self, backend: MemoryBackend, queue: str) -> None:
        self._shelf = backend._shelf(queue)  # pyright: ignore[reportPrivateUsage]  # all orders in one and the same moment
        self._seen: dict[str, tuple[int, int, int]] = {}
        self.steps = 0

    def look(self) -> None:
        """Raises Broken."""
        self.steps += 1
        shelf = self._shelf
        orders: dict[JobState, Iterable[str]] = {
            JobState.WAITING: shelf.ids(JobState.WAITING),
            JobState.DELAYED: shelf.delayed.ids(),
            JobState.ACTIVE: shelf.leases.ids(),
            JobState.BLOCKED: shelf.blocked,
            **shelf.finished,
        }
        places = 0
        for state, ids in orders.items():
            for job_id in ids:
                places += 1
                record = shelf.jobs.get(job_id)
                if record is None or record.state is not state:
                    raise Broken(f"{job_id} lies with those that are {state}, and is {record and record.state}")
                self._only_rises(record)
        # Each lies where its state says: if there are as many places as jobs, none lies nowhere, or twice.
        if places != len(shelf.jobs):
            raise Broken(f"{len(shelf.jobs)} jobs lie in {places} places")
        self._no_more_than_allowed()

    def _no_more_than_allowed(self) -> None:
        limits, active = self._shelf.groups.limits, self._shelf.leases.ids()
        if limits.concurrency is not None and len(active) > limits.concurrency:
            raise Broken(f"{len(active)} jobs run, and {limits.concurrency} may")
        records = [self._shelf.jobs[job_id] for job_id in active]
        for kind, count in Counter(record.type for record in records).items():
            if count > limits.types.get(kind, count):
                raise Broken(f"{count} jobs of type {kind} run, and {limits.types[kind]} may")
        most = limits.groups.concurrency
        for group, count in Counter(record.group for record in records if record.group).items():
            if most is not None and count > most:
                raise Broken(f"{count} jobs of group {group} run, and {most} may")

    def nothing_is_left_of_groups(self) -> None:
        """Once all have ended. Raises Broken."""
        groups = self._shelf.groups
        kept = (groups.lines, groups.parked, groups.busy, *(ids for ids in groups.running.values() if ids))
        if any(kept) or groups.aside or any(group for group in groups.turns.ids()):
            raise Broken("something is left of groups that have no jobs")

    def _only_rises(self, record: JobRecord) -> None:
        before = self._seen.get(record.id, (0, 0, 0))
        after = (record.failures, record.stalls, record.token or before[2])
        if after == before:
            return
        if any(now < then for now, then in zip(after, before, strict=True)):
            raise Broken(f"failures, stalls and token of {record.id} were {before} and are {after}")
        self._seen[record.id] = after


def check_rate(rate: Rate | None, starts_ms: Iterable[int]) -> None:
    """No stretch of a period has more starts than the rate allows. Raises Broken."""
    starts = sorted(starts_ms)
    for first, last in zip(starts, starts[rate.limit :] if rate else (), strict=False):
        if rate and last - first < rate.per_ms:
            raise Broken(f"more than {rate.limit} started within {last - first} ms")


def check_end(
    *,
    acknowledged: Iterable[str],
    records: Mapping[str, JobRecord],
    events: Iterable[Event],
    runs: Iterable[tuple[str, int]],
    attempts: int,
    max_stalls: int,
) -> None:
    """``runs`` are all starts of the processor, as job id and token. Raises Broken."""
    for job_id in acknowledged:
        record = records.get(job_id)
        if record is None:
            raise Broken(f"{job_id} was acknowledged and is gone")
        if not record.state.finished:
            raise Broken(f"{job_id} never ended: {record.state}")
    for record in records.values():
        if record.failures > attempts:
            raise Broken(f"{record.id} had {record.failures} attempts of {attempts}")
        lost = record.error is not None and record.error.type == "WorkerLost"
        if lost != (record.stalls >= max_stalls):
            raise Broken(f"{record.id} lost {record.stalls} workers, and ended with {record.error}")
    twice = [run for run, count in Counter(runs).items() if count > 1]
    if twice:
        raise Broken(f"run twice under one lease: {twice}")
    claims = _check_lives(events)
    for job_id, count in Counter(job_id for job_id, _ in runs).items():
        if count > claims[job_id]:
            raise Broken(f"{job_id} ran {count} times and was claimed {claims[job_id]} times")


def _check_lives(events: Iterable[Event]) -> Counter[str]:
    """Between two claims of a job its lease must have come to an end. Returns how often each was claimed."""
    held: set[str] = set()
    completed: set[str] = set()
    claims: Counter[str] = Counter()
    for event in events:
        if event.type is EventType.STARTED:
            if event.job_id in held or event.job_id in completed:
                raise Broken(f"{event.job_id} was claimed while it was held, or after it was completed")
            held.add(event.job_id)
            claims[event.job_id] += 1
        elif event.type in ENDS_A_LEASE:
            held.discard(event.job_id)
            if event.type is EventType.COMPLETED:
                if event.job_id in completed:
                    raise Broken(f"{event.job_id} was completed twice")
                completed.add(event.job_id)
    if held:
        raise Broken(f"still held in the end: {sorted(held)}")
    return claims
