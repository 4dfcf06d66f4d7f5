"""Keeping leases: all of a lane's in one call, every third of a lease, from a place that a blocked event loop
cannot starve.

A processor that blocks the loop (``time.sleep``, a long computation) would let every lease of its worker run
out, and all their jobs would run twice. So leases on a server are renewed from a small thread with an event
loop and connections of its own, which also notices that the main loop does not answer, says so and names the
job that blocks it. It goes on for a bounded time only: a loop that never comes back is a dead worker, and its jobs
belong to
others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any, Protocol

import anyio

from jobqueue.backends.protocol import Backend
from jobqueue.errors import BackendError
from jobqueue.logs import WORKER_BLOCKED, emit
from jobqueue.patience import Patience
from jobqueue.worker.culprit import Culprit, culprit
from jobqueue.worker.lane import Lane

_JOIN_SECONDS = 2.0
BLOCKED_LEASES = 8
"""For how many leases' time a blocked loop keeps its jobs."""


class Apart(Protocol):
    """A place beside the worker's event loop. It is made on that loop."""

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have ``work`` done there."""
        ...

    async def rest(self, seconds: float) -> bool:
        """Asked by the work: sleep; False at once when the work is to end."""
        ...

    def tell(self, callback: Callable[..., None], *args: Any) -> None:
        """Asked by the work: call ``callback`` on the worker's loop. Where that is gone, the work is to end."""
        ...

    async def end(self) -> None:
        """Asked by the worker: let the work end, and wait for it for a bounded time."""
        ...


class OwnThread:
    """A small thread with an event loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(work()), name="jobqueue leases", daemon=True)
        self._thread.start()

    async def rest(self, seconds: float) -> bool:
        return not await asyncio.to_thread(self._stop.wait, seconds)

    def tell(self, callback: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            self._stop.set()

    async def end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, _JOIN_SECONDS)


class LeaseKeeper:
    """Renews the leases of a worker's lanes, of which there is at least one; ``lease`` is in seconds. It is made on the
    worker's event loop.
    """

    def __init__(self, lanes: Sequence[Lane], lease: float, apart: Apart) -> None:
        self._lanes = lanes
        self._lease = lease
        self._apart = apart
        self._clock = lanes[0].clock
        self._main_thread = threading.get_ident()
        self._last_answer = self._clock.monotonic()
        self._reported = False

    async def run(self) -> None:
        """Renew until cancelled."""
        away = [lane for lane in self._lanes if not lane.clock.virtual and lane.backend.detached() is not None]
        here = [lane for lane in self._lanes if lane not in away]
        if away:
            self._apart.start(lambda: self._keep_apart(away))
        try:
            if here:
                await self._keep_here(here)
            else:
                await asyncio.Event().wait()
        finally:
            with anyio.CancelScope(shield=True):
                await self._apart.end()

    async def _keep_here(self, lanes: Sequence[Lane]) -> None:
        while True:
            await lanes[0].clock.sleep(self._lease / 3)
            for lane in lanes:
                await self._renew(lane, lane.backend)

    async def _keep_apart(self, lanes: Sequence[Lane]) -> None:
        handles: list[tuple[Lane, Backend]] = []
        patience = Patience()
        for lane in lanes:
            backend = lane.backend.detached()
            if backend is not None:
                handles.append((lane, backend))
        try:
            pause = self._lease / 3
            while await self._apart.rest(pause):
                pause = self._lease / 3
                if not self._main_loop_lives():
                    continue
                # All at once: on a connection that swallows everything one lane must not wait for the other.
                renewed = await asyncio.gather(*(self._renew(lane, backend) for lane, backend in handles))
                if all(renewed):
                    patience.rewarded()
                else:
                    # A third of a lease later it could be too late.
                    pause = patience.pause(self._lease / 3)
        finally:
            for _, backend in handles:
                await backend.close()

    async def _renew(self, lane: Lane, backend: Backend) -> bool:
        """Renew what the lane holds; False where there was no answer."""
        leases = list(lane.held.items())
        if not leases:
            return True
        asked_at = perf_counter()
        try:
            extension = await backend.extend(lane.queue.name, lane.worker_id, leases, round(self._lease * 1000))
        except BackendError:
            # The pumps say so; the next round tries again, and the server decides who is late.
            return False
        lane.gathering.kept_at = asked_at
        if extension.lost or extension.cancels:
            if backend is lane.backend:
                lane.extended(dict(leases), extension)
            else:
                self._apart.tell(lane.extended, dict(leases), extension)
        return True

    def _main_loop_lives(self) -> bool:
        """Ask the main loop for a sign; False when it has been silent for too long to be trusted with its jobs."""
        asked = self._clock.monotonic()
        silent = asked - self._last_answer
        self._apart.tell(self._answer, asked)
        if self._is_long(silent):
            self._report(silent, culprit(self._main_thread))
        return silent < self._lease * BLOCKED_LEASES

    def _answer(self, asked: float) -> None:
        # Questions that came in while it was blocked are answered one after the other: only the first has waited.
        since, self._last_answer = max(asked, self._last_answer), self._clock.monotonic()
        waited = self._last_answer - since
        if self._is_long(waited):
            # What blocked the loop (code that does not let go of the interpreter) held this keeper up too.
            self._report(waited, None)
        self._reported = False

    def _is_long(self, silent: float) -> bool:
        return silent > self._lease * 0.9 and not self._reported

    def _report(self, silent: float, culprit: Culprit | None) -> None:
        self._reported = True
        for lane in self._lanes:
            ids = list(lane.running)[:10]
            if ids:
                emit(
                    logging.WARNING, WORKER_BLOCKED,
                    queue=lane.queue.name, seconds=round(silent, 1), job_ids=ids,
                    job_id=culprit.job_id if culprit else "",
                    type=culprit.type if culprit else "",
                    where=culprit.where if culprit else "",
                )  # fmt: skip
