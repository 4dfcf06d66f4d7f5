"""The slots of a lane: long-lived tasks that run jobs one after the other.

A slot takes a whole batch where one is due (gathering.py), else the next job that is ready (ready.py). A job of a batch
processor it only leaves with the gathering, and stays free. An attempt is in ``running`` from its first moment to its
last; who asks for its end cancels the scope of its slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter

import anyio
from anyio.abc import TaskGroup

from jobqueue.model.outcome import Outcome
from jobqueue.model.record import JobRecord
from jobqueue.running import Attempt
from jobqueue.worker.batch_executor import BatchExecutor
from jobqueue.worker.executor import Executor
from jobqueue.worker.gathering import Gathering
from jobqueue.worker.ready import Ready

_LEAVE_SECONDS = 0.1
"""What cancelled slots may take at the end of their lane."""


class Slots:
    """``count`` slots. ``ended`` is called with each attempt that is over, its outcome (None where its slot was ended
    under it) and the seconds it ran, ``gathered`` when a job was left with the gathering. A job that has cost
    ``suspect_stalls`` workers is not gathered: it runs as a batch of one.
    """

    def __init__(
        self,
        count: int,
        executor: Executor,
        batches: BatchExecutor,
        ready: Ready,
        gathering: Gathering,
        *,
        suspect_stalls: int,
        gathered: Callable[[], None],
        ended: Callable[[Attempt, Outcome | None, float], None],
    ) -> None:
        self.count = count
        self.occupied = 0
        """How many slots are running something: one job, or one batch."""
        self.running: dict[str, Attempt] = {}
        self._executor = executor
        self._batches = batches
        self._ready = ready
        self._gathering = gathering
        self._suspect_stalls = suspect_stalls
        self._gathered = gathered
        self._ended = ended
        self._idle: list[asyncio.Future[None]] = []
        self._over = False

    def start(self, tasks: TaskGroup, name: str) -> None:
        """Start the tasks."""
        tasks.start_soon(self._keep, name, name=f"{name} slots")

    async def _keep(self, name: str) -> None:
        """Slots are tasks of their own: one whose job swallows its cancellation is left behind when the lane ends,
        instead of keeping the worker from its end.
        """
        slots = [asyncio.create_task(self._slot(), name=f"{name} slot {number}") for number in range(self.count)]
        try:
            done, _ = await asyncio.wait(slots, return_when=asyncio.FIRST_EXCEPTION)
            for slot in done:
                slot.result()
        finally:
            self._over = True
            for slot in slots:
                slot.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait(slots, timeout=_LEAVE_SECONDS)

    def start_one(self) -> bool:
        """There is something to run: let an idle slot take it. False if none is idle."""
        while self._idle:
            slot = self._idle.pop()
            if not slot.done():
                slot.set_result(None)
                return True
        return False

    def cancel(self, job_id: str, reason: str) -> bool:
        """Cancel a job because somebody asked for it; False if it does not run here.

        In a batch the others go on, and so it does too: it comes to be cancelled unless it completes.
        """
        attempt = self.running.get(job_id)
        if attempt is None:
            return False
        if attempt.cancel_reason is None and attempt.scope is not None:
            attempt.cancel_reason = reason
            if not attempt.in_batch:
                attempt.scope.cancel()
        return True

    def lose(self, job_id: str, token: int | None) -> None:
        """The lease of this job, held under ``token``, is another worker's now."""
        attempt = self.running.get(job_id)
        if attempt is not None and attempt.scope is not None and token == attempt.token:
            attempt.lease_lost = True
            if not attempt.in_batch:
                attempt.scope.cancel()

    def hand_back_running(self) -> None:
        """The grace period is over: cancel what still runs and give it back."""
        for attempt in list(self.running.values()):
            # A thread cannot be stopped: handing its job back would have it run twice at the same time.
            if attempt.scope is not None and not attempt.in_thread:
                attempt.handed_back = True
                attempt.scope.cancel()

    async def _slot(self) -> None:
        loop, batches = asyncio.get_running_loop(), self._executor.batches
        ready, gathering = self._ready, self._gathering
        while not self._over:
            # One scope serves many jobs: entering one for each would cost as much as running it.
            with anyio.CancelScope() as scope:
                while not scope.cancel_called:
                    if gathering.whole and (batch := gathering.take()):
                        await self._run_batch(batch, scope)
                        continue
                    record = ready.take()
                    if record is None:
                        future = loop.create_future()
                        self._idle.append(future)
                        await future
                    elif batches and (kind := batches.get(record.type)):
                        if record.stalls >= self._suspect_stalls:
                            await self._run_batch([record], scope)
                        else:
                            gathering.add(record, kind)
                            self._gathered()
                    else:
                        await self._run(record, scope)

    async def _run(self, record: JobRecord, scope: anyio.CancelScope) -> None:
        attempt = self.running[record.id] = Attempt(record, self._executor.resources, scope)
        outcome: Outcome | None = None
        self.occupied += 1
        began = perf_counter()
        try:
            outcome = await self._executor.run(record, attempt, scope)
        finally:
            took = perf_counter() - began
            self.occupied -= 1
            if self.running.get(record.id) is attempt:
                del self.running[record.id]
            self._ended(attempt, outcome, took)

    async def _run_batch(self, records: Sequence[JobRecord], scope: anyio.CancelScope) -> None:
        attempts = [Attempt(record, self._executor.resources, scope) for record in records]
        for attempt in attempts:
            attempt.in_batch = True
            self.running[attempt.record.id] = attempt
        outcomes: Sequence[Outcome | None] = [None] * len(attempts)
        self.occupied += 1
        began = perf_counter()
        try:
            outcomes = await self._batches.run(records[0].type, attempts, scope)
        finally:
            took = perf_counter() - began
            self.occupied -= 1
            for attempt in attempts:
                if self.running.get(attempt.record.id) is attempt:
                    del self.running[attempt.record.id]
            for attempt, outcome in zip(attempts, outcomes, strict=True):
                self._ended(attempt, outcome, took)
