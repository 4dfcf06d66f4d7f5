"""Leases: extended, lost, recovered; and who is alive."""

from __future__ import annotations

from itertools import count

from jobqueue.backends.protocol import (
    Backend,
    Begun,
    Cancel,
    Checkpoint,
    Exchange,
    LogLines,
    Presence,
    Progress,
    Upkeep,
)
from jobqueue.model.outcome import Completed, Released
from jobqueue.model.record import JobRecord, JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import QUEUE, claim, order, put, settle, state

_sequence = count(1)


async def lose_worker(backend: Backend, clock: ManualClock, *, times: int) -> None:
    """Claim all that waits and let the leases run out, so often."""
    for _ in range(times):
        await claim(backend, 10, lease_ms=1000)
        await clock.advance(seconds=1)
        await backend.upkeep(QUEUE, Upkeep())


async def reserve(backend: Backend) -> list[JobRecord]:
    """Claim a job, which begins only once this is said if it is a suspect."""
    request = Exchange("w 7", "w 7/0", next(_sequence), claim=1, lease_ms=1000, reserve=True)
    return (await backend.exchange(QUEUE, request)).leases


class LeaseContract:
    """``extend``, ``upkeep``, ``annotate``, ``orders`` and the registry of workers."""

    async def test_a_claimed_job_is_active_until_its_deadline(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await claim(backend, lease_ms=1000)
        await clock.advance(seconds=0.999)
        assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ()
        await clock.advance(seconds=0.001)
        assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ("a",)
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.stalls, record.failures) == (JobState.WAITING, 1, 0)

    async def test_extending_moves_the_deadline(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend, lease_ms=1000)
        await clock.advance(seconds=0.9)
        await backend.extend(QUEUE, "w", [("a", lease.token or 0)], 1000)
        await clock.advance(seconds=0.9)
        assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ()

    async def test_a_lost_lease_stays_lost(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend, lease_ms=1000)
        await clock.advance(seconds=1)
        await backend.upkeep(QUEUE, Upkeep())
        extension = await backend.extend(QUEUE, "w", [("a", lease.token or 0)], 1000)
        assert extension.lost == {"a"}
        assert await state(backend, "a") is JobState.WAITING

    async def test_recovered_jobs_go_to_the_front_as_they_were_claimed(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await put(backend, "z", "b", "m", "later")
        await claim(backend, 3, lease_ms=1000)
        await clock.advance(seconds=1)
        await backend.upkeep(QUEUE, Upkeep())
        assert await order(backend) == ["z", "b", "m", "later"]

    async def test_a_job_that_takes_its_workers_down_is_failed(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        starts, poisoned = 0, tuple[str, ...]()
        while await state(backend, "a") is JobState.WAITING:
            starts += len(await claim(backend, lease_ms=1000))
            await clock.advance(seconds=1)
            poisoned = (await backend.upkeep(QUEUE, Upkeep(max_stalls=3))).poisoned
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert record.error is not None
        assert (starts, poisoned) == (3, ("a",))
        assert (record.state, record.stalls, record.error.type) == (JobState.FAILED, 3, "WorkerLost")

    async def test_of_jobs_that_have_cost_workers_no_more_are_given_out_than_asked_for(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await put(backend, "a", "b", "c")
        await lose_worker(backend, clock, times=2)
        await put(backend, "new")
        page = await backend.exchange(QUEUE, Exchange("x", "x/0", 1, claim=4, suspects=1))
        assert [lease.id for lease in page.leases] == ["a", "new"]
        assert page.more
        assert await order(backend) == ["b", "c"]
        assert (await backend.exchange(QUEUE, Exchange("x", "x/0", 2, claim=4, suspects=0))).leases == []
        assert await order(backend) == ["b", "c"]
        page = await backend.exchange(QUEUE, Exchange("y", "y/0", 1, claim=4, suspects=2))
        assert [lease.id for lease in page.leases] == ["b", "c"]

    async def test_a_reserved_suspect_is_not_to_blame_before_it_has_begun(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await put(backend, "a")
        await lose_worker(backend, clock, times=2)
        for _ in range(3):
            (lease,) = await reserve(backend)
            await clock.advance(seconds=1)
            assert (await backend.upkeep(QUEUE, Upkeep())).recovered == ("a",)
            assert not await backend.annotate(QUEUE, "a", lease.token or 0, Begun())
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.stalls) == (JobState.WAITING, 2)
        (lease,) = await reserve(backend)
        assert await backend.annotate(QUEUE, "a", lease.token or 0, Begun())
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).poisoned == ("a",)

    async def test_a_reserved_suspect_is_its_workers_like_any_job(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await lose_worker(backend, clock, times=2)
        (lease,) = await reserve(backend)
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.state, record.worker, record.token) == (JobState.ACTIVE, "w 7", lease.token)
        await backend.amend(QUEUE, "a", Cancel("not now"))
        (order_,) = await backend.orders(QUEUE, "w 7", 5)
        assert (order_.job_id, order_.reason) == ("a", "not now")
        await settle(backend, lease, Released("alone"))
        assert await state(backend, "a") is JobState.CANCELLED

    async def test_only_suspects_are_reserved_and_only_for_this_lease(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await put(backend, "a")
        for stalls in range(2):
            (lease,) = await reserve(backend)
            assert lease.stalls == stalls
            await clock.advance(seconds=1)
            await backend.upkeep(QUEUE, Upkeep())
        (lease,) = await reserve(backend)
        assert lease.stalls == 2
        await settle(backend, lease, Released("later"))
        await claim(backend, lease_ms=1000)
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).poisoned == ("a",)

    async def test_jobs_that_have_cost_one_worker_run_as_ever(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a", "b")
        await lose_worker(backend, clock, times=1)
        assert [lease.id for lease in await claim(backend, 2)] == ["a", "b"]

    async def test_a_wish_to_cancel_outlives_the_worker(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await claim(backend, lease_ms=1000)
        await backend.amend(QUEUE, "a", Cancel("stop"))
        await clock.advance(seconds=1)
        assert (await backend.upkeep(QUEUE, Upkeep())).cancelled == ("a",)
        assert await state(backend, "a") is JobState.CANCELLED

    async def test_cancelling_an_active_job_orders_its_worker(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend, worker="w7")
        await backend.amend(QUEUE, "a", Cancel("not now"))
        (order_,) = await backend.orders(QUEUE, "w7", 5)
        assert (order_.job_id, order_.reason) == ("a", "not now")
        assert await backend.orders(QUEUE, "w7", 0.01) == []
        extension = await backend.extend(QUEUE, "w7", [("a", lease.token or 0)], 1000)
        assert extension.cancels == {"a": "not now"}

    async def test_a_running_job_may_write_about_itself(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        token = lease.token or 0
        assert await backend.annotate(QUEUE, "a", token, Progress(b"50"))
        assert await backend.annotate(QUEUE, "a", token, Checkpoint(b'{"page":2}'))
        assert await backend.annotate(QUEUE, "a", token, LogLines((b"{}",)))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert (record.progress, record.checkpoint) == (b"50", b'{"page":2}')
        assert await backend.logs(QUEUE, "a") == [b"{}"]

    async def test_without_its_lease_it_may_not(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await settle(backend, lease, Released("shutdown"))
        assert not await backend.annotate(QUEUE, "a", lease.token or 0, Progress(b"50"))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert record.progress is None

    async def test_a_checkpoint_is_there_in_the_next_attempt(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await backend.annotate(QUEUE, "a", lease.token or 0, Checkpoint(b"7"))
        await settle(backend, lease, Released("shutdown"))
        (again,) = await claim(backend)
        assert again.checkpoint == b"7"

    async def test_workers_are_listed_while_they_are_heard_of(self, backend: Backend, clock: ManualClock) -> None:
        presence = Presence("w1", "host", 42, slots=10, busy=3, started_ms=clock.now_ms(), name="mail")
        await backend.upkeep(QUEUE, Upkeep(presence=presence, presence_ms=20_000))
        (found,) = await backend.workers(QUEUE)
        assert (found.worker, found.slots, found.busy, found.name) == ("w1", 10, 3, "mail")
        assert found.last_seen_ms == clock.now_ms()
        await clock.advance(seconds=21)
        await backend.upkeep(QUEUE, Upkeep(presence_ms=20_000))
        assert await backend.workers(QUEUE) == []

    async def test_a_worker_that_leaves_is_forgotten_at_once(self, backend: Backend) -> None:
        await backend.upkeep(QUEUE, Upkeep(presence=Presence("w1", "host", 42, slots=1, busy=0, started_ms=0)))
        await backend.leave(QUEUE, "w1")
        assert await backend.workers(QUEUE) == []

    async def test_leaving_does_not_give_leases_up(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await backend.leave(QUEUE, "w")
        assert (await settle(backend, lease, Completed())).refused == frozenset()
