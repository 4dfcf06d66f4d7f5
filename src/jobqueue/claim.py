"""Claim: one job by hand, for consumers that are no workers.

1. ``async with``: claim a job, waiting for one if need be, and keep its lease from a task of this loop. One of another
   type than was asked for is left to others.
2. The block runs. If the lease is lost, somebody cancels the job, or its ``timeout`` is over, the block is cancelled.
3. How the block ends is the job's outcome, by the same rules as for a processor; it is handed in before the block is
   left.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import socket
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic

from typing_extensions import TypeVar

from jobqueue.backends.protocol import Backend, Exchange, Page, Settlement
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.errors import (
    BackendError,
    BackendUnavailable,
    InvalidData,
    JobCancelled,
    JobQueueError,
    JobSignal,
    JobTimeout,
    LeaseLost,
)
from jobqueue.inputs import bring_inputs
from jobqueue.job import Job
from jobqueue.job_type import JobType
from jobqueue.model.options import JobOptions
from jobqueue.model.outcome import Completed, Outcome, Released
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.record import JobRecord
from jobqueue.running import Attempt
from jobqueue.verdict import Policy, cut_short, refused, verdict

DataT = TypeVar("DataT", default=Any)
ResultT = TypeVar("ResultT", default=Any)
ReturnT = TypeVar("ReturnT")

_WAIT_SECONDS = 10.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_OTHERS_DELAY_MS = 5_000
"""A job of another type comes back after this, as where a worker has no processor for it."""


class ClaimedJob(Job[DataT, ResultT], Generic[DataT, ResultT]):
    """A job that is run by hand. ``log``, ``set_progress`` and ``checkpoint`` work as in a processor."""

    __slots__ = ("_encoded",)

    _encoded: bytes | None

    def set_result(self, value: ResultT) -> None:
        """What ``job.result()`` gives once the block has ended well. Raises InvalidData, PayloadTooLarge."""
        self._encoded = self._result_payload.encode(value, what="result")

    @property
    def encoded_result(self) -> bytes | None:
        """What was set, as it is stored."""
        return getattr(self, "_encoded", None)


class Claim(Generic[DataT, ResultT]):
    """An async context manager; made by ``Queue.claim``. It serves once: another use raises JobQueueError.

    It may be left in another task than the one it was entered in, as fixtures of pytest-asyncio do; then it is the
    first task that a lost lease or a timeout cancels.
    """

    def __init__(
        self,
        backend: Callable[[], Awaitable[Backend]],
        queue: str,
        job_type: JobType[DataT, ResultT] | None,
        *,
        defaults: JobOptions,
        dead_letter: str | None,
        lease: float,
        timeout: float | None,
    ) -> None:
        self._open = backend
        self._queue = queue
        self._type = job_type
        self._defaults = defaults
        self._dead_letter = dead_letter
        self._lease = lease
        self._timeout = timeout
        self._sequence = 0
        self._stopped = False
        self._used = False
        self._given_up = False
        self._waiting: asyncio.Task[bool] | None = None

    async def __aenter__(self) -> ClaimedJob[DataT, ResultT]:
        if self._used:
            raise JobQueueError("this claim has had its job: call queue.claim() for each")
        self._used = True
        # Here, and not where it is made: it may be entered in several children of a fork.
        self._worker = f"{socket.gethostname()[:40]}-{os.getpid()}-claim-{secrets.token_hex(4)}"
        self._backend = await self._open()
        record = await self._first()
        self._attempt = Attempt(record, None)
        known = self._type or KNOWN_TYPES.get(record.type)
        self._job = ClaimedJob[DataT, ResultT](
            record,
            self._backend,
            payload=known.data if known else ANY_JSON,
            result_payload=known.result if known else ANY_JSON,
            attempt=self._attempt,
        )
        asked = JobOptions.decode(record.options)
        resolved = asked.over(known.options).over(self._defaults) if known else asked.over(self._defaults)
        self._policy = Policy.of(resolved, self._dead_letter)
        self._attempt.max_attempts = self._policy.retry.attempts
        try:
            await bring_inputs(self._backend, self._attempt)
        except BackendError:
            await self._end(Released("what it depends on could not be read"))
            raise
        self._keeper = asyncio.create_task(self._keep(), name=f"jobqueue claim {record.id}")
        self._block = asyncio.timeout(self._policy.timeout)
        await self._block.__aenter__()
        return self._job

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        # Typed as if it never swallowed: only signals are, and those the block raises itself, knowing where they lead.
        stopped = self._stopped or self._block.expired()
        swallowed = False
        try:
            await self._block.__aexit__(kind, error, trace)
        except TimeoutError:
            # The block's end, which was ours.
            swallowed = True
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        if not await _uninterrupted(self._end(self._outcome(error, stopped=stopped))):
            raise LeaseLost(f"job {self._job.id!r} is no longer this consumer's: another may be running it") from (
                None if swallowed else error
            )
        if stopped and (error is None or swallowed):
            if self._attempt.cancel_reason is None:
                raise JobTimeout(f"job {self._job.id!r} ran longer than its timeout of {self._policy.timeout} s")
            raise JobCancelled(f"job {self._job.id!r} was cancelled", reason=self._attempt.cancel_reason)
        return isinstance(error, JobSignal)

    def _outcome(self, error: BaseException | None, *, stopped: bool) -> Outcome:
        record, policy = self._attempt.record, self._policy
        if stopped and (error is None or isinstance(error, CancelledError)):
            return cut_short(record, self._attempt, policy, policy.timeout)
        match error:
            case None:
                return Completed(self._job.encoded_result, policy.completed)
            case CancelledError() | KeyboardInterrupt() | GeneratorExit():
                return Released("the consumer was stopped")
            case InvalidData() if self._is_unfit():
                return refused(error, policy)
            case _:
                return verdict(record, error, policy)

    def _is_unfit(self) -> bool:
        try:
            _ = self._job.data
        except InvalidData:
            return True
        return False

    async def _first(self) -> JobRecord:
        """The job, as soon as there is one. Whoever waits no longer leaves nothing claimed, and passes a wake-up on."""
        looking = asyncio.create_task(self._look(), name=f"jobqueue claim in {self._queue}")
        try:
            await asyncio.wait({looking}, timeout=self._timeout)
            self._stop_looking()
            await asyncio.wait({looking})
        except CancelledError:
            self._stop_looking()
            await _uninterrupted(self._abandon(looking))
            raise
        record = looking.result()
        if record is None:
            await self._leave()
            raise TimeoutError(f"no job came to queue {self._queue!r} within {self._timeout} s")
        return record

    def _stop_looking(self) -> None:
        self._given_up = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _abandon(self, looking: asyncio.Task[JobRecord | None]) -> None:
        try:
            record = await looking
            if record is not None:
                await self._hand_back(record, Released("the consumer was stopped"))
            await self._leave()
        except BackendError:
            # Its lease runs out.
            return

    async def _look(self) -> JobRecord | None:
        while not self._given_up:
            page = await self._exchange(claim=1)
            for record in page.leases:
                if self._type is None or record.type == self._type.name:
                    return record
                await self._hand_back(record, Released("claimed by a consumer of other jobs", _OTHERS_DELAY_MS))
            if self._given_up:
                break
            seconds = _WAIT_SECONDS
            if page.look_again_ms is not None:
                seconds = min(seconds, max(0.001, (page.look_again_ms - page.now_ms) / 1000))
            self._waiting = asyncio.create_task(self._backend.wait(self._queue, seconds))
            await asyncio.wait({self._waiting})
            if not self._waiting.cancelled() and (error := self._waiting.exception()):
                raise error
        # A marker that was taken meanwhile is for somebody else.
        await self._exchange()
        return None

    async def _hand_back(self, record: JobRecord, released: Released) -> None:
        await self._exchange(settlements=(Settlement(record.id, record.token or 0, released),))

    async def _end(self, outcome: Outcome) -> bool:
        """Hand the outcome in; False if it was refused."""
        try:
            return not self._attempt.lease_lost and await self._settled(outcome)
        finally:
            await self._leave()

    async def _settled(self, outcome: Outcome) -> bool:
        job_id, token = self._attempt.record.id, self._attempt.token
        lines = self._attempt.take_lines(SYSTEM_CLOCK.now_ms())
        page = await self._exchange(settlements=(Settlement(job_id, token, outcome, lines),))
        if page.outbox:
            try:
                await self._backend.deliver(self._queue)
            except BackendError:
                # A worker's upkeep sees to it.
                return job_id not in page.refused
        return job_id not in page.refused

    async def _exchange(self, *, claim: int = 0, settlements: tuple[Settlement, ...] = ()) -> Page:
        """One exchange, repeated until it is answered or a lease's time has passed."""
        self._sequence += 1
        request = Exchange(
            worker=self._worker,
            caller=f"{self._worker}/0",
            sequence=self._sequence,
            settlements=settlements,
            claim=claim,
            lease_ms=round(self._lease * 1000),
            dead_letter=self._dead_letter,
        )
        loop = asyncio.get_running_loop()
        give_up, pause = loop.time() + self._lease, _FIRST_PAUSE
        while True:
            try:
                return await self._backend.exchange(self._queue, request)
            except BackendUnavailable:
                if loop.time() + pause >= give_up:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, _LONGEST_PAUSE)
            request = replace(request, repeated=True)

    async def _keep(self) -> None:
        job_id, token = self._attempt.record.id, self._attempt.token
        while True:
            await asyncio.sleep(self._lease / 3)
            try:
                extension = await self._backend.extend(
                    self._queue, self._worker, [(job_id, token)], round(self._lease * 1000)
                )
            except BackendError:
                # The next round tries again, and the server decides who is late.
                continue
            if job_id in extension.lost:
                self._attempt.lease_lost = True
            elif job_id in extension.cancels:
                self._attempt.cancel_reason = extension.cancels[job_id]
            else:
                continue
            self._stopped = True
            if not self._block.expired():
                self._block.reschedule(asyncio.get_running_loop().time())
            return

    async def _leave(self) -> None:
        try:
            await self._backend.leave(self._queue, self._worker)
        except BackendError:
            # It only leaves a line behind, which upkeep forgets.
            return


async def _uninterrupted(work: Coroutine[Any, Any, ReturnT]) -> ReturnT:
    """Do this to its end, also if the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except CancelledError:
        await asyncio.wait({task})
        raise
