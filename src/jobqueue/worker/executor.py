"""Runs one job and says what it came to.

1. Find the processor; none here, or the record is a newer release's: the job is released for a worker that
   has one.
2. Check the data; not what the processor takes: the job fails without an attempt.
3. Call the processor through the middleware, where it belongs: on the loop, in a thread, in a process.
4. Turn what it returned or raised into an outcome.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any

import anyio
import anyio.to_process
import anyio.to_thread
from anyio import CancelScope

from jobqueue.backends.protocol import Backend
from jobqueue.errors import BackendError, InvalidData
from jobqueue.inputs import bring_inputs
from jobqueue.job import Job
from jobqueue.logs import (
    JOB_CANCELLED,
    JOB_COMPLETED,
    JOB_FAILED,
    JOB_NEWER,
    JOB_PARKED,
    JOB_RELEASED,
    JOB_RETRYING,
    JOB_STARTED,
    JOB_UNKNOWN_TYPE,
    emit,
    listening,
)
from jobqueue.model.letter import BAD_SIGNATURE
from jobqueue.model.naming import is_name, is_of_newer_release
from jobqueue.model.options import JobOptions
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Parked, Released, RetryAt
from jobqueue.model.record import JobRecord
from jobqueue.model.refused import Refused
from jobqueue.processors import Processor, Registered, plain_result
from jobqueue.queue import Queue
from jobqueue.registry import Registry
from jobqueue.running import CURRENT, Attempt
from jobqueue.verdict import Policy, cut_short, refused, verdict
from jobqueue.worker.child import Answer, ChildError, error_of, run_in_child

CallNext = Callable[[Job[Any, Any]], Awaitable[Any]]
Middleware = Callable[[Job[Any, Any], CallNext], Awaitable[Any]]
"""Wraps every processor: ``async def middleware(job, call_next): ...; return await call_next(job)``."""

UNKNOWN_TYPE_DELAY_MS = 5_000
UNREAD_INPUTS = Released("what it depends on could not be read", delay_ms=1_000)


class Executor:
    """Runs jobs of one queue."""

    def __init__(
        self,
        queue: Queue,
        backend: Backend,
        registry: Registry,
        middleware: Sequence[Middleware],
        slots: int,
    ) -> None:
        self._queue = queue
        self._backend = backend
        self.registry = registry
        self._middleware = tuple(middleware)
        self._threads = anyio.CapacityLimiter(slots)
        self._processes = anyio.CapacityLimiter(slots)
        self._chains: dict[str, tuple[Processor[Any, Any], CallNext, Policy]] = {}
        self.resources: Any = None
        self.batches = registry.batches

    async def run(self, record: JobRecord, attempt: Attempt, scope: CancelScope) -> Outcome:
        """The outcome of one attempt. Raises CancelledError only when the slot itself is being ended.

        A cancelled ``scope`` means a timeout, or whatever ``attempt.cancel_reason`` says.
        """
        known = self._chains.get(record.type) or self._chain(record.type)
        if known is None:
            if is_of_newer_release(record.type):
                emit(
                    logging.WARNING, JOB_NEWER, job_id=record.id, type=record.type, queue=record.queue,
                    in_seconds=UNKNOWN_TYPE_DELAY_MS / 1000,
                )  # fmt: skip
                return Released("written by a newer release", delay_ms=UNKNOWN_TYPE_DELAY_MS)
            if not is_name(record.type):
                return self._nobodys(record, attempt, "the stored job type is not a name", kind="InvalidType")
            if isinstance(record.data, Refused):
                return self._nobodys(record, attempt, f"data {record.data.why}", kind=BAD_SIGNATURE)
            emit(
                logging.WARNING, JOB_UNKNOWN_TYPE, job_id=record.id, type=record.type, queue=record.queue,
                in_seconds=UNKNOWN_TYPE_DELAY_MS / 1000,
            )  # fmt: skip
            return Released(f"no processor for {record.type}", delay_ms=UNKNOWN_TYPE_DELAY_MS)
        processor, call, policy = known
        if record.options:
            policy = self.policy(record, processor)
            if record.options and not await self.bring_inputs(attempt):
                return UNREAD_INPUTS
        attempt.max_attempts = policy.retry.attempts
        job_type = processor.job_type
        # Not Job[Any, Any](...): the subscript costs more than the job.
        job: Job[Any, Any] = Job(
            record, self._backend, payload=job_type.data, result_payload=job_type.result, attempt=attempt
        )
        CURRENT.set(attempt)
        if listening(logging.DEBUG):
            emit(logging.DEBUG, JOB_STARTED, **_fields(record))
        began = perf_counter()
        outcome: Outcome
        try:
            if policy.timeout is not None:
                scope.deadline = anyio.current_time() + policy.timeout
            _ = job.data
            result = await call(job)
            encoded = None if result is None else job_type.result.encode(result, what="result")
            outcome = Completed(encoded, policy.completed)
        except InvalidData as error:
            outcome = refused(error, policy) if _about_data(error, job) else verdict(record, error, policy)
        except CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling() and not scope.cancel_called:
                raise
            # Neither the slot nor the job was cancelled: the processor awaited something that was.
            outcome = (
                cut_short(record, attempt, policy, policy.timeout)
                if scope.cancel_called
                else self._decide(record, RuntimeError("the processor awaited a task that was cancelled"), policy)
            )
        except (KeyboardInterrupt, GeneratorExit):
            # The person at the keyboard, or the interpreter that lets go of the task: nobody's outcome.
            raise
        except BaseException as error:  # noqa: BLE001  (whatever a processor raises is an outcome, never the worker's end)
            outcome = (
                cut_short(record, attempt, policy, policy.timeout)
                if scope.cancel_called and isinstance(error, TimeoutError)
                else self._decide(record, error, policy)
            )
        finally:
            if policy.timeout is not None:
                scope.deadline = float("inf")
            CURRENT.set(None)
        if not attempt.lease_lost:
            tell(record, outcome, began)
        return outcome

    def _nobodys(self, record: JobRecord, attempt: Attempt, why: str, *, kind: str) -> Outcome:
        """No worker will ever know this type: somebody else wrote it."""
        policy = Policy.of(self._queue.default_options, self._queue.dead_letter)
        outcome = refused(InvalidData(why), policy, kind=kind)
        record.type = "?"
        if not attempt.lease_lost:
            tell(record, outcome, perf_counter())
        return outcome

    def _decide(self, record: JobRecord, error: BaseException, policy: Policy) -> Outcome:
        outcome = verdict(record, error, policy)
        if isinstance(error, ChildError):
            # The child's own words, not the parent's traceback to it.
            match outcome:
                case RetryAt(delay_ms):
                    return RetryAt(delay_ms, error.described)
                case Failed(_, keep, dead_letter):
                    return Failed(error.described, keep, dead_letter)
                case _:
                    return outcome
        return outcome

    async def bring_inputs(self, attempt: Attempt) -> bool:
        """Read what became of the jobs it depends on, if it does on any; False if that could not be read."""
        try:
            await bring_inputs(self._backend, attempt)
        except BackendError:
            return False
        return True

    def policy(self, record: JobRecord, processor: Registered[Any]) -> Policy:
        """What holds for one job of the processor's."""
        return self._policy(JobOptions.decode(record.options), processor)

    def _policy(self, asked: JobOptions, processor: Registered[Any]) -> Policy:
        resolved = asked.over(processor.job_type.options).over(self._queue.default_options)
        return Policy.of(resolved, self._queue.dead_letter)

    def _chain(self, name: str) -> tuple[Processor[Any, Any], CallNext, Policy] | None:
        processor = self.registry.get(name)
        if not isinstance(processor, Processor):
            # Batches are run elsewhere (batch_executor.py).
            return None
        call = self._place(processor)
        for middleware in reversed(self._middleware):
            call = _wrapped(middleware, call)
        chain = (processor, call, self._policy(JobOptions(), processor))
        self._chains[name] = chain
        return chain

    def _place(self, processor: Processor[Any, Any]) -> CallNext:
        match processor.place:
            case "loop":
                return processor.function
            case "thread":

                async def in_thread(job: Job[Any, Any]) -> Any:
                    # A thread cannot be cancelled: it is left to itself and what it returns is thrown away.
                    attempt = CURRENT.get()
                    if attempt is not None:
                        attempt.in_thread = True
                    return plain_result(
                        await anyio.to_thread.run_sync(
                            processor.function, job, abandon_on_cancel=True, limiter=self._threads
                        )
                    )

                return in_thread
            case "process":
                module, qualname = processor.function.__module__, processor.function.__qualname__

                async def in_process(job: Job[Any, Any]) -> Any:
                    try:
                        answer: Answer = await anyio.to_process.run_sync(
                            run_in_child, module, qualname, job.record, cancellable=True, limiter=self._processes
                        )
                    except anyio.BrokenWorkerProcess as error:
                        raise anyio.BrokenWorkerProcess(
                            "the process of this processor ended in the middle of it: killed, crashed or out of memory"
                        ) from error
                    attempt = CURRENT.get()
                    if attempt is not None:
                        attempt.hold(answer.lines)
                    if answer.error is not None:
                        raise error_of(answer)
                    return processor.job_type.result.decode(answer.result or b"null")

                return in_process


def _wrapped(middleware: Middleware, call: CallNext) -> CallNext:
    async def call_through(job: Job[Any, Any]) -> Any:
        return await middleware(job, call)

    return call_through


def _about_data(error: InvalidData, job: Job[Any, Any]) -> bool:
    """Whether the job's own data was refused, and not something that the processor itself tried to enqueue or
    return.
    """
    try:
        _ = job.data
    except InvalidData as own:
        return str(own) == str(error)
    return False


def _fields(record: JobRecord) -> dict[str, Any]:
    return {"job_id": record.id, "type": record.type, "queue": record.queue, "attempt": record.attempt}


def tell(record: JobRecord, outcome: Outcome, began: float) -> None:
    """Log what an attempt that began at ``began`` (``perf_counter``) came to."""
    match outcome:
        case Completed():
            if listening(logging.INFO):
                seconds = round(perf_counter() - began, 6)
                emit(logging.INFO, JOB_COMPLETED, **_fields(record), seconds=seconds)
        case _ if not listening(logging.ERROR):
            pass
        case RetryAt(delay_ms, error):
            emit(logging.WARNING, JOB_RETRYING, **_fields(record), error=error.type, in_seconds=delay_ms / 1000)
        case Failed(error):
            emit(logging.ERROR, JOB_FAILED, **_fields(record), error=error.type)
        case Released(reason):
            emit(logging.INFO, JOB_RELEASED, **_fields(record), reason=reason)
        case Parked():
            emit(logging.INFO, JOB_PARKED, **_fields(record))
        case Cancelled(reason):
            emit(logging.INFO, JOB_CANCELLED, **_fields(record), reason=reason)
