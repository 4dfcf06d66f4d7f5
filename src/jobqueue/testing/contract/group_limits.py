"""What a group may have at a time, and what holds it back alone."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetLimits
from jobqueue.backends.protocol import (
    Backend,
    NewRecord,
    Upkeep,
)
from jobqueue.errors import GroupFull
from jobqueue.model.limits import GroupLimits, GroupStatus, Limits, Rate
from jobqueue.model.outcome import Completed, Released
from jobqueue.model.record import JobState
from jobqueue.model.unique import Unique
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.groups import fill, grouped, limit_group
from jobqueue.testing.contract.limits import ids, limit, look
from jobqueue.testing.contract.steps import QUEUE, claim, order, put, settle, state


class GroupLimitContract:
    """Concurrency, rates, holds, pauses and room of each group."""

    async def test_concurrency_of_each_group(self, backend: Backend) -> None:
        await limit(backend, Limits(groups=GroupLimits(concurrency=1)))
        await limit_group(backend, "b", GroupLimits(concurrency=2))
        for group in "abc":
            await fill(backend, group, 3)
        await put(backend, "x", "y")
        page = await look(backend)
        # It does not hold for jobs without a group.
        assert sorted(ids(page)) == ["a0", "b0", "b1", "c0", "x", "y"]
        assert (page.more, page.crowded) == (False, True)
        await settle(backend, page.leases[0], Completed())
        (lease,) = (await look(backend)).leases
        assert lease.group == page.leases[0].group

    async def test_a_group_at_its_limit_costs_its_own_turn_only(self, backend: Backend) -> None:
        await limit(backend, Limits(groups=GroupLimits(concurrency=1)))
        await fill(backend, "a", 5)
        (lease,) = await claim(backend, 5)
        await backend.wait(QUEUE, 0.01)
        await settle(backend, lease, Completed())
        assert await backend.wait(QUEUE, 5)
        assert ids(await look(backend)) == ["a1"]

    async def test_a_lost_worker_gives_a_group_its_places_back(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(groups=GroupLimits(concurrency=2)))
        await fill(backend, "a", 4)
        await claim(backend, 5, worker="lost", lease_ms=1000)
        assert ids(await look(backend)) == []
        await clock.advance(seconds=2)
        await backend.upkeep(QUEUE, Upkeep(max_stalls=1))
        assert ids(await look(backend)) == ["a2", "a3"]

    async def test_rate_of_each_group(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(groups=GroupLimits(Rate(2, per=10))))
        await fill(backend, "a", 5)
        await fill(backend, "b", 1)
        page = await look(backend)
        assert sorted(ids(page)) == ["a0", "a1", "b0"]
        assert page.look_again_ms == page.rests_until_ms == clock.now_ms() + 10_000
        await clock.advance(seconds=10)
        assert ids(await look(backend)) == ["a2", "a3"]

    async def test_a_hold_stops_the_group_only(self, backend: Backend, clock: ManualClock) -> None:
        await fill(backend, "a", 2)
        await fill(backend, "b", 2)
        (lease,) = await claim(backend)
        await settle(backend, lease, Released("rate limited", hold_queue_ms=5000))
        page = await look(backend)
        assert ids(page) == ["b0", "b1"]
        assert page.look_again_ms == clock.now_ms() + 5000
        assert (await backend.group(QUEUE, "a")).rests_until_ms == clock.now_ms() + 5000
        await clock.advance(seconds=5)
        assert ids(await look(backend)) == ["a0", "a1"]

    async def test_resuming_a_group_ends_its_hold_but_not_its_rate(self, backend: Backend) -> None:
        await limit_group(backend, "b", GroupLimits(rate=Rate(1, per=3600)))
        for group in "ab":
            await fill(backend, group, 2)
        (lease, _) = (await look(backend)).leases[:2]
        assert lease.id == "a0"
        await settle(backend, lease, Released("rate limited", hold_queue_ms=3_600_000))
        assert ids(await look(backend)) == []
        await backend.wait(QUEUE, 0.01)
        await backend.control(QUEUE, ResumeGroup("a"))
        await backend.control(QUEUE, ResumeGroup("b"))
        assert await backend.wait(QUEUE, 5)
        assert ids(await look(backend)) == ["a0"]

    async def test_a_paused_group(self, backend: Backend) -> None:
        await fill(backend, "a", 2)
        await fill(backend, "b", 2)
        await backend.control(QUEUE, PauseGroup("a"))
        page = await look(backend)
        assert (ids(page), page.more, page.look_again_ms) == (["b0", "b1"], False, None)
        await fill(backend, "a", 3)
        assert (await backend.group(QUEUE, "a")) == GroupStatus("a", waiting=3, paused=True)
        await backend.wait(QUEUE, 0.01)
        await backend.control(QUEUE, ResumeGroup("a"))
        assert await backend.wait(QUEUE, 5)
        assert ids(await look(backend)) == ["a0", "a1", "a2"]
        assert await backend.groups(QUEUE) == []

    async def test_a_paused_group_can_be_purged(self, backend: Backend) -> None:
        await fill(backend, "a", 3)
        await fill(backend, "b", 1)
        await backend.control(QUEUE, PauseGroup("a"))
        assert await backend.control(QUEUE, PurgeGroup("a")) == ["a0", "a1", "a2"]
        assert await order(backend) == ["b0"]

    async def test_a_full_group_refuses_and_writes_nothing(self, backend: Backend) -> None:
        await limit(backend, Limits(groups=GroupLimits(max_waiting=2)))
        await limit_group(backend, "b", GroupLimits(max_waiting=3))
        await fill(backend, "a", 2)
        with pytest.raises(GroupFull) as refused:
            await backend.enqueue(QUEUE, [grouped("x", "b"), grouped("y", "a")])
        assert (refused.value.limit, refused.value.group) == (2, "a")
        assert await state(backend, "x") is None
        await fill(backend, "a", 2)
        await fill(backend, "b", 3)
        await put(backend, "x", "y", "z")

    async def test_a_job_that_takes_over_does_not_move_into_a_full_group(self, backend: Backend) -> None:
        await limit(backend, Limits(groups=GroupLimits(max_waiting=1)))
        key = Unique("k", replace=True)
        await backend.enqueue(QUEUE, [NewRecord("held", "t", b"1", group="a", unique=key), grouped("x", "b")])
        for group, refused in (("b", True), ("a", False), ("c", False), ("", False)):
            with pytest.raises(GroupFull) if refused else nullcontext():
                await backend.enqueue(QUEUE, [NewRecord("new", "t", b"2", group=group, unique=key)])
            held = await backend.get(QUEUE, "held")
            assert held is not None
            assert (held.group, held.data) == (("a", b"1") if refused else (group, b"2"))
        later = Unique("later", replace=True)
        await backend.enqueue(QUEUE, [NewRecord("late", "t", b"1", delay_ms=60_000, group="b", unique=later)])
        with pytest.raises(GroupFull):
            await backend.enqueue(QUEUE, [NewRecord("now", "t", b"2", group="b", unique=later)])
        assert await state(backend, "late") is JobState.DELAYED

    async def test_types_and_groups_together(self, backend: Backend) -> None:
        await limit(backend, Limits(types={"sms": 1}))
        jobs = [NewRecord(f"{group}{number}", "sms", b"1", group=group) for group in "ab" for number in range(3)]
        await backend.enqueue(QUEUE, [*jobs, NewRecord("a-mail", "mail", b"1", group="a")])
        served: list[str] = []
        first = await look(backend)
        assert sorted(ids(first)) == ["a-mail", "a0"]
        lease = next(lease for lease in first.leases if lease.type == "sms")
        for _ in range(5):
            await settle(backend, lease, Completed())
            (lease,) = (await look(backend)).leases
            served.append(lease.id)
        # Fair among the groups, also for places of one type.
        assert served == ["b0", "a1", "b1", "a2", "b2"]

    async def test_declared_group_limits_are_kept(self, backend: Backend) -> None:
        limits = Limits(groups=GroupLimits(Rate(5, 1), 2, 100, 0.5))
        await backend.control(QUEUE, SetLimits(limits, declared=True))
        assert await backend.limits(QUEUE) == limits

    @pytest.mark.parametrize("concurrency", [None, 3])
    async def test_a_limit_for_all_groups_that_is_lifted_lets_held_jobs_go(
        self, backend: Backend, concurrency: int | None
    ) -> None:
        await limit(backend, Limits(groups=GroupLimits(concurrency=1)))
        await fill(backend, "a", 3)
        assert ids(await look(backend)) == ["a0"]
        await limit(backend, Limits(groups=GroupLimits(concurrency=concurrency)))
        assert ids(await look(backend)) == ["a1", "a2"]
