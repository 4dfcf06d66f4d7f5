"""A job that fails for good leaves a letter, once."""

from __future__ import annotations

from jobqueue.backends.protocol import Backend, NewRecord, Remove, Upkeep
from jobqueue.model.letter import DeadLetter
from jobqueue.model.outcome import Completed, Failed
from jobqueue.model.record import JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, run, settle

DEAD = "dead-letter"


class DeadLetterContract:
    """The outbox and ``deliver``."""

    async def test_the_letter_says_what_is_known(self, backend: Backend, clock: ManualClock) -> None:
        await backend.enqueue(QUEUE, [job("a", priority=2, data=b'{"n":1}')])
        (lease,) = await claim(backend)
        await clock.advance(seconds=1)
        assert (await settle(backend, lease, Failed(ERROR, dead_letter=DEAD))).outbox
        assert await backend.deliver(QUEUE) == 1
        (record,) = await backend.find(DEAD, JobState.WAITING)
        letter = DeadLetter.model_validate_json(record.data)
        assert record.id == f"{QUEUE}/a/{clock.now_ms()}"
        assert (letter.origin, letter.job_id, letter.type, letter.data) == (QUEUE, "a", "ticket.created", {"n": 1})
        assert (letter.error, letter.attempts, letter.priority) == (ERROR, 1, 2)
        assert (letter.failed_at - letter.created_at).total_seconds() == 1

    async def test_the_job_stays_failed_where_it_was(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR, dead_letter=DEAD))
        await backend.deliver(QUEUE)
        assert (await backend.status(QUEUE)).counts[JobState.FAILED] == 1

    async def test_a_letter_is_delivered_once(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR, dead_letter=DEAD))
        assert await backend.deliver(QUEUE) == 1
        assert await backend.deliver(QUEUE) == 0
        (letter,) = await backend.find(DEAD, JobState.WAITING)
        await backend.amend(DEAD, letter.id, Remove())
        await backend.deliver(QUEUE)
        assert await backend.find(DEAD, JobState.WAITING) == []

    async def test_a_letter_outlives_its_settler(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR, dead_letter=DEAD))
        assert (await backend.upkeep(QUEUE, Upkeep())).outbox, "any worker's upkeep sees what is left to deliver"

    async def test_lost_workers_and_expired_jobs_leave_letters(self, backend: Backend, clock: ManualClock) -> None:
        await put(backend, "poison")
        await claim(backend, lease_ms=1000)
        await backend.enqueue(QUEUE, [NewRecord("stale", "t", b"1", expires_in_ms=1000)])
        await clock.advance(seconds=1)
        report = await backend.upkeep(QUEUE, Upkeep(max_stalls=1, dead_letter=DEAD))
        assert report.outbox
        assert await backend.deliver(QUEUE) == 2
        letters = [DeadLetter.model_validate_json(record.data) for record in await backend.find(DEAD, JobState.WAITING)]
        assert {letter.job_id: letter.error.type for letter in letters} == {
            "poison": "WorkerLost",
            "stale": "Expired",
        }

    async def test_no_letter_where_none_is_wanted(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR))
        await run(backend, "b", Failed(ERROR, dead_letter=QUEUE))
        await run(backend, "c", Completed())
        assert await backend.deliver(QUEUE) == 0
