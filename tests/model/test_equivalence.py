"""The same operations on memory and on a real server: all that can be seen must be the same after every step.

Memory is the reference model. Hypothesis draws the operations and shrinks what goes wrong to the fewest that show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from jobqueue import JobQueueError
from jobqueue.backends import Backend, MemoryBackend, RedisBackend
from jobqueue.backends.endpoints import EndpointChange, EndpointRecord, EndpointState, Rules
from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits, SetLimits
from jobqueue.backends.protocol import (
    Amendment,
    Cancel,
    Checkpoint,
    Clean,
    Command,
    Exchange,
    FlowMember,
    LogLines,
    NewFlow,
    NewRecord,
    Note,
    Obliterate,
    Page,
    Pause,
    Presence,
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
from jobqueue.backends.scheduling import Firing, ScheduleChange, ScheduleRecord
from jobqueue.model.limits import GroupLimits, Limits, Rate
from jobqueue.model.links import Need, OnFailure, Spawning
from jobqueue.model.notice import Occasion, Part
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, Retention, RetryAt
from jobqueue.model.record import JobError, JobRecord, JobState
from jobqueue.model.unique import Unique
from jobqueue.testing import ManualClock

QUEUE, DEAD, OTHER, HOOKS = "tickets", "dead-letter", "mail", "webhooks"
ERROR = JobError("ValueError", "no", "Traceback …")
IDS = [f"job-{number}" for number in range(8)]
ENDPOINTS = ["books", "crm"]
SCHEDULES = ["nightly", "hourly", "other"]
TYPES = ("ticket.created", "sms.send", "mail.send")
GROUPS = ("a", "b", "c")
EVERY_GROUP_LIMIT = frozenset({"rate", "concurrency", "max_waiting", "weight"})
OF_LIMITS_AND_GROUPS = {
    "overrides", "aside", "line", "parked", "holding", "groups", "turns", "stuck", "resting", "rates",
    "fading", "busy", "running",
}  # fmt: skip

ids = st.sampled_from(IDS)
keeps = st.sampled_from(
    [Retention(), Retention(0), Retention(1), Retention(2), Retention(None, 5000), Retention(2, 3000)]
)
needs = st.lists(
    st.builds(Need, st.sampled_from([QUEUE, QUEUE, OTHER]), ids, st.sampled_from(OnFailure)),
    max_size=2,
    unique_by=lambda need: need.key,
).map(tuple)
uniques = st.one_of(
    st.builds(Unique, st.sampled_from(["k", "l"]), replace=st.booleans(), keep_last=st.booleans()),
    st.builds(Unique, st.sampled_from(["k", "l"]), ttl=st.just(2)),
)
new_jobs = st.builds(
    NewRecord,
    ids,
    st.sampled_from(TYPES),
    st.sampled_from([b"1", b'{"n":2}']),
    priority=st.sampled_from([0, 3, 3, 2_097_151]),
    delay_ms=st.sampled_from([0, 0, 0, 700, 2000]),
    expires_in_ms=st.sampled_from([None, None, 1500]),
    lifo=st.booleans(),
    needs=st.one_of(st.just(()), st.just(()), needs),
    group=st.sampled_from(["", "", *GROUPS]),
    unique=st.one_of(st.none(), st.none(), uniques),
)
flow_names = st.sampled_from(["flow-0", "flow-1", "flow-2"])


@st.composite
def flows(draw: st.DrawFn) -> NewFlow:
    """A few jobs in two queues, each of which may need those before it, or jobs that exist."""
    members: list[FlowMember] = []
    for job_id in draw(st.lists(ids, min_size=1, max_size=4, unique=True)):
        queue = draw(st.sampled_from([QUEUE, OTHER]))
        among = [Need(member.queue, member.record.id) for member in members] + [Need(OTHER, "job-0")]
        edges = draw(st.lists(st.sampled_from(among), max_size=2, unique=True))
        own = tuple(edge for edge in edges if edge.key != f"{queue}/{job_id}")
        record = NewRecord(
            job_id, draw(st.sampled_from(TYPES)), b"1", delay_ms=draw(st.sampled_from([0, 0, 700])), needs=own,
            lifo=draw(st.booleans()), group=draw(st.sampled_from(["", *GROUPS])),
        )  # fmt: skip
        members.append(FlowMember(queue, record, b"about"))
    return NewFlow(draw(flow_names), members)


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Completed, st.sampled_from([None, b"42"]), keeps),
    st.builds(RetryAt, st.sampled_from([0, 1000]), st.just(ERROR)),
    st.builds(Failed, st.just(ERROR), keeps, st.sampled_from([None, DEAD, QUEUE]), st.booleans()),
    st.builds(Released, st.just("shutdown"), st.sampled_from([0, 700]), st.sampled_from([0, 0, 500])),
    st.builds(Cancelled, st.just("enough"), keeps),
    st.just(Parked()),
)
amendments: st.SearchStrategy[Amendment] = st.one_of(
    st.builds(Retry, st.sampled_from([None, b"7"])),
    st.just(Promote()),
    st.builds(Cancel, st.just("stop"), keeps),
    st.just(Remove()),
    st.builds(Reprioritize, st.sampled_from([0, 3, 9])),
    st.builds(Reschedule, delay_ms=st.sampled_from([0, 800])),
)
rates = st.sampled_from([None, None, Rate(1, 1), Rate(3, 2, burst=2), Rate(100, 1, burst=1)])
group_limits = st.builds(
    GroupLimits, rates, st.sampled_from([None, 1, 2]), st.sampled_from([None, 1, 3]), st.sampled_from([None, 0.5, 3])
)
limits = st.builds(
    Limits,
    rates,
    st.sampled_from([None, None, 1, 3]),
    st.dictionaries(st.sampled_from(TYPES), st.integers(1, 2), max_size=2),
    st.sampled_from([None, None, 2, 5]),
    group_limits,
)
groups = st.sampled_from(GROUPS)
limit_commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(SetLimits, limits, declared=st.booleans()),
    st.builds(SetLimits, limits, st.frozensets(st.sampled_from(["rate", "types", "groups", "max_waiting"]))),
    st.builds(SetGroupLimits, groups, group_limits, st.frozensets(st.sampled_from(["rate", "concurrency", "weight"]))),
    st.builds(PauseGroup, groups),
    st.builds(ResumeGroup, groups),
    st.builds(PurgeGroup, groups),
)
rooms = st.sampled_from([{}, {}, {"sms.send": 0}, {"sms.send": 1, "ticket.created": 0}])
commands: st.SearchStrategy[Command] = st.one_of(
    st.just(Pause()),
    st.just(Resume()),
    st.builds(Purge, st.booleans()),
    st.builds(
        Clean,
        st.sampled_from(
            [
                JobState.COMPLETED,
                JobState.FAILED,
                JobState.CANCELLED,
                JobState.WAITING,
                JobState.DELAYED,
                JobState.BLOCKED,
            ]
        ),
        st.sampled_from([0, 1000]),
        st.sampled_from([1, 50]),
    ),
    st.builds(RetryFailed, st.sampled_from([1, 1000])),
    st.builds(Obliterate, st.booleans()),
)
notes: st.SearchStrategy[Note] = st.sampled_from([Progress(b"50"), Checkpoint(b"[1]"), LogLines((b"{}", b"[]"))])


class Equivalence(RuleBasedStateMachine):
    """Plays on both, on a loop of its own."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.client = redis.asyncio.Redis.from_url(self.url)  # pyright: ignore[reportUnknownMemberType]
        self.memory: Backend = MemoryBackend(clock=self.clock)
        self.server: Backend = RedisBackend(self.client, clock=self.clock)
        self.leases: list[JobRecord] = []
        self.last: Exchange | None = None
        self.due: list[ScheduleRecord] = []
        self.revisions = 0
        self.sequence = 0
        self._run(self.client.flushall())  # pyright: ignore[reportUnknownMemberType]
        self._run(self.memory.open())
        self._run(self.server.open())

    def teardown(self) -> None:
        try:
            for queue in (QUEUE, OTHER):
                self._drain(queue)
        finally:
            self._close()

    def _drain(self, queue: str) -> None:
        """Without limits and pauses everything runs, and nothing is left of limits and groups."""
        lifted: list[Command] = [SetLimits(Limits()), Resume()]
        for group in GROUPS:
            lifted += [SetGroupLimits(group, GroupLimits(), EVERY_GROUP_LIMIT), ResumeGroup(group)]
        for command in lifted:
            self._both(lambda backend: backend.control(queue, command))  # noqa: B023  (called before the next turn)
        found = True
        while found:
            self._run(self.clock.advance(seconds=10))
            self._both(lambda backend: backend.upkeep(queue, Upkeep(max_stalls=100)))
            found = False
            for _ in range(3):
                self.sequence += 1
                asked = Exchange("drain", "drain/0", self.sequence, claim=100)
                page: Page = self._both(lambda backend: backend.exchange(queue, asked))  # noqa: B023
                found = found or bool(page.leases)
                self.sequence += 1
                settled = [Settlement(lease.id, lease.token or 0, Completed()) for lease in page.leases]
                handed = Exchange("drain", "drain/0", self.sequence, settled)
                self._both(lambda backend: backend.exchange(queue, handed))  # noqa: B023
        status = self._both(lambda backend: backend.status(queue))
        assert [status.counts[state] for state in (JobState.WAITING, JobState.DELAYED, JobState.ACTIVE)] == [0, 0, 0]
        assert self._both(lambda backend: backend.groups(queue)) == []
        left = self._run(self.client.keys(f"*{{{queue}}}:*"))  # pyright: ignore[reportUnknownMemberType]
        names = {key.decode().partition("}:")[2] for key in left}
        assert not [name for name in names if name.partition(":")[0] in OF_LIMITS_AND_GROUPS], names

    def _close(self) -> None:
        self._run(self.memory.close())
        self._run(self.server.close())
        self._run(self.client.aclose())
        self.loop.close()

    def _run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def _both(self, call: Callable[[Backend], Awaitable[Any]]) -> Any:
        answers: list[Any] = []
        for backend in (self.memory, self.server):
            try:
                answers.append(self._run(call(backend)))
            except JobQueueError as error:
                answers.append(type(error))
        assert answers[0] == answers[1]
        return answers[0]

    @rule(
        jobs=st.lists(new_jobs, min_size=1, max_size=4),
        limited=st.sampled_from([True, True, True, False]),
        wait_ms=st.sampled_from([0, 0, 1000]),
    )
    def enqueue(self, jobs: list[NewRecord], limited: bool, wait_ms: int) -> None:
        self._both(lambda backend: backend.enqueue(QUEUE, jobs, limited=limited, wait_ms=wait_ms))

    @rule(jobs=st.lists(new_jobs, min_size=1, max_size=3))
    def enqueue_elsewhere(self, jobs: list[NewRecord]) -> None:
        self._both(lambda backend: backend.enqueue(OTHER, jobs))

    @rule(outcome=outcomes)
    def work_elsewhere(self, outcome: Outcome) -> None:
        self.sequence += 1
        request = Exchange("v", "v/0", self.sequence, claim=1)
        page: Page = self._both(lambda backend: backend.exchange(OTHER, request))
        for lease in page.leases:
            self.sequence += 1
            settling = Exchange("v", "v/0", self.sequence, [Settlement(lease.id, lease.token or 0, outcome)])
            self._both(lambda backend: backend.exchange(OTHER, settling))  # noqa: B023  (called before the next turn)
        self._both(lambda backend: backend.deliver(OTHER))

    @rule(command=limit_commands)
    def limit_elsewhere(self, command: Command) -> None:
        self._both(lambda backend: backend.control(OTHER, command))

    @rule(job_id=ids, amendment=amendments)
    def amend_elsewhere(self, job_id: str, amendment: Amendment) -> None:
        self._both(lambda backend: backend.amend(OTHER, job_id, amendment))

    @rule(flow=flows())
    def submit(self, flow: NewFlow) -> None:
        self._both(lambda backend: backend.submit(QUEUE, flow))

    @rule(data=st.data(), flow=flows())
    def spawn(self, data: st.DataObject, flow: NewFlow) -> None:
        if self.leases:
            lease = data.draw(st.sampled_from(self.leases))
            members = [member for member in flow.members if member.key != f"{QUEUE}/{lease.id}"]
            wanted = [Need(member.queue, member.record.id) for member in members]
            if any(need.key == f"{QUEUE}/{lease.id}" for member in members for need in member.record.needs):
                return
            name = f"{lease.id}/{lease.token}/{self.sequence}"
            new = NewFlow(name, members, recorded=False, spawning=Spawning(lease.id, lease.token or 0, wanted))
            self._both(lambda backend: backend.submit(QUEUE, new))

    @rule(data=st.data(), claim=st.integers(0, 3), lease_ms=st.sampled_from([1000, 3000]))
    def exchange(self, data: st.DataObject, claim: int, lease_ms: int) -> None:
        ending = data.draw(st.lists(st.sampled_from(self.leases), unique_by=id) if self.leases else st.just([]))
        settlements = [
            Settlement(
                lease.id,
                data.draw(st.sampled_from([lease.token or 0, lease.token or 0, 1])),
                data.draw(outcomes),
                data.draw(st.sampled_from([(), (b'{"line":1}',)])),
            )
            for lease in ending
        ]
        self.leases = [lease for lease in self.leases if lease not in ending]
        self.sequence += 1
        self.last = Exchange(
            "w", "w/0", self.sequence, settlements, claim, lease_ms, dead_letter=DEAD, suspect_stalls=1,
            rooms=data.draw(rooms), lag_ms=data.draw(st.sampled_from([0, 0, 7, 900])),
        )  # fmt: skip
        request = self.last
        page: Page = self._both(lambda backend: backend.exchange(QUEUE, request))
        self.leases += page.leases

    @rule()
    def repeat(self) -> None:
        if self.last is None:
            return
        request = replace(self.last, repeated=True)

        async def leases_and_refusals(backend: Backend) -> Any:
            page = await backend.exchange(QUEUE, request)
            return page.leases, page.refused

        self._both(leases_and_refusals)

    @rule(ms=st.sampled_from([1, 500, 1000, 3000]))
    def time_passes(self, ms: int) -> None:
        self._run(self.clock.advance(milliseconds=ms))

    @rule(keep=keeps, present=st.booleans())
    def upkeep(self, keep: Retention, present: bool) -> None:
        presence = Presence("w", "host", 1, slots=1, busy=0, started_ms=5) if present else None
        request = Upkeep(max_stalls=2, keep=keep, dead_letter=DEAD, presence=presence, presence_ms=4000)
        self._both(lambda backend: backend.upkeep(QUEUE, request))

    @rule()
    def deliver(self) -> None:
        self._both(lambda backend: backend.deliver(QUEUE))

    @rule(job_id=ids, amendment=amendments)
    def amend(self, job_id: str, amendment: Amendment) -> None:
        self._both(lambda backend: backend.amend(QUEUE, job_id, amendment))

    @rule(command=commands)
    def control(self, command: Command) -> None:
        self._both(lambda backend: backend.control(QUEUE, command))

    @rule(command=limit_commands)
    def limit(self, command: Command) -> None:
        self._both(lambda backend: backend.control(QUEUE, command))

    @rule(wrong=st.booleans())
    def extend(self, wrong: bool) -> None:
        leases = [(lease.id, 10_000 if wrong else lease.token or 0) for lease in self.leases]
        self._both(lambda backend: backend.extend(QUEUE, "w", leases, 2000))

    @rule(data=st.data(), note=notes)
    def annotate(self, data: st.DataObject, note: Note) -> None:
        if self.leases:
            lease = data.draw(st.sampled_from(self.leases))
            self._both(lambda backend: backend.annotate(QUEUE, lease.id, lease.token or 0, note))

    @rule(
        schedule=st.sampled_from(SCHEDULES),
        in_ms=st.sampled_from([None, -10, 0, 400, 2000]),
        seen=st.booleans(),
        declared=st.booleans(),
    )
    def write_schedule(self, schedule: str, in_ms: int | None, seen: bool, declared: bool) -> None:
        found = self._both(lambda backend: backend.find_schedules(QUEUE, ids=[schedule]))
        known: ScheduleRecord | None = found.records[0] if found.records and seen else None
        self.revisions += 1
        at_ms = None if in_ms is None else self.clock.now_ms() + in_ms
        change = ScheduleChange(
            schedule,
            known.revision if known else "",
            known.tick_ms if known else None,
            f"r{self.revisions}",
            b"{}",
            b"[]",
            at_ms,
            at_ms,
            anchor_ms=7,
            paused=in_ms is None,
            declared=declared,
            most=2,
        )
        for _ in range(2):
            self._both(lambda backend: backend.write_schedule(QUEUE, change))

    @rule(schedule=st.sampled_from(SCHEDULES))
    def remove_schedule(self, schedule: str) -> None:
        self._both(lambda backend: backend.remove_schedule(QUEUE, schedule))

    @rule(limit=st.integers(1, 3))
    def due_schedules(self, limit: int) -> None:
        self.due += self._both(lambda backend: backend.due_schedules(QUEUE, limit)).records

    @rule(
        jobs=st.lists(new_jobs, max_size=2),
        next_in=st.sampled_from([None, 0, 500, 3000]),
        limit=st.sampled_from([0, 0, 2]),
        alone=st.booleans(),
        by_hand=st.booleans(),
    )
    def fire_schedules(
        self, jobs: list[NewRecord], next_in: int | None, limit: int, alone: bool, by_hand: bool
    ) -> None:
        if not self.due:
            return
        next_ms = None if next_in is None else self.clock.now_ms() + next_in
        firings = [
            Firing(
                record.id, record.revision, record.tick_ms, tuple(jobs[:1] if by_hand else jobs),
                next_ms, next_ms, limit, alone and not by_hand, by_hand and bool(jobs),
            )
            for record in self.due
        ]  # fmt: skip
        if not by_hand:
            self.due = self.due[1:]
        self._both(lambda backend: backend.fire_schedules(QUEUE, firings))

    @rule(
        queue=st.sampled_from([QUEUE, QUEUE, OTHER]),
        endpoint=st.sampled_from(ENDPOINTS),
        occasions=st.sets(st.sampled_from(Occasion), min_size=1),
        types=st.sampled_from([("*",), ("ticket.*", "x"), ("t", "sms.send")]),
        include=st.sets(st.sampled_from(Part)),
        carrier=st.sampled_from([HOOKS, HOOKS, OTHER]),
        state=st.sampled_from([EndpointState.ON, EndpointState.ON, *EndpointState]),
        seen=st.booleans(),
    )
    def write_endpoint(
        self,
        queue: str,
        endpoint: str,
        occasions: set[Occasion],
        types: tuple[str, ...],
        include: set[Part],
        carrier: str,
        state: EndpointState,
        seen: bool,
    ) -> None:
        found: list[EndpointRecord] = self._both(lambda backend: backend.find_endpoints(queue, ids=[endpoint]))
        known = found[0] if found and seen else None
        self.revisions += 1
        change = EndpointChange(
            endpoint,
            known.revision if known else "",
            f"r{self.revisions}",
            Rules(frozenset(occasions), carrier, types, frozenset(include)),
            b"{}",
            state,
            "" if state is EndpointState.ON else "because",
        )
        for _ in range(2):
            self._both(lambda backend: backend.write_endpoint(queue, change))

    @rule(queue=st.sampled_from([QUEUE, OTHER]), endpoint=st.sampled_from(ENDPOINTS))
    def remove_endpoint(self, queue: str, endpoint: str) -> None:
        self._both(lambda backend: backend.remove_endpoint(queue, endpoint))

    @invariant()
    def all_that_is_visible_is_the_same(self) -> None:
        self._both(_picture)


async def _picture(backend: Backend) -> Any:
    return (
        [await backend.get(QUEUE, job_id) for job_id in IDS],
        [await backend.logs(QUEUE, job_id) for job_id in IDS],
        [await backend.inputs(queue, job_id) for queue in (QUEUE, OTHER) for job_id in IDS],
        [await backend.flow(QUEUE, name) for name in ("flow-0", "flow-1", "flow-2")],
        [await backend.find(queue, state, limit=100) for queue in (QUEUE, DEAD, OTHER, HOOKS) for state in JobState],
        [await backend.status(queue) for queue in (QUEUE, DEAD, OTHER)],
        [await backend.groups(QUEUE), await backend.groups(QUEUE, after="a", limit=1), await backend.group(QUEUE, "b")],
        await backend.limits(QUEUE),
        await backend.queues(),
        await backend.workers(QUEUE),
        [await backend.find_endpoints(queue) for queue in (QUEUE, OTHER)],
        await backend.find_schedules(QUEUE),
        await backend.find_schedules(QUEUE, declared=True),
        [(event.type, event.job_id, event.at_ms, event.detail) for event in await _events(backend)],
    )


async def _events(backend: Backend) -> list[Any]:
    events: list[Any] = []
    cursor = "0"
    while True:
        page = await backend.events(QUEUE, cursor, 0)
        if not page.events:
            return events
        events += page.events
        cursor = page.cursor


@pytest.fixture
def machine(valkey_url: str) -> type[Equivalence]:
    Equivalence.url = valkey_url
    return Equivalence


def settings_of(sequences: int, steps: int, *, derandomized: bool) -> settings:
    """So many sequences of so many operations each; ``derandomized``: the same ones every time."""
    return settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        derandomize=derandomized,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )


@pytest.mark.timeout(300)
def test_memory_and_server_are_the_same(machine: type[Equivalence]) -> None:
    run_state_machine_as_test(machine, settings=settings_of(60, 30, derandomized=True))
