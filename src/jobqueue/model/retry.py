"""When a failed job runs again: a pure decision, made by the worker, kept apart from everything that carries it out."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from jobqueue.errors import InvalidOption
from jobqueue.model.times import span_ms

BackoffFunction = Callable[[int, BaseException], float]
"""Given the number of the attempt that failed (from 1) and its error: seconds to wait, or a negative number to
give up.
"""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a job is tried and how long it rests in between.

    ``attempts`` is the total number of tries (1: no retry). ``backoff`` is ``"exponential"`` (``delay``, twice
    that, four times …), ``"fixed"`` (``delay`` each time), or a function. ``delay`` and ``cap`` are in seconds;
    no rest is longer than ``cap``. ``jitter`` (0 to 1) draws each rest from between ``(1 - jitter)`` of it and
    all of it, so that a thousand jobs that failed together do not come back together.

    The defaults are 3 attempts, 2 s, 4 s, 8 s …, at most an hour. Raises InvalidOption.
    """

    attempts: int = 3
    backoff: Literal["exponential", "fixed"] | BackoffFunction = "exponential"
    delay: float | timedelta = 2.0
    cap: float | timedelta = 3600.0
    jitter: float = 0.0

    def __post_init__(self) -> None:
        attempts: object = self.attempts
        if isinstance(attempts, bool) or not isinstance(attempts, int) or not 1 <= attempts <= 1000:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"retry: attempts must be a whole number from 1 to 1000, not {self.attempts!r}")
        if not callable(self.backoff) and self.backoff not in ("exponential", "fixed"):
            raise InvalidOption(f"retry: backoff must be 'exponential', 'fixed' or a function, not {self.backoff!r}")
        span_ms("retry: delay", self.delay)
        span_ms("retry: cap", self.cap)
        if isinstance(self.jitter, bool) or not 0 <= self.jitter <= 1:
            raise InvalidOption(f"retry: jitter must be between 0 and 1, not {self.jitter!r}")

    @property
    def storable(self) -> bool:
        """Whether a job can carry this policy; a function cannot travel."""
        return not callable(self.backoff)

    def delay_ms(
        self, failed_attempt: int, error: BaseException, draw: Callable[[], float] = random.random
    ) -> int | None:
        """Milliseconds to rest after attempt ``failed_attempt`` (from 1), or None: no further attempt."""
        if failed_attempt >= self.attempts:
            return None
        cap = span_ms("cap", self.cap)
        if callable(self.backoff):
            seconds = self.backoff(failed_attempt, error)
            if not math.isfinite(seconds) or seconds < 0:
                return None
            rest = min(round(seconds * 1000), cap)
        elif self.backoff == "fixed":
            rest = min(span_ms("delay", self.delay), cap)
        else:
            # The exponent is bounded before it is used: 2.0 ** 1100 would overflow.
            rest = min(cap, round(span_ms("delay", self.delay) * 2.0 ** min(failed_attempt - 1, 60)))
        return round(rest * (1 - self.jitter * draw()))


DEFAULT_RETRY = Retry()
NO_RETRY = Retry(attempts=1)


def as_retry(value: Retry | int | bool) -> Retry:
    """Short forms: a number of attempts, False for none. Raises InvalidOption."""
    if isinstance(value, Retry):
        return value
    if isinstance(value, bool):
        return DEFAULT_RETRY if value else NO_RETRY
    return Retry(attempts=value)
