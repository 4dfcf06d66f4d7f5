"""A process dies at any one of its calls, before or after the server has carried it out, while a flow is submitted and
worked off over three queues, with jobs that add jobs of their own. Others take over.

Nothing may stay blocked, nothing run before what it depends on, nothing complete twice.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import Exchange, FlowMember, NewFlow, NewRecord, Settlement, Upkeep
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import Word
from jobqueue.errors import LeaseLost
from jobqueue.model.events import EventType
from jobqueue.model.links import Need, Spawning
from jobqueue.model.outcome import Completed, Outcome, Parked, Retention
from jobqueue.model.record import JobRecord, JobState
from jobqueue.testing import ManualClock

QUEUES = ("tickets", "mail", "billing")
HOME = QUEUES[0]
LEASE_MS = 1000
MEMBERS = 8
CHILDREN = ("mail/child-0", "tickets/child-1")


class Died(Exception):
    """The process is no more."""


class MortalCalls:
    """Lets a backend make so many calls; the last of them is carried out, or is not."""

    def __init__(self, calls: Calls, lives: int, *, carried_out: bool) -> None:
        self._run, self._command = calls.run, calls.command
        self._lives = lives
        self._carried_out = carried_out
        calls.run, calls.command = self.run, self.command

    async def run(self, name: str, prefix: str, *words: Word) -> Any:
        return await self._live(lambda: self._run(name, prefix, *words))

    async def command(self, *words: Word) -> Any:
        return await self._live(lambda: self._command(*words))

    async def _live(self, call: Any) -> Any:
        self._lives -= 1
        if self._lives > 0:
            return await call()
        if self._lives == 0 and self._carried_out:
            await call()
        raise Died


def graph() -> NewFlow:
    """A root, six beside each other in all queues, and one in the end; one of them adds two children."""
    members = [FlowMember(HOME, NewRecord("root", "t", b"1"), b"{}")]
    for number in range(MEMBERS - 2):
        queue = QUEUES[number % 3]
        members.append(FlowMember(queue, NewRecord(f"m{number}", "t", b"1", needs=(Need(HOME, "root"),)), b"{}"))
    ends = tuple(Need(member.queue, member.record.id) for member in members[1:])
    members.append(FlowMember("billing", NewRecord("last", "t", b"1", needs=ends), b"{}"))
    return NewFlow("flow", members)


class Process:
    """Submits the flow if asked, and works until there is nothing to be done."""

    sequences = itertools.count(1)

    def __init__(self, backend: RedisBackend, clock: ManualClock, name: str) -> None:
        self.backend = backend
        self.clock = clock
        self.name = name

    async def work(self) -> None:
        """Until three rounds, a lease apart, have found nothing."""
        idle = 0
        while idle < 3:
            found = False
            for queue in QUEUES:
                found = await self._turn(queue) or found
            if not found:
                idle += 1
                await self.clock.advance(milliseconds=LEASE_MS)

    async def _turn(self, queue: str) -> bool:
        report = await self.backend.upkeep(queue, Upkeep(max_stalls=10))
        if report.outbox:
            await self.backend.deliver(queue)
        page = await self.backend.exchange(queue, self._request(claim=3))
        settlements: list[Settlement] = []
        for lease in page.leases:
            inputs = await self.backend.inputs(queue, lease.id)
            assert all(one.state == "completed" for one in inputs), f"{lease.id} began too early"
            settlements.append(Settlement(lease.id, lease.token or 0, await self._process(lease)))
        if settlements:
            await self.backend.exchange(queue, self._request(settlements=settlements))
        return bool(page.leases)

    async def _process(self, lease: JobRecord) -> Outcome:
        if lease.id != "m1":
            return Completed(b"1", Retention(0))
        known = {one.key for one in await self.backend.inputs(lease.queue, lease.id)}
        if set(CHILDREN) <= known:
            return Completed(b"1", Retention(0))
        children = [FlowMember(*_split(key)) for key in CHILDREN]
        needs = [Need(child.queue, child.record.id) for child in children]
        spawning = Spawning(lease.id, lease.token or 0, needs)
        with contextlib.suppress(LeaseLost):
            await self.backend.submit(
                lease.queue, NewFlow(f"{lease.id}@{lease.token}", children, recorded=False, spawning=spawning)
            )
        return Parked()

    def _request(self, claim: int = 0, settlements: list[Settlement] | None = None) -> Exchange:
        return Exchange(
            self.name, f"{self.name}/0", next(self.sequences), settlements or (), claim=claim, lease_ms=LEASE_MS
        )


def _split(key: str) -> tuple[str, NewRecord]:
    queue, _, job_id = key.partition("/")
    return queue, NewRecord(job_id, "t", b"1")


@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("first", range(8))
@pytest.mark.timeout(120)
async def test_a_flow_survives_a_death_at_any_call(valkey_url: str, first: int, carried_out: bool) -> None:
    """Every eighth call each, so that a failure names a part of them; until a process lives to the end."""
    lives = first + 1
    while not await _lived_through(valkey_url, lives, carried_out=carried_out):
        lives += 8


async def _lived_through(url: str, lives: int, *, carried_out: bool) -> bool:
    clock = ManualClock()
    client = redis.asyncio.Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType]
    await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    mortal, heir = RedisBackend(client, clock=clock), RedisBackend(client, clock=clock)
    await mortal.open()
    await heir.open()
    MortalCalls(mortal._calls, lives, carried_out=carried_out)  # pyright: ignore[reportPrivateUsage]
    survived = True
    try:
        await mortal.submit(HOME, graph())
        await Process(mortal, clock, "mortal").work()
    except Died:
        survived = False
    others = Process(heir, clock, "heir")
    await others.work()
    # Whoever wanted the flow and got no answer asks again, which adds nothing to what is there.
    await heir.submit(HOME, graph())
    await others.work()
    await _judge(heir)
    await mortal.close()
    await heir.close()
    await client.aclose()
    return survived


async def _judge(backend: RedisBackend) -> None:
    completed: Counter[str] = Counter()
    for queue in QUEUES:
        counts = (await backend.status(queue)).counts
        assert not any(counts[state] for state in JobState), f"left in {queue}: {counts}"
        cursor = "0"
        while True:
            page = await backend.events(queue, cursor, 0)
            if not page.events:
                break
            cursor = page.cursor
            completed.update(f"{queue}/{one.job_id}" for one in page.events if one.type is EventType.COMPLETED)
    assert len(completed) == MEMBERS + len(CHILDREN)
    assert set(completed.values()) == {1}, f"completed more than once: {completed}"
    flow = await backend.flow(HOME, "flow")
    assert flow is not None
    assert {ended.state for ended in flow.ended.values()} == {"completed"}
    assert len(flow.ended) == MEMBERS
