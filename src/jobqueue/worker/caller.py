"""A caller: makes a lane's exchanges, one at a time, each until there is an answer.

A request that got no answer is sent again, the very same, until there is one: the backend recognises it, so that
nothing is settled twice and no claimed job is lost with the reply.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from jobqueue.backends.protocol import Exchange, Page
from jobqueue.errors import BackendError
from jobqueue.patience import Patience
from jobqueue.worker.lane import Lane


class Caller:
    """One of a lane's callers, the ``number``-th."""

    def __init__(self, lane: Lane, number: int, *, lease_ms: int) -> None:
        self._lane = lane
        self._name = f"{lane.worker_id}/{number}"
        self._lease_ms = lease_ms
        self._sequence = 0

    def request(self, claim: int) -> Exchange:
        """A new exchange, in which nothing but the claim is set."""
        lane = self._lane
        self._sequence += 1
        return Exchange(
            worker=lane.worker_id,
            caller=self._name,
            sequence=self._sequence,
            claim=claim,
            lease_ms=self._lease_ms,
            dead_letter=lane.queue.dead_letter,
            suspect_stalls=lane.quarantine.stalls,
            suspects=0,
            reserve=True,
        )

    async def answer(self, request: Exchange) -> tuple[Page, bool]:
        """The answer, and whether it took more than one try."""
        lane, patience, lost = self._lane, Patience(), False
        while True:
            try:
                page = await lane.backend.exchange(lane.queue.name, request)
            except BackendError as error:
                lost = True
                lane.outage.lost(self._name, error)
                await asyncio.sleep(patience.pause())
                request = replace(request, repeated=True)
                continue
            lane.outage.answered(self._name)
            return page, lost
