"""Fuzzing of stored jobs: records are changed by hand on a real server, then a worker and an operator meet them.

1. A batch of jobs of every kind is enqueued; some are delayed, some are active with a worker that has died.
2. Most of their records are changed (``mutations.py``); every tenth is left alone.
3. A worker runs until nothing is waiting or active, three times, hours apart.
4. The batch is judged. No mutation ends a worker. Nothing is imported. No untouched job comes to harm. Every other job
   has run, has failed with a reason, or waits for a worker that knows its (well-formed) type. Whoever looks at the
   queue is served. Behind a codec nothing waits for a worker that knows a type which is not the job's own, and no
   processor ever sees a type, data or options other than those that were enqueued.

    python -m tests.security.fuzz --mutations 10000 --seed 7 --codec signed
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import logging
import random
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import redis.asyncio
from pydantic import BaseModel

from jobqueue import (
    Codec,
    DeadLetters,
    InvalidData,
    Job,
    JobState,
    NewJob,
    Queue,
    Registry,
    Retry,
    Worker,
)
from jobqueue.backends import RedisBackend, SealedBackend
from jobqueue.backends.protocol import Exchange
from jobqueue.model.naming import is_name
from jobqueue.testing import ManualClock
from tests.codecs import CODECS
from tests.security.mutations import CANARY_MODULE, Mutation, borrow, draw
from tests.security.stored import StoredJob
from tests.servers import server, valkey_binary

BATCH = 100
_HOURS = 3
_BATCH_SECONDS = 60.0
_PROPERTIES = (
    "id", "queue", "type", "state", "priority", "attempt", "max_attempts", "stalls", "tags", "options", "created_at",
    "run_at", "expires_at", "started_at", "finished_at", "error", "reason",
)  # fmt: skip
_JSON_PROPERTIES = ("data", "result_value", "progress", "checkpoint_value")


class Ticket(BaseModel):
    """What most of the jobs carry."""

    number: int
    note: str = ""


@dataclass(slots=True)
class Report:
    """What came of a run."""

    mutations: int = 0
    untouched: int = 0
    ends: collections.Counter[str] = field(default_factory=collections.Counter[str])
    reasons: collections.Counter[str] = field(default_factory=collections.Counter[str])
    violations: list[str] = field(default_factory=list[str])


class _Watch(logging.Handler):
    """Log lines that a record's content could have forged."""

    def __init__(self) -> None:
        super().__init__()
        self.forged: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        for name in ("job_id", "type", "queue", "reason", "error"):
            text = str(record.__dict__.get(name, ""))
            if not text.isprintable() or len(text) > 300:
                self.forged.append(f"{record.getMessage()} {name}={text[:80]!r}")


async def fuzz(url: str, *, mutations: int, seed: int, codec: Codec | None = None) -> Report:
    """Empty the server at ``url`` and change ``mutations`` records on it, batch by batch."""
    dice = random.Random(seed)
    report = Report()
    async with redis.asyncio.Redis.from_url(url) as admin:  # pyright: ignore[reportUnknownMemberType]
        await admin.flushall()  # pyright: ignore[reportUnknownMemberType]
    with _canary() as imported, _watching() as watch:
        number = 0
        known: set[str] = set()
        while report.mutations < mutations:
            await _batch(url, dice, number, report, codec)
            if number == 0:
                known = set(sys.modules)
            number += 1
        fresh = set(sys.modules) - known
        if fresh or imported():
            report.violations.append(f"imported: {sorted(fresh) or CANARY_MODULE}")
        report.violations += [f"forged log line: {line}" for line in watch.forged]
    return report


async def _batch(url: str, dice: random.Random, number: int, report: Report, codec: Codec | None) -> None:
    client = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    clock = ManualClock()
    redis_backend = RedisBackend(client, clock=clock)
    backend = redis_backend if codec is None else SealedBackend(redis_backend, codec)
    await backend.open()
    queue = Queue(f"fuzz-{number}", backend=backend, dead_letter=f"letters-{number}")
    registry, ran = _processors()
    jobs = await _fill(queue, dice)
    ids = [job.id for job in jobs]
    await backend.exchange(queue.name, Exchange("dead-worker", "dead-worker/0", 1, claim=BATCH // 4))
    others = [await StoredJob(client, queue.name, job_id).fields() for job_id in dice.sample(ids, 10)]
    done = {job_id: await _mutate(client, queue.name, job_id, dice, others) for job_id in ids if dice.random() < 0.9}
    report.mutations += len(done)
    report.untouched += len(ids) - len(done)
    try:
        async with asyncio.timeout(_BATCH_SECONDS):
            for _ in range(_HOURS):
                await clock.advance(hours=1)
                await Worker(queue, registry=registry, clock=clock).drain()
            await _until_nothing_moves(queue, registry, clock)
            await _look(queue, report)
            await _judge(queue, ids, done, set(ran), report, sealed=codec is not None)
            if codec is not None:
                enqueued = {job.id: _seen(job) for job in jobs}
                report.violations += [
                    f"{job_id}: a processor was given something else; {done.get(job_id)}"[:600]
                    for job_id, seen in ran.items()
                    if any(other != enqueued[job_id] for other in seen)
                ]
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  (whatever it is, it is a finding)
        report.violations.append(f"batch {number}: {_words(error)}")
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    else:
        await queue.obliterate(force=True)
        await Queue(f"letters-{number}", backend=backend).obliterate(force=True)
        left = cast("list[bytes]", await client.keys("*"))  # pyright: ignore[reportUnknownMemberType]
        if left:
            report.violations.append(f"batch {number}: keys left behind: {left[:3]}")
            await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    await backend.close()
    await client.aclose()


async def _until_nothing_moves(queue: Queue, registry: Registry, clock: ManualClock) -> None:
    """Jobs whose count of lost workers was raised run one after the other, however many hours that takes."""
    before: list[str] | None = None
    while before != (delayed := sorted(job.id for job in await queue.jobs("delayed", limit=1000))):
        before = delayed
        await clock.advance(hours=1)
        await Worker(queue, registry=registry, clock=clock).drain()


def _seen(job: Job[Any, Any]) -> tuple[str, str, str]:
    data = job.data.model_dump() if isinstance(job.data, Ticket) else job.data
    return job.type, json.dumps(data, sort_keys=True), repr(job.options)


def _processors() -> tuple[Registry, dict[str, list[tuple[str, str, str]]]]:
    registry = Registry()
    ran: dict[str, list[tuple[str, str, str]]] = collections.defaultdict(list)

    @registry.processor("ticket.created", retry=Retry(attempts=2, delay=0))
    async def created(job: Job[Ticket]) -> int:
        assert type(job.data) is Ticket
        ran[job.id].append(_seen(job))
        if job.data.number % 3 == 0 and job.attempt == 1:
            raise ConnectionError("away")
        return job.data.number

    @registry.processor("ticket.failing", retry=Retry(attempts=2, delay=0))
    async def failing(job: Job[Ticket]) -> None:
        ran[job.id].append(_seen(job))
        raise ValueError(f"number {job.data.number}")

    @registry.processor("note.taken")
    def taken(job: Job[Any]) -> Any:
        ran[job.id].append(_seen(job))
        return job.data

    return registry, ran


async def _fill(queue: Queue, dice: random.Random) -> list[Job[Any, Any]]:
    types = ("ticket.created", "ticket.created", "note.taken", "ticket.failing")
    jobs = [
        NewJob(
            dice.choice(types),
            {"number": number, "note": "n" * dice.randrange(20)},
            priority=dice.choice((None, 1, 7)),
            delay=dice.choice((None, None, 60)),
            expires_in=dice.choice((None, None, None, 86_400)),
            timeout=dice.choice((None, 5)),
            tags=dice.choice(((), ("vip",))),
        )
        for number in range(BATCH)
    ]
    return await queue.enqueue_many(jobs)


async def _mutate(
    client: redis.asyncio.Redis, queue: str, job_id: str, dice: random.Random, others: Sequence[dict[bytes, bytes]]
) -> Mutation:
    stored = StoredJob(client, queue, job_id)
    borrowed = dice.random() < 0.1
    mutation = borrow(dice, dice.choice(others)) if borrowed else draw(dice, await stored.fields())
    key = dice.choice((stored.record, stored.record, stored.ending, stored.life))
    commands: list[tuple[Any, ...]] = []
    match mutation.kind:
        case "deleted":
            commands = [("DEL", stored.record)]
        case "string":
            commands = [("SET", key, "not a job")]
        case "list":
            commands = [("DEL", key), ("RPUSH", key, "not", "a job")]
        case "zset":
            commands = [("DEL", key), ("ZADD", key, 1, "not a job")]
        case _:
            for name in mutation.taken:
                await stored.take(name)
            await stored.put(dict(mutation.put))
    for words in commands:
        await client.execute_command(*words)  # pyright: ignore[reportUnknownMemberType]
    return mutation


async def _look(queue: Queue, report: Report) -> None:
    """What an operator looks at must be there, whatever stands in the records."""
    await queue.counts()
    await queue.oldest_age()
    for state in JobState:
        for job in await queue.jobs(state, limit=1000):
            for name in _PROPERTIES:
                getattr(job, name)
            for name in _JSON_PROPERTIES:
                try:
                    getattr(job, name)
                except InvalidData:
                    continue
            await job.logs()
    letters = DeadLetters(queue.dead_letter or "", backend=await queue.backend())
    report.ends["letters"] += len(await letters.letters(limit=1000))


async def _judge(
    queue: Queue, ids: list[str], done: dict[str, Mutation], ran: set[str], report: Report, *, sealed: bool
) -> None:
    for job_id in ids:
        mutation = done.get(job_id)
        job = await queue.get(job_id)
        end = "gone" if job is None else job.state.value
        report.ends[end] += 1
        if job is not None and job.error is not None:
            report.reasons[job.error.type if job.error.type in _REASONS else "other"] += 1
        wrong = _wrong(job, mutation, job_id in ran, sealed=sealed)
        if wrong:
            report.violations.append(f"{job_id}: {wrong}; {mutation}"[:600])


_REASONS = frozenset(
    {
        "InvalidData",
        "InvalidType",
        "Unreadable",
        "ConnectionError",
        "ValueError",
        "WorkerLost",
        "Expired",
        "BadSignature",
    }
)


def _wrong(job: Job[Any, Any] | None, mutation: Mutation | None, ran: bool, *, sealed: bool) -> str:
    if mutation is None:
        fine = job is not None and ran and job.state in (JobState.COMPLETED, JobState.FAILED)
        return "" if fine else f"an untouched job came to harm: {job}"
    if job is None:
        asked = "options" in mutation.names and not sealed
        return "" if mutation.kind == "deleted" or asked else "lost without a trace"
    match job.state:
        case JobState.COMPLETED:
            return "" if ran else "completed without having run"
        case JobState.FAILED:
            return "" if job.error is not None and job.error.type and job.error.message else "failed without a reason"
        case JobState.DELAYED if not sealed:
            unknown = is_name(job.type) and "type" in mutation.names
            return "" if unknown or "options" in mutation.names else "delayed for no reason"
        case _:
            return f"left {job.state.value}"


def _words(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return "; ".join(_words(inner) for inner in group.exceptions)
    return f"{type(error).__name__}: {error}"


@contextmanager
def _canary() -> Generator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{CANARY_MODULE}.py").write_text("def run(*words: object) -> None: ...\n", encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            yield lambda: CANARY_MODULE in sys.modules
        finally:
            sys.path.remove(folder)


@contextmanager
def _watching() -> Generator[_Watch]:
    watch = _Watch()
    logger = logging.getLogger("jobqueue")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(watch)
    try:
        yield watch
    finally:
        logger.removeHandler(watch)
        logger.setLevel(before)


def main() -> int:
    """Fuzz a server started for it; the exit code is 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description="Change stored jobs by hand and see that nothing breaks.")
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--codec", choices=sorted(CODECS))
    asked = parser.parse_args()
    logging.getLogger("jobqueue").propagate = False
    with server(valkey_binary()) as url:
        report = asyncio.run(fuzz(url, mutations=asked.mutations, seed=asked.seed, codec=CODECS.get(asked.codec)))
    print(f"seed {asked.seed}: {report.mutations} records changed, {report.untouched} left alone")  # noqa: T201
    print(f"ends {dict(report.ends)}; reasons {dict(report.reasons)}")  # noqa: T201
    for violation in report.violations:
        print(f"VIOLATION {violation}")  # noqa: T201
    print(f"{len(report.violations)} violations")  # noqa: T201
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
