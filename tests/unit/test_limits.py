"""Limits as callers give them: checked in the caller's stack, and the same after they were stored."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from jobqueue import (
    DeadLetters,
    GroupFull,
    GroupLimits,
    InvalidName,
    InvalidOption,
    Limits,
    NewJob,
    Queue,
    QueueFull,
    Rate,
    Registry,
    UnknownOption,
)
from jobqueue.backends import MemoryBackend
from jobqueue.backends.protocol import Exchange


@pytest.fixture
def tickets() -> Queue:
    return Queue("tickets", backend=MemoryBackend())


async def _claim(queue: Queue, count: int = 1) -> list[str]:
    page = await (await queue.backend()).exchange(queue.name, Exchange("w", "w/0", 1, claim=count))
    return [lease.id for lease in page.leases]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rate(0),
        lambda: Rate(1.5),  # pyright: ignore[reportArgumentType]
        lambda: Rate(True),
        lambda: Rate(10**7),
        lambda: Rate(10, per=0),
        lambda: Rate(10, per=timedelta(days=40)),
        lambda: Rate(10, burst=11),
        lambda: Rate(10, burst=0),
        lambda: Limits(rate=10),  # pyright: ignore[reportArgumentType]
        lambda: Limits(concurrency=0),
        lambda: Limits(max_waiting=-1),
        lambda: Limits(types={"sms.send": 0}),
        lambda: Limits(types=["sms.send"]),  # pyright: ignore[reportArgumentType]
        lambda: Limits(types={f"type-{number}": 1 for number in range(65)}),
        lambda: Limits(groups=5),  # pyright: ignore[reportArgumentType]
        lambda: GroupLimits(weight=0),
        lambda: GroupLimits(weight=float("nan")),
        lambda: GroupLimits(concurrency=0),
        lambda: Registry().processor("sms.send", concurrency=0),
    ],
)
def test_what_cannot_be_a_limit_is_refused(make: Any) -> None:
    with pytest.raises(InvalidOption):
        make()


def test_a_limited_type_must_have_a_name() -> None:
    with pytest.raises(InvalidName):
        Limits(types={"SMS send": 1})


@pytest.mark.parametrize("group", ["", "a b", "a\nb", "x" * 101, "ä", 7])
async def test_what_cannot_be_a_group_is_refused(tickets: Queue, group: Any) -> None:
    with pytest.raises(InvalidName):
        await tickets.enqueue("sms.send", group=group)
    with pytest.raises(InvalidName):
        tickets.group(group)
    assert (await tickets.counts()).total == 0


@pytest.mark.parametrize(
    "limits",
    [
        Limits(),
        Limits(Rate(10, per=timedelta(minutes=1), burst=10), 5, {"a": 1, "b.c": 2}, 0, GroupLimits(weight=0.25)),
        Limits(groups=GroupLimits(Rate(1, 0.001, 1), 1, 0, 3)),
    ],
)
def test_limits_are_the_same_after_they_were_stored(limits: Limits) -> None:
    assert Limits.decode(limits.encode()) == limits


def test_what_somebody_else_stored_is_no_limit() -> None:
    stored = {"rate": "fast", "concurrency": "-1", "type:sms": "many", "waiting": "", "group": "1 2", "x": "y"}
    assert Limits.decode(stored) == Limits()
    assert GroupLimits.decode("0 0 - - -") == (GroupLimits(), False)


async def test_limits_are_set_and_lifted_one_by_one(tickets: Queue) -> None:
    await tickets.limit(rate=Rate(10), concurrency=5, types={"a": 1})
    await tickets.limit(concurrency=None, max_waiting=7)
    assert await tickets.limits() == Limits(Rate(10), types={"a": 1}, max_waiting=7)
    await tickets.limit(types=None, rate=None, max_waiting=None, groups=None)
    assert await tickets.limits() == Limits()
    with pytest.raises(InvalidOption):
        await tickets.limit(speed=3)  # pyright: ignore[reportCallIssue]


async def test_declared_limits_hold_from_the_first_job_on() -> None:
    queue = Queue("tickets", backend=MemoryBackend(), limits=Limits(max_waiting=10))
    answers = await asyncio.gather(*(queue.enqueue("a", number) for number in range(64)), return_exceptions=True)
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 54
    assert (await queue.counts()).waiting == 10


async def test_what_was_set_by_hand_stands_until_the_code_says_something_new() -> None:
    backend = MemoryBackend()
    await Queue("tickets", backend=backend, limits=Limits(concurrency=5)).counts()
    await Queue("tickets", backend=backend).limit(concurrency=50)
    assert (await Queue("tickets", backend=backend, limits=Limits(concurrency=5)).limits()).concurrency == 50
    assert (await Queue("tickets", backend=backend, limits=Limits(concurrency=6)).limits()).concurrency == 6


async def test_a_group_has_a_handle(tickets: Queue) -> None:
    await tickets.enqueue_many([NewJob("sms.send", group="landlord-7") for _ in range(3)])
    landlord = tickets.group("landlord-7")
    await landlord.limit(concurrency=1, weight=2)
    await landlord.limit(concurrency=None)
    await landlord.pause()
    (info,) = await tickets.groups()
    assert info == await landlord.info()
    assert (info.name, info.waiting, info.active, info.paused) == ("landlord-7", 3, 0, True)
    assert info.limits == GroupLimits(weight=2)
    assert await _claim(tickets) == []
    await landlord.resume()
    assert len(await _claim(tickets)) == 1
    assert await landlord.purge() == 2


async def test_groups_come_page_by_page(tickets: Queue) -> None:
    await tickets.enqueue_many([NewJob("sms.send", group=f"g{number:03}") for number in range(250)])
    seen: list[str] = []
    while page := await tickets.groups(after=seen[-1] if seen else "", limit=100):
        seen += [info.name for info in page]
    assert seen == [f"g{number:03}" for number in range(250)]
    with pytest.raises(InvalidOption):
        await tickets.groups(limit=1001)


async def test_a_job_shows_its_group(tickets: Queue) -> None:
    job = await tickets.enqueue("sms.send", group="landlord-7")
    assert job.group == "landlord-7"
    assert (await tickets.enqueue("sms.send")).group is None


async def test_a_full_group_is_named(tickets: Queue) -> None:
    await tickets.limit(groups=GroupLimits(max_waiting=1))
    await tickets.enqueue("sms.send", group="a")
    with pytest.raises(GroupFull, match="'a'") as refused:
        await tickets.enqueue("sms.send", group="a")
    assert (refused.value.group, refused.value.limit) == ("a", 1)
    await tickets.enqueue("sms.send", group="b")


async def test_one_full_group_refuses_nobody_else_s_job_of_the_same_tick(tickets: Queue) -> None:
    await tickets.limit(groups=GroupLimits(max_waiting=2))
    groups = ["a"] * 5 + ["b"] * 2
    calls = (tickets.enqueue("sms.send", group=group) for group in groups)
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refused = [group for group, answer in zip(groups, answers, strict=True) if isinstance(answer, GroupFull)]
    assert refused == ["a", "a", "a"]


async def test_a_producer_waits_for_room(tickets: Queue) -> None:
    await tickets.limit(max_waiting=1)
    await tickets.enqueue("sms.send", job_id="first")
    waiting = [asyncio.create_task(tickets.enqueue("sms.send", wait=30, job_id=f"w{n}")) for n in range(2)]
    done, _ = await asyncio.wait(waiting, timeout=0.02)
    assert not done
    claimed: list[str] = []
    for _ in range(2):
        claimed += await _claim(tickets)
        await asyncio.wait([task for task in waiting if not task.done()], return_when=asyncio.FIRST_COMPLETED)
    assert all(task.done() for task in waiting)
    assert claimed[0] == "first"


async def test_a_producer_waits_no_longer_than_it_said(tickets: Queue) -> None:
    await tickets.limit(max_waiting=0)
    with pytest.raises(QueueFull):
        await tickets.enqueue("sms.send", wait=0.01)
    with pytest.raises(QueueFull):
        await tickets.enqueue_many([NewJob("sms.send")], wait=0.01)
    with pytest.raises(InvalidOption):
        await tickets.enqueue("sms.send", wait=-1)
    with pytest.raises(UnknownOption):
        await tickets.enqueue("sms.send", waits=1)  # pyright: ignore[reportCallIssue]


async def test_a_repeat_of_a_known_id_is_answered_in_a_full_queue(tickets: Queue) -> None:
    await tickets.limit(max_waiting=1)
    await tickets.enqueue("sms.send", job_id="a")
    assert (await tickets.enqueue("sms.send", job_id="a")).id == "a"


async def test_what_never_fits_waits_for_nothing() -> None:
    queue = Queue("tickets", backend=MemoryBackend(), limits=Limits(max_waiting=5, groups=GroupLimits(max_waiting=2)))
    async with asyncio.timeout(10):
        with pytest.raises(QueueFull):
            await queue.enqueue_many([NewJob("t", number) for number in range(6)], wait=3600)
        with pytest.raises(GroupFull):
            await queue.enqueue_many([NewJob("t", number, group="a") for number in range(3)], wait=3600)
    await queue.enqueue_many([NewJob("t", number, group=f"g{number}") for number in range(5)], wait=3600)


async def test_a_letter_brings_its_job_back_into_its_group() -> None:
    from jobqueue import Unrecoverable, Worker

    backend = MemoryBackend()
    queue = Queue("tickets", backend=backend)
    registry = Registry()

    @registry.processor("sms.send", keep=None)
    async def fail(job: Any) -> None:
        raise Unrecoverable

    await queue.enqueue("sms.send", group="landlord-7", job_id="a")
    async with Worker(queue, registry=registry) as worker:
        await worker.drain()
    await queue.remove("a")
    letters = DeadLetters(backend=backend)
    (letter,) = await letters.letters()
    assert await letters.retry(letter.id)
    assert [info.name for info in await queue.groups()] == ["landlord-7"]
