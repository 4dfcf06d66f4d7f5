"""The waker: while its lane has nothing in sight, it waits for the queue's marker, which brings a job along.

The exchange that answers the marker goes out together with the waiting for it, so that the server makes it the moment
the marker comes: an idle worker has its job a round trip earlier. It asks for one job, which the lane does not count as
asked for: meanwhile the pumps may fill every slot, and one job too many goes back at once (ready.py).
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from time import perf_counter

import anyio

from jobqueue.backends.protocol import Exchange, Page
from jobqueue.errors import BackendError
from jobqueue.patience import Patience
from jobqueue.worker.caller import Caller
from jobqueue.worker.lane import Lane

_BLOCK_SECONDS = 12.0
_OF_A_LEASE = 0.8
"""A lease counts here from when the job was asked for, and something of it must be left when the job comes last."""

_LAST_SECONDS = 1.0
"""How long a lane that stops waits for news of a job that it may have claimed."""


class Waker:
    """The one of a lane. ``lease`` is in seconds."""

    def __init__(self, lane: Lane, caller: Caller, *, lease: float) -> None:
        self._lane = lane
        self._caller = caller
        self._seconds = min(_BLOCK_SECONDS, _OF_A_LEASE * lease)
        self._patience = Patience()

    async def run(self) -> None:
        """Until cancelled."""
        lane = self._lane
        while True:
            # A marker that comes while every slot is taken had better go to another worker.
            if lane.look or lane.stopping or lane.hungry <= 0:
                await lane.until_resting()
            elif lane.takes_blindly:
                await self._await_job()
            else:
                await self._await_marker()

    async def _await_job(self) -> None:
        lane = self._lane
        request = self._caller.request(1)
        hints, began = lane.hints, perf_counter()
        page: Page | None = None
        with lane.vigil.waiting():
            page = await self._job_or_nothing(request)
        repeated = page is None
        if page is None:
            page = await self._page_of_a_repeat(request)
        lane.vigil.over()
        if page is not None:
            lane.take_in(page, claim=1, hints=hints, asked_at=began, repeated=repeated)
            # It overtakes what a pump was answered before, which knows less.
            lane.hints += 1
        lane.onlookers.tell()
        if page is not None and page.more and not page.leases:
            # What waits is not for somebody who wants one job and no suspect: a pump asks for all there is.
            lane.look_now()

    async def _job_or_nothing(self, request: Exchange) -> Page | None:
        lane = self._lane
        try:
            page = await lane.backend.await_jobs(lane.queue.name, self._seconds, request)
        except BackendError:
            await asyncio.sleep(self._patience.pause())
            return None
        self._patience.rewarded()
        return page

    async def _page_of_a_repeat(self, request: Exchange) -> Page | None:
        """The request may have claimed a job, or may do so yet, with nobody there to hear of it: ask what came of it.

        None where the lane is stopping and there is no answer soon: then it is left to the lease.
        """
        lane = self._lane
        page: Page | None = None
        while page is None:
            last = lane.stopping
            give_up = anyio.current_time() + _LAST_SECONDS if last else math.inf
            with lane.vigil.asking(give_up):
                page, _ = await self._caller.answer(replace(request, claim=0 if last else 1, repeated=True))
            if last:
                break
        return page

    async def _await_marker(self) -> None:
        lane = self._lane
        try:
            woken = await lane.backend.wait(lane.queue.name, self._seconds)
        except BackendError:
            await asyncio.sleep(self._patience.pause())
            woken = False
        else:
            self._patience.rewarded()
        if woken and lane.hungry <= 0:
            # Another worker does not get this marker now: pass it on.
            lane.rearm = True
        # Also when nothing came: a marker may have been lost with a failed server.
        lane.look_now()
