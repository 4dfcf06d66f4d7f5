"""Groups of jobs, served in turns."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from jobqueue.backends.operations import PauseGroup, SetGroupLimits
from jobqueue.backends.protocol import (
    Backend,
    Cancel,
    NewRecord,
    Obliterate,
    Promote,
    Remove,
    Reprioritize,
    Retry,
    Upkeep,
)
from jobqueue.model.limits import GroupLimits, GroupStatus, Rate
from jobqueue.model.outcome import Completed, Failed, Released, RetryAt
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.limits import ids, look
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, order, put, settle


def grouped(job_id: str, group: str, **wishes: int) -> NewRecord:
    """A job of a group."""
    return NewRecord(job_id, "ticket.created", b"1", group=group, **wishes)  # pyright: ignore[reportArgumentType]


async def fill(backend: Backend, group: str, count: int) -> None:
    """Jobs ``<group>0``, ``<group>1``, … of a group."""
    await backend.enqueue(QUEUE, [grouped(f"{group}{number}", group) for number in range(count)])


async def limit_group(backend: Backend, group: str, limits: GroupLimits) -> None:
    """Put all that may be set for a group."""
    names = frozenset({"rate", "concurrency", "max_waiting", "weight"})
    await backend.control(QUEUE, SetGroupLimits(group, limits, names))


class GroupContract:
    """Turns and weights; and that a group without jobs leaves nothing."""

    async def test_a_job_knows_its_group(self, backend: Backend) -> None:
        (answer,) = await backend.enqueue(QUEUE, [grouped("a", "landlord-7")])
        assert answer.record.group == "landlord-7"
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert record.group == "landlord-7"
        (lease,) = await claim(backend)
        assert lease.group == "landlord-7"

    # Turns.

    async def test_groups_take_turns(self, backend: Backend) -> None:
        await fill(backend, "a", 4)
        await fill(backend, "b", 2)
        await fill(backend, "c", 1)
        assert sorted(ids(await look(backend, 3))) == ["a0", "b0", "c0"]
        assert ids(await look(backend, 4)) == ["a1", "b1", "a2", "a3"]

    async def test_ungrouped_jobs_take_their_turn_as_a_group_of_their_own(self, backend: Backend) -> None:
        await put(backend, "x0", "x1", "x2")
        await fill(backend, "a", 3)
        claimed = [job_id for _ in range(6) for job_id in ids(await look(backend, 1))]
        assert sorted(claimed[:2]) == ["a0", "x0"]
        assert sorted(claimed[2:4]) == ["a1", "x1"]

    async def test_turns_are_strict_from_the_first(self, backend: Backend) -> None:
        for group in ("a", "b", "c"):
            await fill(backend, group, 3)
        served = [job_id for _ in range(9) for job_id in ids(await look(backend, 1))]
        assert served == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]

    async def test_turns_in_large_batches(self, backend: Backend) -> None:
        sizes = {f"g{number:02}-": 1 + number % 7 for number in range(30)}
        for group, size in sizes.items():
            await fill(backend, group, size)
        await put(backend, *(f"plain{number}" for number in range(5)))
        left = Counter(sizes) + Counter({"": 5})
        served: list[str] = []
        while left:
            page = await look(backend, 37)
            assert len(page.leases) == min(37, left.total())
            left -= Counter(lease.group for lease in page.leases)
            served += [lease.id for lease in page.leases]
            status = {one.name: (one.waiting, one.active) for one in await backend.groups(QUEUE)}
            assert status == {group: (count, sizes[group] - count) for group, count in left.items() if group}
        for turn in range(7):
            whose = sorted(f"{group or 'plain'}{turn}" for group, size in (sizes | {"": 5}).items() if turn < size)
            assert sorted(served[: len(whose)]) == whose
            del served[: len(whose)]

    async def test_thousands_of_groups_whose_jobs_have_expired_are_passed_over(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        for start in range(0, 8_500, 500):
            jobs = [grouped(f"old{start + n}", f"g{start + n}", expires_in_ms=1000) for n in range(500)]
            await backend.enqueue(QUEUE, jobs)
        for start in range(0, 5_000, 500):
            await backend.enqueue(QUEUE, [grouped(f"live{start + n}", f"g{start + n}") for n in range(500)])
        await clock.advance(seconds=2)
        served: list[str] = []
        while page := ids(await look(backend, 500)):
            served += page
        assert sorted(served) == sorted(f"live{number}" for number in range(5_000))

    async def test_a_group_that_is_new_waits_for_one_round(self, backend: Backend) -> None:
        for number in range(10):
            await fill(backend, f"g{number}-", 4)
        await look(backend, 14)
        await fill(backend, "new", 1)
        assert "new0" in [job_id for _ in range(11) for job_id in ids(await look(backend, 1))]

    async def test_a_group_with_one_job_at_a_time_gets_its_share(self, backend: Backend) -> None:
        for group in ("a", "b", "c"):
            await fill(backend, group, 20)
        await fill(backend, "x", 1)
        served: list[str] = []
        for number in range(24):
            (lease,) = (await look(backend, 1)).leases
            served.append(lease.group)
            await settle(backend, lease, Completed())
            if lease.group == "x":
                await backend.enqueue(QUEUE, [grouped(f"x-{number}", "x")])
        assert 5 <= served.count("x") <= 7

    async def test_a_large_group_starves_nobody(self, backend: Backend) -> None:
        for start in range(0, 10_000, 1000):
            await backend.enqueue(QUEUE, [grouped(f"big{start + number}", "big") for number in range(1000)])
        for number in range(10):
            await fill(backend, f"small-{number}-", 3)
        groups = [lease.group for _ in range(5) for lease in (await look(backend, 11)).leases]
        counted = Counter(groups)
        assert all(counted[f"small-{number}-"] == 3 for number in range(10))
        # While the others have jobs, it gets no more than its share.
        assert Counter(groups[:33])["big"] <= 4

    async def test_a_group_that_comes_again_and_again_starves_nobody(self, backend: Backend) -> None:
        await fill(backend, "b", 20)
        served: list[str] = []
        for number in range(20):
            await backend.enqueue(QUEUE, [grouped(f"guest{number}", "a-guest")])
            for lease in (await look(backend, 1)).leases:
                served.append(lease.group)
                await settle(backend, lease, Completed())
        assert 8 <= served.count("b") <= 12
        assert not any(one == other == "a-guest" for one, other in pairwise(served[2:-1]))

    async def test_weights(self, backend: Backend) -> None:
        await limit_group(backend, "a", GroupLimits(weight=3))
        await fill(backend, "a", 40)
        await fill(backend, "b", 40)
        claimed = Counter([lease.group for _ in range(10) for lease in (await look(backend, 4)).leases])
        assert 28 <= claimed["a"] <= 32
        assert claimed["a"] + claimed["b"] == 40

    async def test_priority_and_age_within_a_group(self, backend: Backend) -> None:
        await backend.enqueue(
            QUEUE,
            [
                grouped("low", "a", priority=9),
                grouped("first", "a"),
                grouped("second", "a"),
                NewRecord("front", "ticket.created", b"1", group="a", lifo=True),
                grouped("urgent", "a", priority=1),
            ],
        )
        expected = ["urgent", "front", "first", "second", "low"]
        assert await order(backend) == expected
        assert [job_id for _ in range(5) for job_id in ids(await look(backend, 1))] == expected

    async def test_released_jobs_go_to_the_front_of_their_group(self, backend: Backend) -> None:
        await fill(backend, "a", 3)
        (lease,) = await claim(backend)
        await settle(backend, lease, Released("shutdown"))
        assert ids(await look(backend, 2)) == ["a0", "a1"]

    async def test_recovered_jobs_go_to_the_front_of_their_group(self, backend: Backend, clock: ManualClock) -> None:
        await fill(backend, "a", 3)
        await claim(backend, 2, lease_ms=1000)
        await clock.advance(seconds=2)
        await backend.upkeep(QUEUE, Upkeep())
        assert ids(await look(backend, 3)) == ["a0", "a1", "a2"]

    async def test_retried_jobs_stay_in_their_group(self, backend: Backend, clock: ManualClock) -> None:
        await fill(backend, "a", 2)
        first, second = await claim(backend, 2)
        await settle(backend, first, RetryAt(1000, ERROR))
        await settle(backend, second, Failed(ERROR))
        await backend.amend(QUEUE, "a1", Retry())
        await clock.advance(seconds=1)
        assert [(lease.id, lease.group) for lease in (await look(backend)).leases] == [("a1", "a"), ("a0", "a")]

    async def test_a_delayed_job_joins_its_group(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [grouped("due", "a", delay_ms=500), grouped("promoted", "a", delay_ms=60_000)])
        assert (await backend.group(QUEUE, "a")).waiting == 0
        await backend.amend(QUEUE, "promoted", Promote())
        await clock.advance(seconds=1)
        await look(backend, 0)
        assert (await backend.group(QUEUE, "a")).waiting == 2

    # Lists.

    async def test_jobs_of_groups_are_waiting_jobs(self, backend: Backend) -> None:
        await put(backend, "x")
        await fill(backend, "a", 2)
        await put(backend, "y")
        await fill(backend, "b", 1)
        assert await order(backend) == ["x", "a0", "a1", "y", "b0"]
        assert await order(backend, newest=True) == ["b0", "y", "a1", "a0", "x"]
        for offset in range(6):
            found = await backend.find(QUEUE, JobState.WAITING, limit=2, offset=offset)
            assert [record.id for record in found] == ["x", "a0", "a1", "y", "b0"][offset : offset + 2]
        assert (await backend.status(QUEUE)).counts[JobState.WAITING] == 5

    async def test_jobs_of_groups_can_be_changed(self, backend: Backend) -> None:
        await fill(backend, "a", 4)
        await backend.amend(QUEUE, "a3", Reprioritize(0))
        await backend.amend(QUEUE, "a0", Cancel("no"))
        await backend.amend(QUEUE, "a1", Remove())
        assert await order(backend) == ["a3", "a2"]
        assert ids(await look(backend)) == ["a3", "a2"]

    async def test_groups_are_listed_by_name(self, backend: Backend) -> None:
        await put(backend, "x")
        for group in ("c", "a", "b"):
            await fill(backend, group, 2)
        await claim(backend, 4)
        assert await backend.groups(QUEUE, limit=2) == [GroupStatus("a", 1, 1), GroupStatus("b", 1, 1)]
        assert await backend.groups(QUEUE, after="b") == [GroupStatus("c", 1, 1)]
        assert await backend.group(QUEUE, "nobody") == GroupStatus("nobody")

    async def test_a_group_without_jobs_leaves_nothing(self, backend: Backend) -> None:
        await fill(backend, "a", 1)
        await fill(backend, "b", 1)
        for lease in await claim(backend, 2):
            await settle(backend, lease, Completed())
        assert await backend.groups(QUEUE) == []

    async def test_obliterate_forgets_groups(self, backend: Backend) -> None:
        await limit_group(backend, "a", GroupLimits(Rate(1, 60), 1, 10, 2))
        await fill(backend, "a", 3)
        await fill(backend, "b", 3)
        await claim(backend, 3)
        await backend.control(QUEUE, PauseGroup("b"))
        assert len(await backend.control(QUEUE, Obliterate(force=True))) == 6
        assert await backend.groups(QUEUE) == []
        await fill(backend, "a", 2)
        assert len(await claim(backend, 5)) == 2

    async def test_many_groups(self, backend: Backend) -> None:
        for start in range(0, 3000, 1000):
            jobs = [grouped(f"j{number}", f"g{number}") for number in range(start, start + 1000)]
            await backend.enqueue(QUEUE, jobs)
        await fill(backend, "late", 5)
        seen: set[str] = set()
        for _ in range(4):
            leases = await claim(backend, 1000)
            groups = {lease.group for lease in leases}
            assert not groups & seen - {"late"}
            seen |= groups
        assert len(seen) == 3001
