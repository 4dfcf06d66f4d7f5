"""When a delivery is tried again: the schedule that Standard Webhooks gives, a little later each time by a draw."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from jobqueue.model.retry import Retry
from jobqueue.webhooks.failures import DeliveryFailed

_MINUTE, _HOUR = 60.0, 3600.0
SCHEDULE: tuple[float, ...] = (
    5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR,
)  # fmt: skip
"""Seconds to rest after each failed try: ten tries in three days and a few hours."""
JITTER = 0.2
LONGEST_REST = 24 * _HOUR
"""Nobody is left alone for longer because it asks to be."""


def policy(schedule: Sequence[float], draw: Callable[[], float] = random.random) -> Retry:
    """As many tries as the schedule has rests, and one."""

    def rest_after(failed_try: int, error: BaseException) -> float:
        rest = schedule[failed_try - 1] * (1 + JITTER * draw())
        asked = error.retry_after if isinstance(error, DeliveryFailed) else None
        return rest if asked is None else max(rest, later(asked, draw))

    longest = max((LONGEST_REST, *schedule)) * (1 + JITTER)
    return Retry(attempts=len(schedule) + 1, backoff=rest_after, cap=longest)


def later(seconds: float, draw: Callable[[], float] = random.random) -> float:
    """Not before, and not all at the same moment."""
    return seconds * (1 + JITTER / 2 * draw()) + draw()


def retry_after_of(header: str | None, now: datetime) -> float | None:
    """Seconds, from a Retry-After header: a number or a date; at most a day. None where it says neither."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), LONGEST_REST)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max(0.0, (moment - now).total_seconds()), LONGEST_REST)
