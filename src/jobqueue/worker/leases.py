"""Keeping leases: all of a lane's in one call, every third of a lease, from a place that a blocked event loop
cannot starve.

A processor that blocks the loop (``time.sleep``, a long computation) would let every lease of its worker run
out, and all their jobs would run twice. So leases on a server are renewed from a small thread with an event
loop and connections of its own, which also notices that the main loop does not answer, says so and names the
jobs. It goes on for a bounded time only: a loop that never comes back is a dead worker, and its jobs belong to
others.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence

import anyio

from jobqueue.backends.protocol import Backend, Extension
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.errors import BackendError
from jobqueue.logs import WORKER_BLOCKED, emit
from jobqueue.worker.lane import Lane

_JOIN_SECONDS = 2.0
BLOCKED_LEASES = 8
"""For how many leases' time a blocked loop keeps its jobs."""


class LeaseKeeper:
    """Renews the leases of a worker's lanes; ``lease`` is in seconds."""

    def __init__(self, lanes: Sequence[Lane], lease: float) -> None:
        self._lanes = lanes
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._last_answer = SYSTEM_CLOCK.monotonic()
        self._reported = False

    async def run(self) -> None:
        """Renew until cancelled."""
        away = [lane for lane in self._lanes if not lane.clock.virtual and lane.backend.detached() is not None]
        here = [lane for lane in self._lanes if lane not in away]
        thread = threading.Thread(
            target=lambda: asyncio.run(self._keep_apart(away)), name="jobqueue leases", daemon=True
        )
        if away:
            thread.start()
        try:
            if here:
                await self._keep_here(here)
            else:
                await asyncio.Event().wait()
        finally:
            self._stop.set()
            if away:
                with anyio.CancelScope(shield=True):
                    await asyncio.to_thread(thread.join, _JOIN_SECONDS)

    async def _keep_here(self, lanes: Sequence[Lane]) -> None:
        while True:
            await lanes[0].clock.sleep(self._lease / 3)
            for lane in lanes:
                extension = await self._renew(lane, lane.backend)
                if extension is not None:
                    lane.extended(extension)

    async def _keep_apart(self, lanes: Sequence[Lane]) -> None:
        handles: list[tuple[Lane, Backend]] = []
        for lane in lanes:
            backend = lane.backend.detached()
            if backend is not None:
                handles.append((lane, backend))
        try:
            while not await asyncio.to_thread(self._stop.wait, self._lease / 3):
                if not self._main_loop_lives():
                    continue
                for lane, backend in handles:
                    extension = await self._renew(lane, backend)
                    if extension is not None and (extension.lost or extension.cancels):
                        self._on_main_loop(lane, extension)
        finally:
            for _, backend in handles:
                await backend.close()

    async def _renew(self, lane: Lane, backend: Backend) -> Extension | None:
        leases = list(lane.held.items())
        if not leases:
            return None
        try:
            return await backend.extend(lane.queue.name, lane.worker_id, leases, round(self._lease * 1000))
        except BackendError:
            # The pumps say so; the next round tries again, and the server decides who is late.
            return None

    def _on_main_loop(self, lane: Lane, extension: Extension) -> None:
        try:
            self._loop.call_soon_threadsafe(lane.extended, extension)
        except RuntimeError:
            self._stop.set()

    def _main_loop_lives(self) -> bool:
        """Ask the main loop for a sign; False when it has been silent for too long to be trusted with its jobs."""
        silent = SYSTEM_CLOCK.monotonic() - self._last_answer
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            self._stop.set()
            return False
        if silent > self._lease * 0.9 and not self._reported:
            self._reported = True
            for lane in self._lanes:
                ids = list(lane.running)[:10]
                if ids:
                    emit(
                        logging.WARNING,
                        WORKER_BLOCKED,
                        queue=lane.queue.name,
                        seconds=round(silent, 1),
                        job_ids=ids,
                    )
        return silent < self._lease * BLOCKED_LEASES

    def _answer(self) -> None:
        self._last_answer = SYSTEM_CLOCK.monotonic()
        self._reported = False
