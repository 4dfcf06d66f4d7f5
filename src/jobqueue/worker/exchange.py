"""A pump: takes a lane's finished jobs and free slots, makes one exchange of them, and hands the answer out.

Two pumps to a lane overlap the server's work with Python's: while one waits for its answer the other sends what
has come in meanwhile.
"""

from __future__ import annotations

from time import perf_counter

from jobqueue.backends.protocol import MAX_BATCH, Page, Settlement
from jobqueue.worker.caller import Caller
from jobqueue.worker.lane import Lane


class Pump:
    """One of a lane's pumps, which asks for up to ``share`` jobs for its slots."""

    def __init__(self, lane: Lane, caller: Caller, *, share: int) -> None:
        self._lane = lane
        self._caller = caller
        self._share = share

    async def run(self) -> None:
        """Exchange for ever."""
        lane = self._lane
        while True:
            # What waits for a place is claimed along with the settlement that frees it.
            hungry = lane.hungry if lane.look or (lane.crowded and lane.finished) else 0
            if hungry > 0 and not lane.make_room_to_ask():
                hungry = 0
            claim = min(self._share + lane.prefetch.ahead, hungry, MAX_BATCH) if hungry > 0 else 0
            if not (lane.finished or claim or lane.rearm):
                await lane.rest()
                continue
            lane.rearm = False
            settlements, lane.finished = lane.finished[:MAX_BATCH], lane.finished[MAX_BATCH:]
            await self._exchange(settlements, claim)

    async def _exchange(self, settlements: list[Settlement], claim: int) -> None:
        lane = self._lane
        suspects = lane.quarantine.ask()
        rooms = lane.rooms.ask() if claim else {}
        request = self._caller.request(claim)
        request.settlements = settlements
        request.tallies = lane.tallies.take()
        request.suspects = suspects
        request.rooms = rooms
        request.lag_ms = lane.lag.ms if claim and lane.paced else 0
        page: Page | None = None
        repeated = False
        hints = lane.begin_exchange(claim)
        began, sent = perf_counter(), lane.lag.now()
        try:
            page, repeated = await self._caller.answer(request)
            lane.prefetch.answered(perf_counter() - began)
            lane.settled(settlements, page.refused)
        finally:
            lane.quarantine.answered(suspects)
            lane.rooms.answered(rooms)
            lane.end_exchange(claim, page, hints=hints, asked_at=began, repeated=repeated)
            if page is not None and (page.leases or lane.resting) and not repeated:
                lane.lag.claimed(sent)
