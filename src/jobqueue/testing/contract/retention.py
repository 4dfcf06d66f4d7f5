"""Finished jobs are kept by count and by age; undone ones for ever."""

from __future__ import annotations

from jobqueue.backends.protocol import Backend, NewRecord, Upkeep
from jobqueue.model.outcome import Completed, Failed, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, order, put, run, state


class RetentionContract:
    """``Retention``, and what upkeep does about it."""

    async def test_the_newest_so_many_are_kept(self, backend: Backend) -> None:
        for job_id in "abcde":
            await run(backend, job_id, Completed(keep=Retention(count=3)))
        assert await order(backend, JobState.COMPLETED) == ["c", "d", "e"]
        assert await state(backend, "a") is None

    async def test_none_keeps_all(self, backend: Backend) -> None:
        for number in range(120):
            await run(backend, str(number), Failed(ERROR))
        assert (await backend.status(QUEUE)).counts[JobState.FAILED] == 120

    async def test_zero_drops_this_job_and_no_other(self, backend: Backend) -> None:
        await run(backend, "kept", Completed(keep=Retention(count=100)))
        await run(backend, "dropped", Completed(keep=Retention(count=0)))
        assert await order(backend, JobState.COMPLETED) == ["kept"]

    async def test_age_is_enforced_without_traffic(self, backend: Backend, clock: ManualClock) -> None:
        await run(backend, "a", Completed(keep=Retention(age_ms=5000)))
        await clock.advance(seconds=4.999)
        assert (await backend.upkeep(QUEUE, Upkeep())).removed == 0
        await clock.advance(seconds=0.001)
        assert (await backend.upkeep(QUEUE, Upkeep())).removed == 1
        assert await state(backend, "a") is None

    async def test_an_id_used_again_is_not_dropped_for_its_first_life(
        self, backend: Backend, clock: ManualClock
    ) -> None:
        await run(backend, "a", Completed(keep=Retention(count=1, age_ms=5000)))
        await run(backend, "b", Completed(keep=Retention(count=1)))
        await put(backend, "a")
        await clock.advance(seconds=6)
        await backend.upkeep(QUEUE, Upkeep())
        assert await state(backend, "a") is JobState.WAITING

    async def test_undone_work_has_no_age(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await clock.advance(days=400)
        await backend.upkeep(QUEUE, Upkeep())
        assert await state(backend, "a") is JobState.WAITING

    async def test_a_job_that_nobody_starts_in_time_is_failed(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b"1", expires_in_ms=1000)])
        await backend.enqueue(QUEUE, [NewRecord("b", "t", b"1", expires_in_ms=1000, delay_ms=9000)])
        await clock.advance(seconds=1)
        assert set((await backend.upkeep(QUEUE, Upkeep())).expired) == {"a", "b"}
        assert await state(backend, "b") is JobState.FAILED
