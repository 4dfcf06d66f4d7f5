"""F6 for each script: it takes effect and its reply is lost. Afterwards all looks as if it had arrived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.endpoints import EndpointChange, Rules
from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits, SetLimits
from jobqueue.backends.protocol import (
    Cancel,
    Clean,
    Exchange,
    FlowMember,
    LogLines,
    NewFlow,
    NewRecord,
    Obliterate,
    Page,
    Pause,
    Progress,
    Promote,
    Purge,
    Remove,
    Reprioritize,
    Reschedule,
    Resume,
    Retry,
    RetryFailed,
    Settlement,
    Upkeep,
)
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.scripts import names
from jobqueue.backends.scheduling import Firing, ScheduleChange
from jobqueue.errors import BackendUnavailable, GroupFull
from jobqueue.model.limits import GroupLimits, Limits
from jobqueue.model.links import Need, Spawning
from jobqueue.model.notice import Occasion, WebhookDelivery
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, RetryAt
from jobqueue.model.record import JobError, JobRecord, JobState
from jobqueue.testing import ManualClock

QUEUE, OTHER, LETTERS, HOOKS = "tickets", "other", "letters", "webhooks"
HOME, THIRD, GROUPED, FAMILY = "home", "third", "grouped", "family"
ERROR = JobError("ValueError", "no", "")

ReplyT = TypeVar("ReplyT")


class Loss:
    """Every first call of one script goes through without a reply; the next one is answered."""

    def __init__(self, script: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.struck = 0
        real = Calls.run
        lost_last = False

        async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
            nonlocal lost_last
            reply = await real(calls, name, prefix, *words)
            if name != script:
                return reply
            lost_last = not lost_last
            if lost_last:
                self.struck += 1
                raise BackendUnavailable("the reply was lost")
            return reply

        monkeypatch.setattr(Calls, "run", run)


async def insist(call: Callable[[], Awaitable[ReplyT]]) -> ReplyT:
    """What any caller does that is told that the backend is away: call again."""
    try:
        return await call()
    except BackendUnavailable:
        return await call()


class Story:
    """Something of everything, told to a backend in the order in which it would happen."""

    def __init__(self, backend: RedisBackend, clock: ManualClock) -> None:
        self._backend, self._clock = backend, clock
        self._sequence = 0

    async def tell(self) -> None:
        add = self._add
        await self._put_endpoints()
        await add("a", "b", "c", "d", "e", "f", "g", "h")
        await add("later", "sooner", "never", delay_ms=60_000)
        a, b, c, d, e, f = await self._claim(6)
        await insist(lambda: self._backend.annotate(QUEUE, "a", a.token or 0, Progress(b"50")))
        await insist(lambda: self._backend.annotate(QUEUE, "a", a.token or 0, LogLines((b'{"line":1}',))))
        await insist(lambda: self._backend.extend(QUEUE, "w", [("f", f.token or 0)], 60_000))
        await self._settle(a, Completed(b"1"), tallies={"c0 t": 1})
        await self._settle(b, RetryAt(5000, ERROR))
        await self._settle(c, Failed(ERROR, dead_letter=LETTERS))
        await self._settle(d, Released("shutdown"))
        await self._settle(e, Cancelled("asked for"))
        await insist(lambda: self._backend.deliver(QUEUE))
        await self._amend("later", Promote())
        await self._amend("sooner", Reschedule(delay_ms=10_000))
        await self._amend("g", Reprioritize(1))
        await self._amend("never", Cancel("nobody wants it"))
        await self._amend("e", Retry())
        await self._amend("h", Remove())
        await self._clock.advance(seconds=20)
        await insist(lambda: self._backend.upkeep(QUEUE, Upkeep()))
        await self._clock.advance(seconds=60)
        await insist(lambda: self._backend.upkeep(QUEUE, Upkeep()))
        await insist(lambda: self._backend.control(QUEUE, RetryFailed()))
        await insist(lambda: self._backend.control(QUEUE, Pause()))
        assert await self._claim(5) == []
        await insist(lambda: self._backend.control(QUEUE, Resume()))
        for lease in await self._claim(3):
            await self._settle(lease, Completed(b"2"))
        await insist(lambda: self._backend.control(QUEUE, Clean(JobState.CANCELLED)))
        await self._wait_for_others()
        await self._have_children()
        await insist(lambda: self._backend.enqueue(OTHER, [NewRecord("x", "t", b"1"), NewRecord("y", "t", b"1")]))
        await insist(lambda: self._backend.control(OTHER, Purge()))
        await insist(lambda: self._backend.control(OTHER, Obliterate()))
        await self._keep_schedules()
        await self._limit()

    async def _wait_for_others(self) -> None:
        """A dependant of a job elsewhere, a flow over two queues, and a job with more heirs than one script tells."""
        backend = self._backend
        await insist(lambda: backend.enqueue(THIRD, [NewRecord("first", "t", b"1")]))
        await insist(lambda: backend.enqueue(HOME, [NewRecord("dependant", "t", b"1", needs=(Need(THIRD, "first"),))]))
        heirs = [NewRecord(f"heir{n}", "t", b"1", needs=(Need(THIRD, "first"),)) for n in range(1001)]
        await insist(lambda: backend.enqueue(THIRD, heirs[:500]))
        await insist(lambda: backend.enqueue(THIRD, heirs[500:]))
        members = [
            FlowMember(HOME, NewRecord("one", "t", b"1", needs=(Need(THIRD, "first"),)), b"{}"),
            FlowMember(THIRD, NewRecord("two", "t", b"1", needs=(Need(HOME, "one"),)), b"{}"),
        ]
        await insist(lambda: backend.submit(HOME, NewFlow("flow", members)))
        (lease,) = (await self._exchange(THIRD, claim=1)).leases
        await self._exchange(THIRD, settlements=[Settlement("first", lease.token or 0, Completed(b"7"))])
        await insist(lambda: backend.deliver(THIRD))
        dependant, one = sorted((await self._exchange(HOME, claim=2)).leases, key=lambda lease: lease.id)
        for lease, outcome in ((one, Failed(ERROR)), (dependant, Completed(b"2"))):
            await self._exchange(HOME, settlements=[Settlement(lease.id, lease.token or 0, outcome)])
        await insist(lambda: backend.deliver(HOME))
        # One that needs more than it asks for at once when it is retried.
        asking = NewRecord("asking", "t", b"1", needs=tuple(Need(THIRD, heir.id) for heir in heirs))
        await insist(lambda: backend.enqueue(HOME, [asking]))
        await insist(lambda: backend.amend(HOME, "asking", Cancel("not yet")))
        await insist(lambda: backend.amend(HOME, "asking", Retry()))

    async def _have_children(self) -> None:
        """A job that runs adds two, in its own queue and in another, and goes on when they are done."""
        backend = self._backend
        await insist(lambda: backend.enqueue(FAMILY, [NewRecord("parent", "t", b"1")]))
        (parent,) = (await self._exchange(FAMILY, claim=1)).leases
        needs = [Need(FAMILY, "here"), Need(THIRD, "there")]
        flow = NewFlow(
            f"parent/1@{parent.token}",
            [FlowMember(need.queue, NewRecord(need.id, "t", b"1")) for need in needs],
            recorded=False,
            spawning=Spawning("parent", parent.token or 0, needs),
        )
        await insist(lambda: backend.submit(FAMILY, flow))
        await insist(lambda: backend.deliver(FAMILY))
        await self._exchange(FAMILY, settlements=[Settlement("parent", parent.token or 0, Parked())])
        for queue in (FAMILY, THIRD):
            leases = (await self._exchange(queue, claim=2000)).leases
            done = [Settlement(lease.id, lease.token or 0, Completed(b"3")) for lease in leases]
            await self._exchange(queue, settlements=done)
            await insist(lambda queue=queue: backend.deliver(queue))

    async def _put_endpoints(self) -> None:
        """Whom to tell of all that follows."""
        backend, rules = self._backend, Rules(frozenset(Occasion), HOOKS)
        for endpoint in ("books", "gone"):
            change = EndpointChange(endpoint, "", "r1", rules, b"{}")
            assert await insist(lambda change=change: backend.write_endpoint(QUEUE, change))
        assert await insist(lambda: backend.remove_endpoint(QUEUE, "gone"))

    async def _keep_schedules(self) -> None:
        backend, now = self._backend, self._clock.now_ms()
        for schedule in ("nightly", "gone"):
            change = ScheduleChange(schedule, "", None, "r1", b"{}", b"[]", now, now, anchor_ms=now)
            assert await insist(lambda change=change: backend.write_schedule(OTHER, change))
        assert await insist(lambda: backend.remove_schedule(OTHER, "gone"))
        await insist(lambda: backend.due_schedules(OTHER, 10))
        by_hand = Firing("nightly", "r1", now, (NewRecord("nightly:hand", "t", b"1"),), by_hand=True)
        assert await insist(lambda: backend.fire_schedules(OTHER, [by_hand])) == [1]
        tick = Firing("nightly", "r1", now, (NewRecord("nightly:1", "t", b"1"),), now + 1000, now + 1000)
        await insist(lambda: backend.fire_schedules(OTHER, [tick]))
        assert await insist(lambda: backend.fire_schedules(OTHER, [tick])) == [None]

    async def _limit(self) -> None:
        """Limits of a queue and of a group, a group that is full, one that is paused, one that is purged."""
        backend = self._backend
        limits = Limits(concurrency=3, groups=GroupLimits(concurrency=1, max_waiting=3))
        await insist(lambda: backend.control(GROUPED, SetLimits(limits, declared=True)))
        heavy = SetGroupLimits("b", GroupLimits(weight=2), frozenset({"weight"}))
        await insist(lambda: backend.control(GROUPED, heavy))
        jobs = [NewRecord(f"{group}{number}", "t", b"1", group=group) for group in "abc" for number in range(3)]
        await insist(lambda: backend.enqueue(GROUPED, jobs))
        with pytest.raises(GroupFull):
            await insist(lambda: backend.enqueue(GROUPED, [NewRecord("a3", "t", b"1", group="a")]))
        await insist(lambda: backend.control(GROUPED, PauseGroup("a")))
        await insist(lambda: backend.control(GROUPED, PurgeGroup("c")))
        (lease,) = (await self._exchange(GROUPED, claim=5)).leases
        assert lease.id == "b0"
        settlement = Settlement("b0", lease.token or 0, Released("rate limited", hold_queue_ms=5000))
        await self._exchange(GROUPED, settlements=[settlement])
        await insist(lambda: backend.control(GROUPED, ResumeGroup("a")))
        (lease,) = (await self._exchange(GROUPED, claim=5)).leases
        assert lease.id == "a0"

    async def _add(self, *job_ids: str, delay_ms: int = 0) -> None:
        await insist(
            lambda: self._backend.enqueue(
                QUEUE, [NewRecord(job_id, "t", b"1", delay_ms=delay_ms) for job_id in job_ids]
            )
        )

    async def _claim(self, count: int) -> list[JobRecord]:
        return (await self._exchange(claim=count)).leases

    async def _settle(self, lease: JobRecord, outcome: Outcome, **more: Any) -> None:
        page = await self._exchange(settlements=[Settlement(lease.id, lease.token or 0, outcome)], **more)
        assert page.refused == frozenset()

    async def _exchange(self, queue: str = QUEUE, **words: Any) -> Page:
        self._sequence += 1
        request = Exchange("w", "w/0", self._sequence, **words)
        try:
            return await self._backend.exchange(queue, request)
        except BackendUnavailable:
            return await self._backend.exchange(queue, replace(request, repeated=True))

    async def _amend(self, job_id: str, amendment: Any) -> None:
        await insist(lambda: self._backend.amend(QUEUE, job_id, amendment))

    async def seen(self) -> dict[str, Any]:
        """All that anybody could see."""
        backend = self._backend
        seen: dict[str, Any] = {"queues": await insist(backend.queues)}
        seen["limits"] = await insist(lambda: backend.limits(GROUPED))
        seen["groups"] = [
            replace(group, rests_until_ms=None) for group in await insist(lambda: backend.groups(GROUPED))
        ]
        seen["group"] = (await insist(lambda: backend.group(GROUPED, "c"))).waiting
        for queue in (QUEUE, OTHER, LETTERS, GROUPED):
            status = await insist(lambda queue=queue: backend.status(queue))
            seen[f"{queue} status"] = (status.counts, status.paused)
            for state in JobState:
                found = await insist(lambda queue=queue, state=state: backend.find(queue, state))
                seen[f"{queue} {state}"] = [replace(job, created_ms=0) for job in found]
            page = await insist(lambda queue=queue: backend.events(queue, "0", 0))
            told = [(event.type, event.job_id, event.detail) for event in page.events]
            # What is already so may be said again.
            seen[f"{queue} events"] = [
                event for event, before in zip(told, [None, *told], strict=False) if event != before
            ]
        while await insist(lambda: backend.deliver(QUEUE)):
            pass
        deliveries = await insist(lambda: backend.find(HOOKS, JobState.WAITING))
        contents = [WebhookDelivery.model_validate_json(found.data) for found in deliveries]
        assert contents
        seen["deliveries"] = [(one.endpoint, one.occasion, one.job_id) for one in contents]
        seen["endpoints"] = [found.id for found in await insist(lambda: backend.find_endpoints(QUEUE))]
        seen["stats"] = [counters for _, counters in await insist(lambda: backend.stats(QUEUE, 60))]
        seen["one"] = await insist(lambda: backend.get(QUEUE, "a"))
        seen["third"] = (await insist(lambda: backend.status(THIRD))).counts
        seen["inputs"] = await insist(lambda: backend.inputs(HOME, "dependant"))
        flow = await insist(lambda: backend.flow(HOME, "flow"))
        seen["family"] = await insist(lambda: backend.states(FAMILY, ["parent", "here"]))
        seen["children"] = await insist(lambda: backend.inputs(FAMILY, "parent"))
        seen["flow"] = None if flow is None else sorted((key, one.state) for key, one in flow.ended.items())
        seen["states"] = await insist(lambda: backend.states(THIRD, ["two", "heir1000"]))
        found = await insist(lambda: backend.find_schedules(OTHER))
        seen["schedules"] = [
            (record.id, record.runs, record.last_job, (record.tick_ms or 0) - record.anchor_ms)
            for record in found.records
        ]
        seen["logs"] = await insist(lambda: backend.logs(QUEUE, "a"))
        return seen


async def _played(url: str) -> dict[str, Any]:
    async with redis.asyncio.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        clock = ManualClock()
        backend = RedisBackend(client, clock=clock)
        await backend.open()
        try:
            story = Story(backend, clock)
            await story.tell()
            return await story.seen()
        finally:
            await backend.close()


@pytest.mark.parametrize("script", names())
async def test_a_lost_reply_changes_nothing_that_can_be_seen(
    script: str, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = await _played(valkey_url)
    loss = Loss(script, monkeypatch)
    disturbed = await _played(valkey_url)
    assert loss.struck > 0, f"the story never calls {script}"
    for what, expected in undisturbed.items():
        assert disturbed[what] == expected, what


async def test_children_are_written_though_their_parent_was_lost_before_the_commit_was_answered(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        clock = ManualClock()
        backend = RedisBackend(client, clock=clock)
        await backend.open()
        await backend.enqueue(FAMILY, [NewRecord("parent", "t", b"1")])
        (parent,) = (await backend.exchange(FAMILY, Exchange("w", "w/0", 1, claim=1, lease_ms=1000))).leases
        real, tries = Calls.run, 0

        async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
            nonlocal tries
            reply = await real(calls, name, prefix, *words)
            if name == "commit" and not tries:
                tries += 1
                await clock.advance(seconds=2)
                assert (await backend.upkeep(FAMILY, Upkeep())).recovered
                raise BackendUnavailable("the reply was lost")
            return reply

        monkeypatch.setattr(Calls, "run", run)
        needs = [Need(THIRD, "child")]
        spawning = Spawning("parent", parent.token or 0, needs)
        members = [FlowMember(THIRD, NewRecord("child", "t", b"1"))]
        await backend.submit(FAMILY, NewFlow("parent/1@1", members, recorded=False, spawning=spawning))
        # Whoever runs the parent now finds it waiting for a child, and does not write that again.
        assert [one.key for one in await backend.inputs(FAMILY, "parent")] == ["third/child"]
        assert await backend.states(THIRD, ["child"]) == [JobState.WAITING]
        await backend.close()
