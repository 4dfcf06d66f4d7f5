"""Jobs come in, and wait in the right order."""

from __future__ import annotations

from jobqueue.backends.protocol import Backend, Exchange, NewRecord
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import QUEUE, claim, job, order, put, state


class EnqueueingContract:
    """``enqueue``, and the order in which ``exchange`` gives out."""

    async def test_a_new_job_waits(self, backend: Backend, clock: ManualClock) -> None:
        (answer,) = await backend.enqueue(QUEUE, [job("a", data=b'{"n":1}')])
        assert answer.created
        assert answer.record.state is JobState.WAITING
        assert await backend.get(QUEUE, "a") == answer.record
        assert answer.record.created_ms == clock.now_ms()
        assert (answer.record.data, answer.record.priority) == (b'{"n":1}', 3)

    async def test_answers_come_in_input_order(self, backend: Backend) -> None:
        answers = await backend.enqueue(QUEUE, [job("b", priority=9), job("a", delay_ms=5), job("c")])
        assert [answer.record.id for answer in answers] == ["b", "a", "c"]

    async def test_a_taken_id_is_left_as_it_is(self, backend: Backend) -> None:
        await put(backend, "a")
        (answer,) = await backend.enqueue(QUEUE, [job("a", priority=1, data=b"2")])
        assert not answer.created
        assert (answer.record.data, answer.record.priority) == (b"1", 3)
        assert await order(backend) == ["a"]

    async def test_an_id_is_taken_in_every_state(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [job("delayed", delay_ms=9)])
        await put(backend, "active")
        await claim(backend)
        answers = await backend.enqueue(QUEUE, [job("delayed"), job("active")])
        assert [(answer.created, answer.record.state) for answer in answers] == [
            (False, JobState.DELAYED),
            (False, JobState.ACTIVE),
        ]

    async def test_an_id_that_stands_twice_is_written_once(self, backend: Backend) -> None:
        first, second = await backend.enqueue(QUEUE, [job("a", data=b"1"), job("a", data=b"2")])
        assert (first.created, second.created) == (True, False)
        assert second.record.data == b"1"

    async def test_first_in_first_out_exactly(self, backend: Backend) -> None:
        ids = [f"{number * 7919 % 3000:04}" for number in range(3000)]
        for start in range(0, 3000, 1000):
            await backend.enqueue(QUEUE, [job(job_id) for job_id in ids[start : start + 1000]])
        out = [lease.id for _ in range(6) for lease in await claim(backend, 500)]
        assert out == ids

    async def test_lower_priorities_go_first_and_keep_their_order(self, backend: Backend) -> None:
        await backend.enqueue(
            QUEUE,
            [
                job("last", priority=2_097_151),
                job("b1", priority=2),
                job("first", priority=0),
                job("b2", priority=2),
                job("a", priority=1),
            ],
        )
        assert [lease.id for lease in await claim(backend, 9)] == ["first", "a", "b1", "b2", "last"]

    async def test_lifo_goes_to_the_front_of_its_priority(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [job("old"), job("urgent", priority=1)])
        await backend.enqueue(QUEUE, [job("x", lifo=True), job("y", lifo=True)])
        assert await order(backend) == ["urgent", "y", "x", "old"]

    async def test_a_delayed_job_waits_when_it_is_due(self, backend: Backend, clock: ManualClock) -> None:
        (answer,) = await backend.enqueue(QUEUE, [job("a", delay_ms=2000)])
        assert (answer.record.state, answer.record.run_at_ms) == (JobState.DELAYED, clock.now_ms() + 2000)
        page = await backend.exchange(QUEUE, Exchange("w", "w/0", 10_001, claim=1))
        assert (page.leases, page.look_again_ms) == ([], clock.now_ms() + 2000)
        await clock.advance(seconds=1.999)
        assert await claim(backend) == []
        await clock.advance(seconds=0.001)
        (lease,) = await claim(backend)
        assert (lease.id, lease.run_at_ms) == ("a", None)

    async def test_a_moment_that_has_passed_is_now(self, backend: Backend, clock: ManualClock) -> None:
        record = NewRecord("a", "t", b"1", run_at_ms=clock.now_ms() - 1)
        assert (await backend.enqueue(QUEUE, [record]))[0].record.state is JobState.WAITING

    async def test_jobs_due_at_one_moment_keep_their_order(self, backend: Backend, clock: ManualClock) -> None:
        ids = [f"{number * 37 % 100:02}" for number in range(100)]
        await backend.enqueue(QUEUE, [job(job_id, delay_ms=500) for job_id in ids[:50]])
        await backend.enqueue(QUEUE, [job(job_id, delay_ms=500) for job_id in ids[50:]])
        assert await order(backend, JobState.DELAYED) == ids
        await clock.advance(seconds=1)
        assert [lease.id for lease in await claim(backend, 100)] == ids

    async def test_a_job_that_expired_is_failed_instead_of_claimed(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b"1", expires_in_ms=1000), job("b")])
        await clock.advance(seconds=1)
        assert [lease.id for lease in await claim(backend)] == ["b"]
        found = await backend.get(QUEUE, "a")
        assert found is not None
        assert found.error is not None
        assert (found.state, found.error.type, found.failures) == (JobState.FAILED, "Expired", 0)

    async def test_queues_do_not_see_each_other(self, backend: Backend) -> None:
        await put(backend, "a", queue="one")
        await put(backend, "a", queue="two")
        assert await state(backend, "a") is None
        assert await backend.queues() == ["one", "two"]

    async def test_counts_and_age(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "a")
        await clock.advance(seconds=3)
        await backend.enqueue(QUEUE, [job("b", priority=1), job("c", delay_ms=9000)])
        status = await backend.status(QUEUE)
        assert (status.counts[JobState.WAITING], status.counts[JobState.DELAYED]) == (2, 1)
        assert (status.oldest_ms, status.paused) == (3000, False)

    async def test_waiting_wakes_for_a_new_job(self, backend: Backend) -> None:
        assert not await backend.wait(QUEUE, 0.01)
        await put(backend, "a")
        assert await backend.wait(QUEUE, 5)
        assert not await backend.wait(QUEUE, 0.01), "one marker wakes one worker"

    async def test_an_exchange_that_leaves_jobs_wakes_the_next_worker(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        assert await backend.wait(QUEUE, 5)
        await claim(backend, 1)
        assert await backend.wait(QUEUE, 5)
        await claim(backend, 1)
        assert not await backend.wait(QUEUE, 0.01)
