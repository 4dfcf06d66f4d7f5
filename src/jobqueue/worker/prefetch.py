"""How many jobs a lane claims beyond its free slots.

A slot that ends a short job stands idle until the server has answered, which may take ten times as long as the job. So
a lane that runs nothing but short jobs asks for as many more as its slots will get through until the answer is here.
As soon as one job takes longer, it asks for what it has slots for again, and a job that has waited here for
``LONGEST_WAIT`` without a slot goes back to the front of the queue, where another worker may take it.
"""

from __future__ import annotations

import math

SHORT_SECONDS = 0.025
"""No job is claimed ahead of others that take longer than this."""
LONGEST_WAIT = 0.05
"""Seconds that a claimed job may wait here for a slot."""

_MOST = 100
_ENOUGH_SEEN = 16
_FORGET = 1 / 8
_FORGET_LONG = 1 / 64


class Prefetch:
    """What one lane has seen of its jobs and of the server, and what follows."""

    def __init__(self, slots: int, *, enabled: bool = True) -> None:
        self._slots = slots
        self._most = _MOST if enabled else 0
        self._seen = 0
        self._run = 0.0
        self._answer = 0.0
        self.ahead = 0
        """How many more jobs than there are free slots are worth having."""

    def stop(self) -> None:
        """No more claiming ahead: where starts are counted, a job must start when it is claimed."""
        self._most = self.ahead = 0

    def ran(self, seconds: float) -> None:
        """A job took this long. A long one counts at once, and is forgotten slowly."""
        self._seen += 1
        if seconds > SHORT_SECONDS:
            self._run = max(self._run, seconds)
            self.ahead = 0
        else:
            self._run += (seconds - self._run) * (_FORGET_LONG if self._run > SHORT_SECONDS else _FORGET)

    def answered(self, seconds: float) -> None:
        """An exchange took this long."""
        self._answer += (seconds - self._answer) * _FORGET
        if self._seen < _ENOUGH_SEEN or self._run > SHORT_SECONDS:
            self.ahead = 0
        else:
            # A far server, or one that was away, takes longer to answer than a claimed job may wait here.
            useful = min(self._answer, LONGEST_WAIT / 2)
            self.ahead = min(self._most, math.ceil(self._slots * useful / max(self._run, 1e-6)))
