"""Runs a batch of jobs in one call and says what each of them came to.

1. Jobs whose data is not what the processor takes fail for themselves, and the others run without them.
2. The processor is called once, within the shortest of the jobs' timeouts.
3. What it returned is dealt out in order; an exception, returned for one job or raised for all, is decided upon by
   each job's own policy.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, cast

import anyio
import anyio.to_thread
from anyio import CancelScope

from jobqueue.backends.protocol import Backend
from jobqueue.errors import InvalidData
from jobqueue.job import Job
from jobqueue.model.outcome import Completed, Outcome, Released
from jobqueue.processors import BatchProcessor, plain_result
from jobqueue.running import Attempt
from jobqueue.verdict import Policy, cut_short, refused, verdict
from jobqueue.worker.executor import UNREAD_INPUTS, Executor, tell


class BatchMismatch(Exception):
    """A batch processor returned something that cannot be dealt out to its jobs."""


@dataclass(slots=True)
class _Member:
    """One job of a batch, and what has been decided about it."""

    attempt: Attempt
    policy: Policy
    job: Job[Any, Any]
    outcome: Outcome | None = None


class BatchExecutor:
    """Runs the batches of one queue."""

    def __init__(self, executor: Executor, backend: Backend, slots: int) -> None:
        self._executor = executor
        self._backend = backend
        self._threads = anyio.CapacityLimiter(slots)

    async def run(self, job_type: str, attempts: Sequence[Attempt], scope: CancelScope) -> list[Outcome]:
        """The outcomes, in the order of ``attempts``. Raises CancelledError only when the slot itself is ended."""
        processor = self._executor.registry.get(job_type)
        if not isinstance(processor, BatchProcessor):
            return [Released(f"no batch processor for {job_type}") for _ in attempts]
        members = [await self._member(processor, attempt) for attempt in attempts]
        able = [member for member in members if member.outcome is None]
        began = perf_counter()
        if able:
            await self._call(processor, able, scope)
        outcomes: list[Outcome] = []
        for member in members:
            outcome = member.outcome or verdict(member.attempt.record, BatchMismatch("no outcome"), member.policy)
            if not member.attempt.lease_lost:
                tell(member.attempt.record, outcome, began)
            outcomes.append(outcome)
        return outcomes

    async def _member(self, processor: BatchProcessor[Any, Any], attempt: Attempt) -> _Member:
        policy = self._executor.policy(attempt.record, processor)
        attempt.max_attempts = policy.retry.attempts
        kind = processor.job_type
        job = Job[Any, Any](
            attempt.record, self._backend, payload=kind.data, result_payload=kind.result, attempt=attempt
        )
        member = _Member(attempt, policy, job)
        if attempt.record.options and not await self._executor.bring_inputs(attempt):
            member.outcome = UNREAD_INPUTS
            return member
        try:
            _ = job.data
        except InvalidData as error:
            member.outcome = refused(error, policy)
        return member

    async def _call(self, processor: BatchProcessor[Any, Any], members: Sequence[_Member], scope: CancelScope) -> None:
        timeout = min((member.policy.timeout for member in members if member.policy.timeout is not None), default=None)
        if timeout is not None:
            scope.deadline = anyio.current_time() + timeout
        try:
            returned = await self._place(processor, members)
            for member, result in _dealt_out(returned, members):
                member.outcome = _outcome(processor, member, result)
        except CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling() and not scope.cancel_called:
                raise
            stray = RuntimeError("the processor awaited a task that was cancelled")
            _all_failed(members, None if scope.cancel_called else stray, timeout)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  (whatever a processor raises is an outcome, never the worker's end)
            _all_failed(members, None if scope.cancel_called and isinstance(error, TimeoutError) else error, timeout)
        finally:
            scope.deadline = float("inf")

    async def _place(self, processor: BatchProcessor[Any, Any], members: Sequence[_Member]) -> Any:
        jobs = [member.job for member in members]
        if processor.place == "loop":
            return await processor.function(jobs)
        for member in members:
            member.attempt.in_thread = True
        return plain_result(
            await anyio.to_thread.run_sync(processor.function, jobs, abandon_on_cancel=True, limiter=self._threads)
        )


def _dealt_out(returned: Any, members: Sequence[_Member]) -> list[tuple[_Member, Any]]:
    if returned is None:
        return [(member, None) for member in members]
    if not isinstance(returned, (list, tuple)):
        raise BatchMismatch(
            f"a batch processor returns a list with a result for each job, not {type(returned).__name__}"
        )
    results = cast("Sequence[Any]", returned)
    if len(results) != len(members):
        raise BatchMismatch(
            f"{len(results)} results were returned for {len(members)} jobs: give one for each, in order"
        )
    return list(zip(members, results, strict=True))


def _outcome(processor: BatchProcessor[Any, Any], member: _Member, result: Any) -> Outcome:
    record, policy = member.attempt.record, member.policy
    if isinstance(result, Exception):
        return verdict(record, result, policy)
    try:
        encoded = None if result is None else processor.job_type.result.encode(result, what="result")
    except Exception as error:  # noqa: BLE001  (a result that cannot be written is this job's failure, not the others')
        return verdict(record, error, policy)
    return Completed(encoded, policy.completed)


def _all_failed(members: Sequence[_Member], error: BaseException | None, timeout: float | None) -> None:
    """Every job for itself; without an error the batch was cut short, if by nothing else by the shortest timeout."""
    for member in members:
        record, policy = member.attempt.record, member.policy
        if error is None:
            member.outcome = cut_short(record, member.attempt, policy, timeout)
        else:
            member.outcome = verdict(record, error, policy)
