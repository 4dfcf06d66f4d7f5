"""Jobs that come into line by other ways than ``enqueue``: groups and limits hold for them as for any."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobqueue.backends.protocol import Backend, FlowMember, NewFlow, NewRecord, Retry
from jobqueue.backends.scheduling import Firing, ScheduleChange
from jobqueue.errors import QueueFull
from jobqueue.model.limits import GroupLimits, Limits
from jobqueue.model.links import Need
from jobqueue.model.outcome import Completed, Failed
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.groups import fill, grouped
from jobqueue.testing.contract.limits import ids, limit, look
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, order, put, settle

OTHER = "mail"


class ArrivalContract:
    """What waits for others, flows, schedules, retries by hand; in turns, under limits, and never refused."""

    async def test_a_job_that_has_waited_for_another_joins_its_group(self, backend: Backend) -> None:
        await put(backend, "first")
        await backend.enqueue(QUEUE, [replace(grouped("a0", "a"), needs=(Need(QUEUE, "first"),))])
        assert (await backend.group(QUEUE, "a")).waiting == 0
        (lease,) = await claim(backend)
        await fill(backend, "b", 2)
        await settle(backend, lease, Completed())
        assert (await backend.group(QUEUE, "a")).waiting == 1
        assert ids(await look(backend)) == ["b0", "a0", "b1"]

    async def test_so_it_does_where_nobody_has_had_a_group_before(self, backend: Backend, clock: ManualClock) -> None:
        await limit(backend, Limits(groups=GroupLimits(concurrency=1)))
        await put(backend, "first")
        need = (Need(QUEUE, "first"),)
        await backend.enqueue(
            QUEUE, [replace(grouped(f"a{number}", "a", delay_ms=500 * (number % 2)), needs=need) for number in range(3)]
        )
        (lease,) = await claim(backend)
        await settle(backend, lease, Completed())
        await clock.advance(seconds=1)
        assert ids(await look(backend)) == ["a0"]
        assert (await backend.group(QUEUE, "a")).waiting == 2

    async def test_jobs_of_a_flow_keep_their_groups(self, backend: Backend) -> None:
        await limit(backend, Limits(groups=GroupLimits(concurrency=1)))
        members = [
            FlowMember(queue, grouped(f"{group}{number}", group))
            for queue in (QUEUE, OTHER)
            for group in "ab"
            for number in range(2)
        ]
        assert await backend.submit(QUEUE, NewFlow("flow", members))
        while await backend.deliver(QUEUE):
            pass
        assert [(group.name, group.waiting) for group in await backend.groups(OTHER)] == [("a", 2), ("b", 2)]
        page = await look(backend)
        assert [(lease.id, lease.group) for lease in page.leases] == [("a0", "a"), ("b0", "b")]

    async def test_a_flow_is_not_refused_where_there_is_no_room(self, backend: Backend) -> None:
        await limit(backend, Limits(max_waiting=1, groups=GroupLimits(max_waiting=1)))
        assert await backend.submit(QUEUE, NewFlow("flow", [FlowMember(QUEUE, grouped(name, "a")) for name in "abc"]))
        while await backend.deliver(QUEUE):
            pass
        assert await order(backend) == ["a", "b", "c"]
        # It takes room all the same.
        with pytest.raises(QueueFull):
            await put(backend, "x")

    async def test_a_schedule_s_job_joins_its_group_and_is_not_refused(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await limit(backend, Limits(max_waiting=1, groups=GroupLimits(concurrency=1, max_waiting=1)))
        now = clock.now_ms()
        await backend.write_schedule(
            QUEUE, ScheduleChange("nightly", "", None, "r1", b"{}", b"[]", now, now, anchor_ms=now)
        )
        jobs = tuple(grouped(name, "a") for name in "xyz")
        assert await backend.fire_schedules(QUEUE, [Firing("nightly", "r1", now, jobs, None, None)]) == [3]
        assert (await backend.group(QUEUE, "a")).waiting == 3
        assert ids(await look(backend)) == ["x"]

    async def test_retried_by_hand_a_job_waits_for_a_place_in_its_group_and_is_not_refused(
        self, backend: Backend
    ) -> None:
        await fill(backend, "a", 2)
        first, second = await claim(backend, 2)
        await settle(backend, first, Failed(ERROR))
        await limit(backend, Limits(max_waiting=0, groups=GroupLimits(concurrency=1)))
        assert await backend.amend(QUEUE, "a0", Retry()) is JobState.WAITING
        assert ids(await look(backend)) == []
        await settle(backend, second, Completed())
        assert ids(await look(backend)) == ["a0"]

    async def test_types_hold_for_them_too(self, backend: Backend) -> None:
        await limit(backend, Limits(types={"t": 1}))
        members = [FlowMember(QUEUE, NewRecord(name, "t", b"1")) for name in "abc"]
        assert await backend.submit(QUEUE, NewFlow("flow", members))
        while await backend.deliver(QUEUE):
            pass
        (lease,) = (await look(backend)).leases
        await settle(backend, lease, Completed())
        assert ids(await look(backend)) == ["b"]
