"""Unique keys as a program meets them: enqueued by many, run by workers, lost with them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
import redis.asyncio
from pydantic import BaseModel

from jobqueue import (
    Flow,
    InvalidName,
    InvalidOption,
    Job,
    JobDefaults,
    JobType,
    NewJob,
    Queue,
    Registry,
    Unique,
    Worker,
)
from jobqueue.backends import MemoryBackend, RedisBackend
from jobqueue.backends.protocol import Exchange, NewRecord, Settlement, Upkeep
from jobqueue.backends.redis.calls import Calls
from jobqueue.catalogue import Catalogue
from jobqueue.errors import BackendUnavailable
from jobqueue.model.outcome import Completed, Retention
from jobqueue.schedule import job_bytes, job_of
from jobqueue.testing import ManualClock


class Report(BaseModel):
    id: int


async def test_while_one_runs_the_last_of_many_is_kept(tickets: Queue, registry: Registry) -> None:
    began, go_on, seen = asyncio.Event(), asyncio.Event(), list[int]()

    @registry.processor("sync")
    async def sync(job: Job[Any]) -> None:
        seen.append(job.data)
        began.set()
        await go_on.wait()

    async with Worker(tickets, registry=registry, concurrency=4):
        last = Unique("account-7", keep_last=True)
        first = await tickets.enqueue("sync", 1, unique=last)
        await began.wait()
        others = [await tickets.enqueue("sync", number, unique=last) for number in (2, 3, 4)]
        assert len({job.id for job in others}) == 1
        assert others[0].id != first.id
        go_on.set()
        await first.result(10)
        await others[0].result(10)
    assert seen == [1, 4]


async def test_a_debounced_job_runs_once_with_the_last_data(tickets: Queue, registry: Registry) -> None:
    seen = list[int]()

    @registry.processor("mail")
    async def mail(job: Job[Any]) -> None:
        seen.append(job.data)

    jobs = [await tickets.enqueue("mail", n, unique=Unique("ticket-1", replace=True), delay=0.5) for n in range(5)]
    assert {job.id for job in jobs} == {jobs[0].id}
    async with Worker(tickets, registry=registry):
        await jobs[-1].result(10)
        assert (await tickets.counts()).total == 1
    assert seen == [4]


async def test_a_job_type_declares_its_key(tickets: Queue, registry: Registry) -> None:
    @registry.processor("report.build", unique=lambda report: f"report-{report.id}")
    async def build(job: Job[Report]) -> None: ...

    first = await tickets.enqueue(build.job_type, Report(id=1))
    assert first.unique == "report-1"
    assert (await tickets.enqueue(build.job_type, Report(id=1))).id == first.id
    assert (await tickets.enqueue(build.job_type, Report(id=2))).id != first.id
    assert (await tickets.enqueue(build.job_type, Report(id=1), unique=False)).unique is None
    assert (await tickets.enqueue(build.job_type, Report(id=1), unique="other")).unique == "other"
    nightly = JobType("nightly", unique="nightly")
    jobs = await tickets.enqueue_many([NewJob(nightly), NewJob(nightly), NewJob("other", unique=Unique("nightly"))])
    assert len({job.id for job in jobs}) == 1


@pytest.mark.parametrize(
    ("unique", "error"),
    [
        ("", InvalidName),
        ("two words", InvalidName),
        ("k" * 201, InvalidName),
        (7, InvalidOption),
        (True, InvalidOption),
    ],
)
async def test_what_is_no_key_is_refused(unique: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await Queue("tickets", backend=MemoryBackend()).enqueue("a", unique=unique)


@pytest.mark.parametrize(
    "wishes", [{"ttl": 0}, {"ttl": -1}, {"ttl": 1, "replace": True}, {"ttl": 1, "keep_last": True}, {"replace": 1}]
)
def test_what_makes_no_sense_is_refused(wishes: Mapping[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Unique("k", **wishes)


async def test_a_replacing_job_waits_for_no_other_and_is_in_no_flow() -> None:
    queue = Queue("tickets", backend=MemoryBackend())
    parent = await queue.enqueue("a")
    with pytest.raises(InvalidOption, match="depend on others"):
        await queue.enqueue("b", unique=Unique("k", replace=True), depends_on=[parent])
    assert (await queue.enqueue("b", unique="k", depends_on=[parent])).unique == "k"
    with pytest.raises(InvalidOption, match="flow"):
        Flow(queue).add("a", unique="k")


async def test_64_producers_on_connections_of_their_own_make_one(valkey_url: str) -> None:
    backends = [RedisBackend.from_url(valkey_url, namespace="race") for _ in range(8)]
    try:
        queues = [Queue("tickets", backend=backend) for backend in backends for _ in range(8)]
        await asyncio.gather(*(backend.open() for backend in backends))
        for kind in (Unique("a"), Unique("b", ttl=60), Unique("c", replace=True), Unique("d", keep_last=True)):
            jobs = await asyncio.gather(*(queue.enqueue("t", n, unique=kind) for n, queue in enumerate(queues)))
            assert len({job.id for job in jobs}) == 1, kind
        assert (await queues[0].counts()).total == 4
        await queues[0].obliterate()
    finally:
        for backend in backends:
            await backend.close()


async def test_a_killed_workers_job_holds_its_key_until_it_is_done(valkey_url: str) -> None:
    clock = ManualClock()
    dead = RedisBackend.from_url(valkey_url, namespace="killed", clock=clock)
    alive = RedisBackend.from_url(valkey_url, namespace="killed", clock=clock)
    await dead.open()
    await alive.open()
    job = NewRecord("a", "t", b"1", unique=Unique("k"))
    await dead.enqueue("tickets", [job])
    await dead.exchange("tickets", Exchange("dead", "dead/0", 1, claim=1, lease_ms=1000))
    await dead.close()
    await clock.advance(seconds=2)
    others = [NewRecord(f"b{number}", "t", b"2", unique=Unique("k")) for number in range(64)]
    token = 0
    for step in ("lapsed", "recovered", "claimed again"):
        answers = await asyncio.gather(*(alive.enqueue("tickets", [other]) for other in others))
        assert {answer.record.id for (answer,) in answers} == {"a"}, step
        if step == "lapsed":
            assert (await alive.upkeep("tickets", Upkeep())).recovered == ("a",)
        elif step == "recovered":
            page = await alive.exchange("tickets", Exchange("alive", "alive/0", 1, claim=9))
            assert [lease.id for lease in page.leases] == ["a"]
            token = page.leases[0].token or 0
    await alive.exchange("tickets", Exchange("alive", "alive/0", 2, [Settlement("a", token, Completed())]))
    answers = await asyncio.gather(*(alive.enqueue("tickets", [other]) for other in others))
    assert len({answer.record.id for (answer,) in answers}) == 1
    assert "a" not in {answer.record.id for (answer,) in answers}
    await alive.close()


@pytest.mark.parametrize("unique", [Unique("k"), Unique("k", replace=True), Unique("k", keep_last=True)], ids=str)
async def test_a_lost_reply_is_repeated_and_says_the_same(
    valkey_url: str, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One of its own for each kind: what a worker asked last is remembered, and "w" begins anew here.
    backend = RedisBackend.from_url(valkey_url, namespace=f"lost-{unique.replace:d}{unique.keep_last:d}")
    await backend.open()
    await backend.enqueue("tickets", [NewRecord("a", "t", b"1", unique=unique)])
    real, lost = Calls.run, list[str]()

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        reply = await real(calls, name, prefix, *words)
        if name == "enqueue" and not lost:
            lost.append(name)
            # The holder is done before the call is made again.
            page = await backend.exchange("tickets", Exchange("w", "w/0", 1, claim=1))
            ended = [Settlement(one.id, one.token or 0, Completed(None, Retention(0))) for one in page.leases]
            await backend.exchange("tickets", Exchange("w", "w/0", 2, ended))
            raise BackendUnavailable("the reply was lost")
        return reply

    monkeypatch.setattr(Calls, "run", run)
    (answer,) = await backend.enqueue("tickets", [NewRecord("b", "t", b"2", unique=unique)])
    assert lost
    assert (answer.created, answer.record.id) == (False, "a")
    assert (await backend.status("tickets")).counts == dict.fromkeys((await backend.status("tickets")).counts, 0)
    await backend.close()


async def test_nothing_stays_of_keys_that_are_held_no_more(valkey_url: str) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)  # pyright: ignore[reportUnknownMemberType]
    clock = ManualClock()
    backend = RedisBackend(client, namespace="left", clock=clock)
    await backend.open()
    kinds = (Unique("a"), Unique("b", ttl=1), Unique("c", replace=True), Unique("d", keep_last=True))
    for sequence in range(1, 4):
        jobs = [NewRecord(f"{kind.key}{sequence}", "t", b"1", unique=kind) for kind in kinds]
        await backend.enqueue("tickets", jobs)
        page = await backend.exchange("tickets", Exchange("w", "w/0", 2 * sequence, claim=9))
        await backend.enqueue("tickets", [NewRecord(f"n{sequence}", "t", b"1", unique=Unique("d", keep_last=True))])
        for again in (page.leases, None):
            leases = again or (await backend.exchange("tickets", Exchange("w", "w/1", 2 * sequence, claim=9))).leases
            ended = [Settlement(one.id, one.token or 0, Completed(None, Retention(0))) for one in leases]
            await backend.exchange("tickets", Exchange("w", "w/0", 2 * sequence + (1 if again else 10), ended))
        await clock.advance(seconds=2)
    await backend.upkeep("tickets", Upkeep())
    keys = [key async for key in client.scan_iter("left:{tickets}:*")]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert {key.decode().partition("}:")[2] for key in keys} <= {"meta", "calls", "wake", "events"}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    await backend.close()
    await client.aclose()


def test_a_schedule_keeps_its_jobs_key() -> None:
    job = NewJob("nightly", unique=Unique("k", ttl=60))
    stored = job_bytes(job, JobDefaults(), Catalogue())
    assert job_of(stored).unique == Unique("k", ttl=60)
