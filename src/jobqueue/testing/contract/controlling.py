"""What a person may do to a whole queue."""

from __future__ import annotations

import pytest

from jobqueue.backends.protocol import (
    Backend,
    Clean,
    Obliterate,
    Pause,
    Presence,
    Purge,
    Resume,
    RetryFailed,
    Upkeep,
)
from jobqueue.errors import InvalidState
from jobqueue.model.outcome import Completed, Failed, Released, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, order, put, run, settle, state


class ControllingContract:
    """``control``, ``find`` and ``status``."""

    async def test_a_paused_queue_gives_nothing_out(self, backend: Backend) -> None:
        await put(backend, "a")
        await backend.control(QUEUE, Pause())
        assert (await backend.status(QUEUE)).paused
        assert await claim(backend) == []
        await backend.control(QUEUE, Resume())
        assert [lease.id for lease in await claim(backend)] == ["a"]

    async def test_resuming_wakes_a_worker(self, backend: Backend) -> None:
        await backend.control(QUEUE, Pause())
        await put(backend, "a")
        assert not await backend.wait(QUEUE, 0.01)
        await backend.control(QUEUE, Resume())
        assert await backend.wait(QUEUE, 5)

    async def test_resuming_ends_a_hold(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        (lease,) = await claim(backend)
        page = await settle(backend, lease, Released("rate limited", hold_queue_ms=3_600_000))
        assert page.look_again_ms is not None
        assert await claim(backend, 2) == []
        await backend.wait(QUEUE, 0.01)
        await backend.control(QUEUE, Resume())
        assert await backend.wait(QUEUE, 5)
        assert [lease.id for lease in await claim(backend, 2)] == ["a", "b"]

    async def test_a_paused_queue_takes_settlements_and_promotes(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await backend.enqueue(QUEUE, [job("b", delay_ms=500)])
        (lease,) = await claim(backend)
        await backend.control(QUEUE, Pause())
        await clock.advance(seconds=1)
        await settle(backend, lease, Completed())
        assert [await state(backend, job_id) for job_id in "ab"] == [JobState.COMPLETED, JobState.WAITING]

    async def test_purge(self, backend: Backend) -> None:
        await put(backend, "active")
        await claim(backend)
        await put(backend, "a", "b")
        await backend.enqueue(QUEUE, [job("later", delay_ms=500)])
        assert await backend.control(QUEUE, Purge()) == ["a", "b"]
        assert await state(backend, "later") is JobState.DELAYED
        assert await backend.control(QUEUE, Purge(delayed=True)) == ["later"]
        assert await state(backend, "active") is JobState.ACTIVE

    async def test_clean_takes_the_oldest_that_are_old_enough(self, backend: Backend, clock: ManualClock) -> None:
        for job_id in "abc":
            await run(backend, job_id, Failed(ERROR))
            await clock.advance(seconds=1)
        assert await backend.control(QUEUE, Clean(JobState.FAILED, older_than_ms=2000, limit=9)) == ["a", "b"]
        assert await backend.control(QUEUE, Clean(JobState.FAILED, limit=1)) == ["c"]

    async def test_clean_of_more_than_a_batch(self, backend: Backend) -> None:
        for start in range(0, 2500, 500):
            await backend.enqueue(QUEUE, [job(str(number)) for number in range(start, start + 500)])
        assert len(await backend.control(QUEUE, Clean(JobState.WAITING, limit=2200))) == 2200
        assert (await backend.status(QUEUE)).counts[JobState.WAITING] == 300

    async def test_retry_failed(self, backend: Backend) -> None:
        for job_id in "abc":
            await run(backend, job_id, Failed(ERROR))
        assert await backend.control(QUEUE, RetryFailed(2)) == ["a", "b"]
        assert await order(backend) == ["a", "b"]

    async def test_obliterate_leaves_nothing(self, backend: Backend) -> None:
        await run(backend, "done", Completed())
        await run(backend, "dead", Failed(ERROR, Retention(age_ms=1000), "dead-letter"))
        await put(backend, "a")
        await backend.enqueue(QUEUE, [job("b", delay_ms=500)])
        await backend.upkeep(QUEUE, Upkeep(presence=Presence("w", "h", 1, 1, 0, 0)))
        await backend.control(QUEUE, Obliterate())
        assert not any((await backend.status(QUEUE)).counts.values())
        assert await backend.queues() == []
        assert await backend.workers(QUEUE) == []
        assert (await backend.events(QUEUE, "0", 0)).events == ()

    async def test_obliterate_spares_running_jobs_unless_forced(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        with pytest.raises(InvalidState):
            await backend.control(QUEUE, Obliterate())
        assert await state(backend, "a") is JobState.ACTIVE
        await backend.control(QUEUE, Obliterate(force=True))
        assert (await settle(backend, lease, Completed())).refused == {"a"}
        assert await state(backend, "a") is None

    async def test_find_pages_in_both_directions(self, backend: Backend) -> None:
        await put(backend, *"abcde")
        found = await backend.find(QUEUE, JobState.WAITING, limit=2, offset=1)
        assert [record.id for record in found] == ["b", "c"]
        found = await backend.find(QUEUE, JobState.WAITING, limit=2, newest=True)
        assert [record.id for record in found] == ["e", "d"]

    async def test_finished_jobs_are_found_in_the_order_they_finished(self, backend: Backend) -> None:
        await put(backend, "z", "a", "m")
        leases = await claim(backend, 3)
        for lease in reversed(leases):
            await settle(backend, lease, Completed())
        assert await order(backend, JobState.COMPLETED) == ["m", "a", "z"]
