"""A pump: takes a lane's finished jobs and free slots, makes one exchange of them, and hands the answer out.

Two pumps to a lane overlap the server's work with Python's: while one waits for its answer the other sends what
has come in meanwhile. A request that got no answer is sent again, the very same, until there is one: the
backend recognises it, so that nothing is settled twice and no claimed job is lost with the reply.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter

from jobqueue.backends.protocol import MAX_BATCH, Exchange, Page, Settlement
from jobqueue.errors import BackendError
from jobqueue.patience import Patience
from jobqueue.worker.lane import Lane


class Pump:
    """One of a lane's pumps."""

    def __init__(self, lane: Lane, number: int, *, lease_ms: int, share: int) -> None:
        self._lane = lane
        self._caller = f"{lane.worker_id}/{number}"
        self._lease_ms = lease_ms
        self._share = share
        self._sequence = 0

    async def run(self) -> None:
        """Exchange for ever."""
        lane = self._lane
        while True:
            # What waits for a place is claimed along with the settlement that frees it.
            hungry = lane.hungry if lane.look or (lane.crowded and lane.finished) else 0
            claim = min(self._share + lane.prefetch.ahead, hungry, MAX_BATCH) if hungry > 0 else 0
            if not (lane.finished or claim or lane.rearm):
                await lane.rest()
                continue
            lane.rearm = False
            settlements, lane.finished = lane.finished[:MAX_BATCH], lane.finished[MAX_BATCH:]
            await self._exchange(settlements, claim)

    async def _exchange(self, settlements: list[Settlement], claim: int) -> None:
        lane = self._lane
        self._sequence += 1
        suspects = lane.quarantine.ask()
        rooms = lane.rooms.ask() if claim else {}
        request = Exchange(
            worker=lane.worker_id,
            caller=self._caller,
            sequence=self._sequence,
            settlements=settlements,
            claim=claim,
            lease_ms=self._lease_ms,
            dead_letter=lane.queue.dead_letter,
            tallies=lane.tallies.take(),
            suspect_stalls=lane.quarantine.stalls,
            suspects=suspects,
            reserve=True,
            rooms=rooms,
            lag_ms=lane.lag.ms if claim and lane.paced else 0,
        )
        page: Page | None = None
        repeated = False
        hints = lane.begin_exchange(claim)
        began, sent = perf_counter(), lane.lag.now()
        try:
            page, repeated = await self._answer(request)
            lane.prefetch.answered(perf_counter() - began)
            lane.settled(settlements, page.refused)
        finally:
            lane.quarantine.answered(suspects)
            lane.rooms.answered(rooms)
            lane.end_exchange(claim, page, hints=hints, asked_at=began, repeated=repeated)
            if page is not None and (page.leases or lane.resting) and not repeated:
                lane.lag.claimed(sent)

    async def _answer(self, request: Exchange) -> tuple[Page, bool]:
        lane, patience, lost = self._lane, Patience(), False
        while True:
            try:
                page = await lane.backend.exchange(lane.queue.name, request)
            except BackendError as error:
                lost = True
                lane.outage.lost(self._caller, error)
                await asyncio.sleep(patience.pause())
                request = replace(request, repeated=True)
                continue
            if lost:
                lane.outage.answered(self._caller)
            return page, lost
