"""Queue: the producer's and the operator's handle on one queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Unpack, cast, overload

from typing_extensions import TypeVar

from jobqueue.backends.operations import SetLimits
from jobqueue.backends.protocol import (
    MAX_BATCH,
    Backend,
    Enqueued,
)
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.claim import Claim
from jobqueue.coalescer import Coalescer
from jobqueue.connect import checked_backend
from jobqueue.default_backend import default_backend
from jobqueue.errors import InvalidOption, JobNotFound
from jobqueue.job import Job
from jobqueue.job_type import JobType
from jobqueue.limiting import checked_limits
from jobqueue.logs import JOB_ENQUEUED, emit, listening
from jobqueue.model.limits import Limits
from jobqueue.model.links import is_list
from jobqueue.model.naming import checked_name
from jobqueue.model.options import JobOptions, checked_priority, options
from jobqueue.model.times import Seconds, span_ms
from jobqueue.new_job import CheckedJob, EnqueueOptions, JobDefaults, JobWishes, NewJob, checked_job, new_job
from jobqueue.operating import Operating
from jobqueue.room import put_with_room
from jobqueue.schedules import Schedules
from jobqueue.webhook_handle import Webhooks

DataT = TypeVar("DataT")
ResultT = TypeVar("ResultT")

_NO_DEFAULTS = JobDefaults()


class Queue(Operating):
    """A queue by name.

    Without ``backend`` the process-wide one is used, opened on first use (see ``connect``). ``defaults`` are
    the weakest options: a job type's and a call's come first. ``dead_letter`` names the queue that gets a
    letter for every job that fails for good; None turns letters off. ``limits`` are declared when this handle is
    first used: they hold for all workers and producers until they are changed, by hand or by another declaration.
    Making a Queue costs nothing and writes nothing; raises InvalidName, InvalidOption. ``schedules`` is what it does
    by the clock, ``webhooks`` who is told of its jobs.
    """

    def __init__(
        self,
        name: str,
        *,
        backend: Backend | None = None,
        defaults: JobDefaults | None = None,
        dead_letter: str | None = "dead-letter",
        limits: Limits | None = None,
    ) -> None:
        self.name = checked_name("queue", name)
        self.defaults = defaults or _NO_DEFAULTS
        checked_priority(self.defaults.priority)
        self.default_options: JobOptions = options(
            retry=self.defaults.retry,
            timeout=self.defaults.timeout,
            keep=self.defaults.keep,
            tags=self.defaults.tags,
        )
        dead_letter = None if dead_letter is None else checked_name("dead-letter queue", dead_letter)
        self.dead_letter = None if dead_letter == self.name else dead_letter
        self._backend = checked_backend(backend)
        self._coalescer = Coalescer(self.name)
        self._undeclared = checked_limits(limits)
        self._declaring = asyncio.Lock()
        self.schedules = Schedules(self.name, self.backend, self.defaults)
        self.webhooks = Webhooks(self.name, self.backend)

    async def backend(self) -> Backend:
        """The backend this queue lives on; opens the process-wide one where none was given."""
        backend = self._backend if self._backend is not None else await default_backend()
        if self._undeclared is not None:
            await self._declare(backend)
        return backend

    def shares_backend_with(self, other: Queue) -> bool:
        """Whether both may live on the same backend: not if each was given another one."""
        return self._backend is None or other._backend is None or self._backend is other._backend

    async def _declare(self, backend: Backend) -> None:
        # Whoever comes meanwhile waits: the very first jobs are to find the limits in force.
        async with self._declaring:
            limits = self._undeclared
            if limits is not None:
                await backend.control(self.name, SetLimits(limits, declared=True))
                self._undeclared = None

    # Putting jobs in.

    @overload
    async def enqueue(
        self, type: JobType[DataT, ResultT], data: DataT, **options: Unpack[EnqueueOptions]
    ) -> Job[DataT, ResultT]: ...
    @overload
    async def enqueue(self, type: str, data: object = None, **options: Unpack[EnqueueOptions]) -> Job[Any, Any]: ...
    async def enqueue(
        self,
        type: str | JobType[Any, Any],  # noqa: A002  (the design's word for it)
        data: object = None,
        **options: Unpack[EnqueueOptions],
    ) -> Job[Any, Any]:
        """Put one job in; on return it is stored and will run at least once.

            await tickets.enqueue("ticket.created", TicketCreated(...), priority=1, delay=5, job_id="ticket-42")

        The options are those of :class:`~jobqueue.new_job.EnqueueOptions`: priority, delay, run_at, job_id, retry,
        timeout, expires_in, tags, lifo, keep, depends_on, on_failure, group, unique, wait. Calls made in one tick of
        the event loop travel together.

        Raises InvalidInput with nothing written, BackendUnavailable after the backend's deadline (the job may or may
        not be stored: call again with the same ``job_id``), BackendFull with nothing written, JobNotFound with nothing
        written if a job that it depends on is not there, QueueFull or GroupFull with nothing written where
        ``max_waiting`` is set and reached (for ``wait`` seconds, if given).
        """
        seconds = self._wait(options.pop("wait", None))
        checked = checked_job(new_job(type, data, cast("JobWishes", options)), self.defaults, KNOWN_TYPES)
        backend = await self.backend()
        if checked.record.needs or seconds:
            await self.find_needs(backend, [checked])
            (enqueued,) = await self._put([checked], backend, seconds)
        else:
            enqueued = await self._coalescer.enqueue(backend, checked.record)
        (job,) = self._handles(backend, [checked], [enqueued])
        return job

    async def enqueue_many(self, jobs: Sequence[NewJob], *, wait: Seconds | None = None) -> list[Job[Any, Any]]:
        """Put many jobs in, all or none, in one round trip for each thousand; returns them in input order.

        All are checked before any is written. More than a thousand go in steps of a thousand, each all or none, and
        each waits up to ``wait`` seconds for room. Raises what ``enqueue`` raises.
        """
        if not is_list(jobs):
            raise InvalidOption("enqueue_many takes a list of jobs: enqueue_many([NewJob(…), …])")
        checked = [checked_job(job, self.defaults, KNOWN_TYPES) for job in jobs]
        seconds = self._wait(wait)
        backend = await self.backend()
        await self.find_needs(backend, checked)
        handles: list[Job[Any, Any]] = []
        for start in range(0, len(checked), MAX_BATCH):
            batch = checked[start : start + MAX_BATCH]
            answers = await self._put(batch, backend, seconds)
            handles += self._handles(backend, batch, answers)
        return handles

    def _wait(self, wait: Seconds | None) -> float:
        wanted = wait if wait is not None else self.defaults.wait
        return 0.0 if wanted is None else span_ms("wait", wanted) / 1000

    async def _put(self, jobs: Sequence[CheckedJob], backend: Backend, seconds: float) -> list[Enqueued]:
        records = [job.record for job in jobs]
        if not seconds:
            return await backend.enqueue(self.name, records)
        return await put_with_room(backend, self.name, records, seconds)

    # Taking one out by hand.

    @overload
    def claim(
        self, type: JobType[DataT, ResultT], *, lease: Seconds = 15, timeout: Seconds | None = None
    ) -> Claim[DataT, ResultT]: ...
    @overload
    def claim(self, type: None = None, *, lease: Seconds = 15, timeout: Seconds | None = None) -> Claim[Any, Any]: ...
    def claim(
        self,
        type: JobType[Any, Any] | None = None,  # noqa: A002  (the word of ``enqueue``)
        *,
        lease: Seconds = 15,
        timeout: Seconds | None = None,
    ) -> Claim[Any, Any]:
        """One job, run by hand: for consumers that are no workers.

            async with tickets.claim(TICKET_CREATED, timeout=5) as job:
                job.set_result(await handle(job.data))

        Waits until there is a job, for ``timeout`` seconds at the most (TimeoutError). With a ``type`` it is one of
        that type, and typed; others that come meanwhile go back, and wait 5 s. The lease is kept until the block ends.
        When the block ends the job is completed; where it raises, the job is retried or failed as in a processor and
        the exception goes on, but for signals such as Snooze. A block cancelled from outside hands its job back.
        Raises LeaseLost if the job was another's by then, JobCancelled if somebody cancelled it, JobTimeout if it ran
        longer than its ``timeout``. One round trip to claim and two to settle.
        """
        if type is not None and not isinstance(type, JobType):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"claim takes a JobType, or nothing for a job of any type, not {type!r:.60}")
        return Claim(
            self.backend,
            self.name,
            type,
            defaults=self.default_options,
            dead_letter=self.dead_letter,
            lease=span_ms("lease", lease, zero=False) / 1000,
            timeout=None if timeout is None else span_ms("timeout", timeout) / 1000,
        )

    async def find_needs(self, backend: Backend, jobs: Sequence[CheckedJob], *, own: bool = False) -> None:
        """Raise JobNotFound unless all jobs of other queues that these depend on are there; ``own``: of this one too,
        of which ``enqueue`` makes sure itself.
        """
        elsewhere: dict[str, dict[str, None]] = {}
        for job in jobs:
            for need in job.record.needs:
                if own or need.queue != self.name:
                    elsewhere.setdefault(need.queue, {})[need.id] = None
        for queue, wanted in elsewhere.items():
            ids = list(wanted)
            for start in range(0, len(ids), MAX_BATCH):
                part = ids[start : start + MAX_BATCH]
                for job_id, state in zip(part, await backend.states(queue, part), strict=True):
                    if state is None:
                        raise JobNotFound(
                            f"no job {job_id!r} in queue {queue!r} to depend on: it may have been removed or trimmed "
                            "by retention; nothing was written"
                        )

    def _handles(
        self, backend: Backend, jobs: Sequence[CheckedJob], answers: Sequence[Enqueued]
    ) -> list[Job[Any, Any]]:
        if listening(logging.DEBUG):
            for answer in answers:
                self._tell(answer)
        return [
            Job(answer.record, backend, payload=job.payload, result_payload=job.result_payload)
            for job, answer in zip(jobs, answers, strict=True)
        ]

    def _tell(self, enqueued: Enqueued) -> None:
        record = enqueued.record
        if enqueued.created:
            emit(
                logging.DEBUG,
                JOB_ENQUEUED,
                job_id=record.id,
                type=record.type,
                queue=self.name,
                state=record.state.value,
            )

    def __repr__(self) -> str:
        return f"Queue({self.name!r})"
