"""New jobs as enqueue.lua takes them, and its answer as the seam gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from jobqueue.backends.protocol import Enqueued, NewRecord
from jobqueue.backends.redis import codec
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import Word
from jobqueue.backends.refusals import full
from jobqueue.errors import JobNotFound
from jobqueue.model.record import JobRecord, JobState


async def write_jobs(
    calls: Calls,
    prefix: str,
    queue: str,
    now: str,
    jobs: Sequence[NewRecord],
    links: Sequence[Word] = (),
    bounds: str = "",
) -> list[Enqueued]:
    """Write a batch, all or none. ``bounds`` is '' (limits hold), 'force' (they do not) or for how many ms the caller
    will wait for room.

    Raises JobNotFound if a job of this queue that is needed is not there, QueueFull or GroupFull.
    """
    if len(jobs) == 1:
        words = codec.job_words(jobs[0])
        # One that wishes for nothing has a script of its own.
        alone = not (words[2] or links or bounds)
        shortcut = ("enqueue_one", words[0], words[1], words[3]) if alone else ()
        distinct, plain = 1, "u" if jobs[0].unique else int(not links and not words[2])
    else:
        words = [word for job in jobs for word in codec.job_words(job)]
        distinct = int(len({job.id for job in jobs}) == len(jobs))
        plain = "u" if any(job.unique for job in jobs) else int(not links and not any(words[2::4]))
        shortcut = ()
    expected = _Expected(queue, jobs)
    if len(jobs) > 1:
        asyncio.get_running_loop().call_soon(expected.prepare)
    reply = await calls.write(
        "enqueue", prefix, now, f"{distinct} {bounds}", plain, len(jobs), *words, *links, shortcut=shortcut
    )
    if reply[1] == b"full":
        raise full(queue, int(reply[2]), codec.text(reply[3]))
    now_ms, letters, pictures = int(reply[0]), codec.text(reply[1]), iter(reply[2:])
    if not letters:
        raise JobNotFound(
            f"no job {codec.text(reply[2])!r} in queue {queue!r} to depend on: it may have been removed or trimmed by "
            "retention; nothing was written"
        )
    return [
        Enqueued(codec.record_of_picture(queue, next(pictures)), letter == "b")
        if letter in "kbf"
        else Enqueued(_gone(queue, job, next(pictures)), created=False)
        if letter == "g"
        else _stamped(made, job, now_ms, delayed=letter == "d")
        for made, job, letter in zip(expected.prepare(), jobs, letters, strict=True)
    ]


class _Expected:
    """What a batch nearly always comes to: every job new, and waiting.

    Made while the server works on the batch: producer and server take turns in bulk, and this is a quarter of the
    producer's part.
    """

    def __init__(self, queue: str, jobs: Sequence[NewRecord]) -> None:
        self._queue = queue
        self._jobs = jobs
        self._made: list[Enqueued] | None = None

    def prepare(self) -> list[Enqueued]:
        """As many as there are jobs, in their order; without the times that the server gives them."""
        if self._made is None:
            self._made = [_enqueued(self._queue, job) for job in self._jobs]
        return self._made


def _gone(queue: str, job: NewRecord, known: Sequence[Any]) -> JobRecord:
    """A job that stands and is there no more, as far as it is known."""
    job_id, state, since = known
    return JobRecord(
        codec.text(job_id), queue, job.type, job.data, JobState(codec.text(state)),
        priority=job.priority, options=job.options, created_ms=int(since), group=job.group,
        unique="" if job.unique is None else job.unique.key,
    )  # fmt: skip


def _enqueued(queue: str, job: NewRecord) -> Enqueued:
    # By place, as matching names costs more; and what few jobs have comes after.
    record = JobRecord(job.id, queue, job.type, job.data, JobState.WAITING, job.priority, job.options)
    if job.group:
        record.group = job.group
    if job.unique is not None:
        record.unique = job.unique.key
    return Enqueued(record, True)


def _stamped(made: Enqueued, job: NewRecord, now_ms: int, *, delayed: bool) -> Enqueued:
    record = made.record
    record.created_ms = now_ms
    if job.expires_in_ms is not None:
        record.expires_ms = now_ms + job.expires_in_ms
    if delayed:
        record.state = JobState.DELAYED
        record.run_at_ms = job.run_at_ms if job.run_at_ms is not None else now_ms + job.delay_ms
    return made
