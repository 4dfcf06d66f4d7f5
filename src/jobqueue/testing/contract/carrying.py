"""What a job carries comes back as it was put in, byte for byte, wherever it is read."""

from __future__ import annotations

from jobqueue.backends.protocol import (
    Backend,
    Checkpoint,
    LogLines,
    NewRecord,
    Progress,
    Retry,
)
from jobqueue.model.events import EventType
from jobqueue.model.letter import DeadLetter
from jobqueue.model.outcome import Completed, Failed, RetryAt
from jobqueue.model.record import JobError, JobState
from jobqueue.testing.contract.steps import QUEUE, claim, settle

DATA = '{"text":"ä 🎫 \\n\\t\\u0000 <b>", "n":[1.50,null], "data":{"signed":"1"}}'.encode()
OPTIONS = b'{"tags":["vip"],"timeout":5.0}'
OTHER = b'{"signed":"1","key":"k","mac":"","data":1}'
LOUD = JobError("ValueError", "not é\nat all", 'Traceback\n  File "x"\n')
DEAD = "dead-letter"


class CarryingContract:
    """Data, options, results, errors, progress, checkpoints and log lines. What they say is nobody's business."""

    async def test_data_and_options_come_back(self, backend: Backend) -> None:
        asked = [NewRecord("a", "t", DATA, options=OPTIONS), NewRecord("b", "t", DATA), NewRecord("a", "t", OTHER)]
        answers = await backend.enqueue(QUEUE, asked)
        assert (asked[0].data, asked[0].options) == (DATA, OPTIONS), "what was asked for stays as it is"
        kept = await backend.enqueue(QUEUE, [NewRecord("a", "t", OTHER)])
        found = [*await backend.find(QUEUE, JobState.WAITING), await backend.get(QUEUE, "a")]
        leases = await claim(backend, 2)
        for record in (answers[0].record, answers[2].record, kept[0].record, found[0], found[2], leases[0]):
            assert record is not None
            assert (record.data, record.options) == (DATA, OPTIONS)
        for record in (answers[1].record, found[1], leases[1]):
            assert record is not None
            assert (record.data, record.options) == (DATA, b"")

    async def test_results_come_back(self, backend: Backend) -> None:
        results = {"a": DATA, "b": None, "c": OTHER, "d": b'"' + b"x" * 5000 + b'"'}
        await backend.enqueue(QUEUE, [NewRecord(job_id, "t", b"1") for job_id in results])
        for lease in await claim(backend, 4):
            await settle(backend, lease, Completed(results[lease.id]))
        found = {record.id: record.result for record in await backend.find(QUEUE, JobState.COMPLETED)}
        assert found == results
        told = {
            event.job_id: event.detail.encode()
            for event in (await backend.events(QUEUE, "0", 0)).events
            if event.type is EventType.COMPLETED
        }
        assert told == {"a": DATA, "b": b"null", "c": OTHER, "d": b""}

    async def test_errors_come_back_also_to_the_next_attempt(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b"1")])
        (lease,) = await claim(backend)
        await settle(backend, lease, RetryAt(0, LOUD))
        (lease,) = await claim(backend)
        assert lease.error == LOUD
        await settle(backend, lease, Failed(LOUD))
        record = await backend.get(QUEUE, "a")
        assert record is not None
        assert record.error == LOUD

    async def test_notes_come_back(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b"1")])
        (lease,) = await claim(backend)
        token = lease.token or 0
        for note in (Progress(DATA), Checkpoint(OTHER), LogLines((DATA, OTHER))):
            assert await backend.annotate(QUEUE, "a", token, note)
        await settle(backend, lease, RetryAt(0, LOUD), logs=(b"{}",))
        assert await backend.logs(QUEUE, "a") == [DATA, OTHER, b"{}"]
        (again,) = await claim(backend)
        assert (again.progress, again.checkpoint) == (DATA, OTHER)
        told = [event for event in (await backend.events(QUEUE, "0", 0)).events if event.type is EventType.PROGRESS]
        assert [event.detail.encode() for event in told] == [DATA]

    async def test_other_data_for_a_retry_leaves_the_options(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b"1", options=OPTIONS)])
        (lease,) = await claim(backend)
        await settle(backend, lease, Failed(LOUD))
        await backend.amend(QUEUE, "a", Retry(DATA))
        (again,) = await claim(backend)
        assert (again.data, again.options) == (DATA, OPTIONS)

    async def test_a_letter_carries_what_the_job_did(self, backend: Backend) -> None:
        await backend.enqueue(QUEUE, [NewRecord("a", "t", b'{"n":1}', options=OPTIONS)])
        (lease,) = await claim(backend)
        await settle(backend, lease, Failed(LOUD, dead_letter=DEAD))
        assert await backend.deliver(QUEUE) == 1
        (record,) = await backend.find(DEAD, JobState.WAITING)
        letter = DeadLetter.model_validate_json(record.data)
        assert (letter.data, letter.error) == ({"n": 1}, LOUD)
