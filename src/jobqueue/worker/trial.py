"""Lets the suspect of a lane begin, once it is alone there and the backend knows that it begins.

Only from then on a lost worker counts against it: while it waited for its neighbours to end, one of them may have been
the one that killed the worker. So whoever has cost two workers beside others can only be buried for what happens while
it runs alone.
"""

from __future__ import annotations

import asyncio

from jobqueue.backends.protocol import Begun
from jobqueue.errors import BackendError
from jobqueue.patience import Patience
from jobqueue.worker.lane import Lane


class Trial:
    """A lane's. Where no job has cost workers it does nothing."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    async def run(self) -> None:
        """One suspect after the other, for ever."""
        lane, patience = self._lane, Patience()
        while True:
            await lane.cleared.wait()
            lane.cleared.clear()
            suspect = lane.lone_suspect
            if suspect is None:
                continue
            try:
                held = await lane.backend.annotate(lane.queue.name, suspect.id, suspect.token or 0, Begun())
            except BackendError:
                await asyncio.sleep(patience.pause())
                lane.cleared.set()
                continue
            patience.rewarded()
            # Meanwhile it may have gone back, or been lost.
            if lane.lone_suspect is suspect:
                lane.try_suspect(held=held)
