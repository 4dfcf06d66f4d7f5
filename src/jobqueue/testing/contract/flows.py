"""Flows: many jobs at once, in whatever queues, all or none."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from jobqueue.backends.protocol import (
    Backend,
    Cancel,
    Exchange,
    FlowMember,
    NewFlow,
    NewRecord,
    Obliterate,
    Presence,
    Remove,
    Retry,
    Settlement,
    Upkeep,
)
from jobqueue.errors import LeaseLost
from jobqueue.model.events import EventType
from jobqueue.model.links import Need, OnFailure, Spawning, need_of
from jobqueue.model.outcome import Completed, Failed, Parked, Retention, RetryAt
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.dependencies import OTHER, THIRD, finish, put_dependant, states_of
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, order, put, settle, state

WEEK = 7 * 24 * 3600


def member(job_id: str, *needs: str, queue: str = QUEUE, on_failure: OnFailure = OnFailure.FAIL) -> FlowMember:
    """A job of a flow that needs these, 'queue/id'."""
    edges = tuple(need_of(need, on_failure) for need in needs)
    return FlowMember(queue, NewRecord(job_id, "t", b"1", needs=edges), b"about " + job_id.encode())


def diamond() -> list[FlowMember]:
    """a, then b here and c elsewhere, then d in a third queue."""
    return [
        member("a"),
        member("b", f"{QUEUE}/a"),
        member("c", f"{QUEUE}/a", queue=OTHER),
        member("d", f"{QUEUE}/b", f"{OTHER}/c", queue=THIRD),
    ]


_sequence = itertools.count(1)


async def work_off(backend: Backend, queues: Sequence[str], result: bytes = b"1") -> int:
    """Complete whatever can run, until nothing can; returns how many ran."""
    done, idle = 0, False
    last: dict[str, list[Settlement]] = {queue: [] for queue in queues}
    while not idle:
        idle = True
        for queue in queues:
            page = await backend.exchange(queue, Exchange("w", "w/2", next(_sequence), last[queue], claim=500))
            last[queue] = [Settlement(lease.id, lease.token or 0, Completed(result)) for lease in page.leases]
            done += len(page.leases)
            while page.outbox and await backend.deliver(queue):
                idle = False
            idle = idle and not page.leases and not page.more
    return done


class FlowContract:
    """``submit``, ``flow`` and jobs that wait for what they have added."""

    async def test_a_flow_over_three_queues(self, backend: Backend) -> None:
        assert await backend.submit(QUEUE, NewFlow("f", diamond()))
        assert await order(backend) == ["a"]
        assert await states_of(backend, "c", queue=OTHER) == [JobState.BLOCKED]
        await finish(backend, "a", Completed(b"1"))
        await finish(backend, "c", Completed(b"3"), queue=OTHER)
        assert await states_of(backend, "d", queue=THIRD) == [JobState.BLOCKED]
        await finish(backend, "b", Completed(b"2"))
        assert [one.result for one in await backend.inputs(THIRD, "d")] == [b"3", b"2"]
        await finish(backend, "d", Completed(b"4"), queue=THIRD)
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert flow.members[f"{THIRD}/d"] == b"about d"
        assert {key: (ended.state, ended.result) for key, ended in flow.ended.items()} == {
            f"{QUEUE}/a": ("completed", None),
            f"{QUEUE}/b": ("completed", None),
            f"{OTHER}/c": ("completed", None),
            f"{THIRD}/d": ("completed", b"4"),
        }
        events = (await backend.events(QUEUE, "0", 0)).events
        assert [event.job_id for event in events if event.type is EventType.FLOWED] == ["f"]

    async def test_a_flow_is_submitted_once(self, backend: Backend) -> None:
        assert await backend.submit(QUEUE, NewFlow("f", diamond()))
        await work_off(backend, (QUEUE, OTHER, THIRD))
        for queue, job_id in ((QUEUE, "a"), (OTHER, "c")):
            await backend.amend(queue, job_id, Remove())
        assert not await backend.submit(QUEUE, NewFlow("f", diamond()))
        assert await work_off(backend, (QUEUE, OTHER, THIRD)) == 0

    async def test_a_job_that_is_there_already_takes_its_place(self, backend: Backend) -> None:
        await put(backend, "a")
        await finish(backend, "a", Completed(b"old"))
        await put(backend, "c", queue=OTHER)
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        assert await states_of(backend, "a", "b") == [JobState.COMPLETED, JobState.WAITING]
        assert [one.result for one in await backend.inputs(QUEUE, "b")] == [b"old"]
        await work_off(backend, (QUEUE, OTHER, THIRD))
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert len(flow.ended) == 4

    async def test_a_result_that_only_others_need_is_not_remembered(self, backend: Backend) -> None:
        await put(backend, "m", queue=OTHER)
        await finish(backend, "m", Completed(b'"secret"'), queue=OTHER)
        await backend.submit(QUEUE, NewFlow("f", [member("m", queue=OTHER), member("n", f"{OTHER}/m")]))
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert flow.ended[f"{OTHER}/m"].state == "completed"
        assert flow.ended[f"{OTHER}/m"].result is None

    async def test_a_flow_may_need_jobs_that_exist(self, backend: Backend) -> None:
        await put(backend, "x", queue=OTHER)
        await put(backend, "y")
        await finish(backend, "y", Completed(b"0"))
        members = [member("a", f"{OTHER}/x", f"{QUEUE}/y"), member("b", f"{QUEUE}/a")]
        await backend.submit(QUEUE, NewFlow("f", members))
        assert await states_of(backend, "a", "b") == [JobState.BLOCKED, JobState.BLOCKED]
        await finish(backend, "x", Completed(b"1"), queue=OTHER)
        assert [one.result for one in await backend.inputs(QUEUE, "a")] == [b"1", b"0"]
        assert await work_off(backend, (QUEUE,)) == 2

    async def test_a_failure_ends_the_branch_below_it(self, backend: Backend) -> None:
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        await finish(backend, "a", Completed())
        await finish(backend, "c", Failed(ERROR), queue=OTHER)
        assert await states_of(backend, "b") == [JobState.WAITING]
        await finish(backend, "b", Completed())
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert flow.ended[f"{THIRD}/d"].state == "failed"
        assert len(flow.ended) == 4

    async def test_a_retried_member_has_not_ended(self, backend: Backend) -> None:
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        await finish(backend, "a", Completed())
        await finish(backend, "c", Failed(ERROR), queue=OTHER)
        await backend.amend(OTHER, "c", Retry())
        assert await backend.amend(THIRD, "d", Retry()) is JobState.BLOCKED
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert set(flow.ended) == {f"{QUEUE}/a"}
        await work_off(backend, (QUEUE, OTHER, THIRD))
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert {ended.state for ended in flow.ended.values()} == {"completed"}

    async def test_a_cancelled_member(self, backend: Backend) -> None:
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        await backend.amend(QUEUE, "a", Cancel("no"))
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert {key: ended.state for key, ended in flow.ended.items()} == {
            f"{QUEUE}/a": "cancelled",
            f"{QUEUE}/b": "failed",
            f"{OTHER}/c": "failed",
            f"{THIRD}/d": "failed",
        }

    async def test_flows_that_have_ended_are_kept_for_a_week(self, backend: Backend, clock: ManualClock) -> None:
        await backend.submit(QUEUE, NewFlow("f", [member("a")]))
        await backend.submit(QUEUE, NewFlow("g", [member("b")]))
        await finish(backend, "a", Completed())
        await clock.advance(seconds=WEEK)
        await backend.upkeep(QUEUE, Upkeep(presence=Presence("w", "host", 1, 1, 0, 0)))
        assert await backend.flow(QUEUE, "f") is None
        assert await backend.flow(QUEUE, "g") is not None, "undone work is kept for as long as it takes"

    async def test_a_large_flow_leaves_room_for_a_hundred(self, backend: Backend) -> None:
        for number in range(102):
            await backend.submit(QUEUE, NewFlow(f"f{number}", [member(f"a{number}")]))
        await work_off(backend, (QUEUE,))
        names = [f"f{number}" for number in range(102)]
        assert [name for name in names if await backend.flow(QUEUE, name) is None] == []
        await backend.submit(QUEUE, NewFlow("large", [member(f"b{number}") for number in range(1001)]))
        await work_off(backend, (QUEUE,))
        kept = [name for name in (*names, "large") if await backend.flow(QUEUE, name) is not None]
        assert (len(kept), kept[-1]) == (100, "large")

    async def test_obliterate_takes_flows_along(self, backend: Backend) -> None:
        await backend.submit(QUEUE, NewFlow("f", [member("a")]))
        await backend.control(QUEUE, Obliterate())
        assert await backend.flow(QUEUE, "f") is None

    async def test_an_id_may_be_used_again_once_its_flow_is_forgotten(self, backend: Backend) -> None:
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        await work_off(backend, (QUEUE, OTHER, THIRD))
        await backend.control(QUEUE, Obliterate())
        await backend.amend(OTHER, "c", Remove())
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        assert await work_off(backend, (QUEUE, OTHER, THIRD)) == 3, "d is there from before"

    async def test_one_job_with_very_many_heirs(self, backend: Backend) -> None:
        many = [member(f"b{number}", f"{QUEUE}/a", queue=(QUEUE, OTHER)[number % 2]) for number in range(1100)]
        await backend.submit(QUEUE, NewFlow("f", [member("a"), *many], recorded=False))
        await finish(backend, "a", Completed(b"1", Retention(0)))
        for queue in (QUEUE, OTHER):
            assert (await backend.status(queue)).counts[JobState.WAITING] == 550
        assert [one.result for one in await backend.inputs(OTHER, "b1")] == [b"1"]

    async def test_the_next_job_of_that_id_has_heirs_of_its_own(self, backend: Backend) -> None:
        many = [member(f"b{number}", f"{QUEUE}/a", queue=OTHER) for number in range(1100)]
        await backend.submit(QUEUE, NewFlow("f", [member("a"), *many], recorded=False))
        (lease,) = await claim(backend)
        await settle(backend, lease, Completed(b"1", Retention(0)))
        # Nobody has told them yet.
        await put(backend, "a")
        assert await put_dependant(backend, "c", "a") is JobState.BLOCKED
        while await backend.deliver(QUEUE):
            pass
        assert (await backend.status(OTHER)).counts[JobState.WAITING] == 1100
        assert await state(backend, "c") is JobState.BLOCKED
        await finish(backend, "a", Failed(ERROR))
        assert await state(backend, "c") is JobState.FAILED

    async def test_whoever_comes_after_a_retry_is_not_told_of_the_end_before(self, backend: Backend) -> None:
        many = [member(f"b{number}", f"{QUEUE}/a", queue=OTHER) for number in range(1100)]
        await backend.submit(QUEUE, NewFlow("f", [member("a"), *many], recorded=False))
        (lease,) = await claim(backend)
        await settle(backend, lease, Failed(ERROR))
        await backend.amend(QUEUE, "a", Retry())
        assert await put_dependant(backend, "c", "a") is JobState.BLOCKED
        while await backend.deliver(QUEUE):
            pass
        assert (await backend.status(OTHER)).counts[JobState.FAILED] == 1100
        assert await state(backend, "c") is JobState.BLOCKED
        await finish(backend, "a", Completed(b"1"))
        assert await state(backend, "c") is JobState.WAITING

    async def test_one_job_that_needs_very_many(self, backend: Backend) -> None:
        many = [member(f"a{number}", queue=(QUEUE, OTHER)[number % 2]) for number in range(1100)]
        last = member("z", *(one.key for one in many))
        await backend.submit(QUEUE, NewFlow("f", [*many, last]))
        assert await work_off(backend, (QUEUE, OTHER)) == 1101
        assert len(await backend.inputs(QUEUE, "z")) == 1100

    async def test_a_long_line_fails_to_its_end(self, backend: Backend) -> None:
        line = [member("a0"), *(member(f"a{number}", f"{QUEUE}/a{number - 1}") for number in range(1, 1100))]
        await backend.submit(QUEUE, NewFlow("f", line, recorded=False))
        await finish(backend, "a0", Failed(ERROR))
        assert (await backend.status(QUEUE)).counts[JobState.FAILED] == 1100

    # Waiting for what one has added oneself.

    async def test_a_running_job_waits_for_its_children(self, backend: Backend) -> None:
        await put(backend, "p")
        (lease,) = await claim(backend)
        children = _children(lease.token or 0)
        assert await backend.submit(QUEUE, children)
        assert not await backend.submit(QUEUE, children), "a second try adds nothing"
        await settle(backend, lease, Parked())
        assert await state(backend, "p") is JobState.BLOCKED
        await finish(backend, "c0", Completed(b"0"))
        await finish(backend, "c1", Completed(b"1"), queue=OTHER)
        (again,) = await claim(backend)
        assert (again.id, again.attempt, again.failures) == ("p", 1, 0)
        assert [one.result for one in await backend.inputs(QUEUE, "p")] == [b"1", b"0"]
        assert not await backend.submit(QUEUE, _children(again.token or 0)), "nor does another run"

    async def test_children_that_are_done_before_their_parent_waits(self, backend: Backend) -> None:
        await put(backend, "p")
        (lease,) = await claim(backend)
        await backend.submit(QUEUE, _children(lease.token or 0))
        assert await work_off(backend, (QUEUE, OTHER)) == 2
        await settle(backend, lease, Parked())
        assert await state(backend, "p") is JobState.WAITING

    @pytest.mark.parametrize("early", [True, False])
    async def test_a_child_that_fails_fails_its_parent(self, backend: Backend, early: bool) -> None:
        await put(backend, "p")
        (lease,) = await claim(backend)
        await backend.submit(QUEUE, _children(lease.token or 0))
        if not early:
            await settle(backend, lease, Parked())
        await finish(backend, "c0", Failed(ERROR))
        if early:
            await settle(backend, lease, Parked())
        record = await backend.get(QUEUE, "p")
        assert record is not None
        assert record.error is not None
        assert (record.state, record.error.type) == (JobState.FAILED, "DependencyFailed")

    async def test_a_failed_try_keeps_its_children(self, backend: Backend) -> None:
        await put(backend, "p")
        (lease,) = await claim(backend)
        await backend.submit(QUEUE, _children(lease.token or 0))
        await settle(backend, lease, RetryAt(0, ERROR))
        assert [(one.key, one.state) for one in await backend.inputs(QUEUE, "p")] == [
            (f"{OTHER}/c1", ""),
            (f"{QUEUE}/c0", ""),
        ]

    async def test_children_of_a_lost_lease(self, backend: Backend) -> None:
        await put(backend, "p")
        (lease,) = await claim(backend)
        with pytest.raises(LeaseLost):
            await backend.submit(QUEUE, _children((lease.token or 0) + 1))
        assert await states_of(backend, "c0") == [None]

    async def test_a_wish_to_cancel_is_heard_when_it_parks(self, backend: Backend) -> None:
        await put(backend, "p")
        (lease,) = await claim(backend)
        await backend.submit(QUEUE, _children(lease.token or 0))
        await backend.amend(QUEUE, "p", Cancel("enough"))
        await settle(backend, lease, Parked())
        assert await state(backend, "p") is JobState.CANCELLED

    async def test_a_dependant_may_be_put_under_a_member(self, backend: Backend) -> None:
        await backend.submit(QUEUE, NewFlow("f", diamond()))
        assert await put_dependant(backend, "z", f"{THIRD}/d") is JobState.BLOCKED
        await work_off(backend, (QUEUE, OTHER, THIRD))
        assert await state(backend, "z") is JobState.COMPLETED


def _children(token: int) -> NewFlow:
    members = [member("c0"), member("c1", queue=OTHER)]
    needs = [Need(one.queue, one.record.id) for one in members]
    return NewFlow("p/1", members, recorded=False, spawning=Spawning("p", token, needs))
