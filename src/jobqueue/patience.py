"""How long to wait before the next try, where what is wanted is away and will come back."""

from __future__ import annotations

import random

_FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0


class Patience:
    """Pauses between tries, in seconds: each up to twice as long as the one before, two at the most, and none in step
    with those of others, whom a server that has just come back could not serve all at once.
    """

    def __init__(self) -> None:
        self._pause = _FIRST_PAUSE

    def pause(self, most: float = LONGEST_PAUSE) -> float:
        """How long to wait after one more try has failed; never more than ``most``."""
        pause = min(self._pause, most)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        return pause * random.uniform(0.5, 1.0)

    def rewarded(self) -> None:
        """There was an answer."""
        self._pause = _FIRST_PAUSE
