"""How much later than they are claimed a lane's jobs start, lately: a rate is to hold for starts.

The backend counts a start when it hands the job out. The answer then travels, and the loop may have other things to do,
now more and now less: two starts that were counted a period apart may happen in less than one. So a lane under a rate
measures how late its jobs are, and the backend has starts count for so much longer.
"""

from __future__ import annotations

import asyncio
import math

from jobqueue.clock import Clock

_FORGETS = 0.95
"""What remains of the worst with each time that was better."""


class Lag:
    """Measured with the ``clock`` of the lane, so that where time stands still nothing is ever late."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds = 0.0

    @property
    def ms(self) -> int:
        """What to reckon with, in whole ms: other workers may be somewhat later than this one."""
        return math.ceil(1500 * self._seconds)

    def now(self) -> float:
        """The moment at which an exchange is sent."""
        return self._clock.monotonic()

    def claimed(self, asked: float) -> None:
        """Slots have been woken for what came of an exchange sent then; none of them has had its turn of the loop."""
        # The next answer may take longer on its way than this one did.
        self._late(2 * (self.now() - asked))
        asyncio.get_running_loop().call_soon(self._started, asked)

    def _started(self, asked: float) -> None:
        self._late(self.now() - asked)

    def _late(self, seconds: float) -> None:
        self._seconds = max(seconds, self._seconds * _FORGETS)
