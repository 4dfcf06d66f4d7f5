"""Times as callers give them, and as they are stored: integer milliseconds."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from jobqueue.errors import InvalidOption

Seconds = float | timedelta
"""A length of time: seconds, or a ``timedelta``."""

LONGEST_S = 10 * 365 * 86_400
"""Ten years: whoever asks for more has most likely mixed up seconds and milliseconds."""

LAST_MOMENT_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, with which datetimes end."""


def span_ms(name: str, value: Seconds, *, zero: bool = True) -> int:
    """A length of time in ms. Raises InvalidOption if it is negative, absurd, or no length of time at all."""
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"{name} must be seconds or a timedelta, not {type(value).__name__}")
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        raise InvalidOption(f"{name} must be {'0 or more' if zero else 'more than 0'} seconds, not {seconds!r}")
    if seconds > LONGEST_S:
        raise InvalidOption(f"{name} is more than ten years ({seconds!r} s); is it in milliseconds?")
    return max(1, round(seconds * 1000)) if seconds else 0


def moment_ms(name: str, value: datetime, now_ms: int) -> int:
    """An aware datetime in ms since 1970. Raises InvalidOption if it is naive or more than ten years away."""
    if not isinstance(value, datetime):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"{name} must be a datetime, not {type(value).__name__}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise InvalidOption(
            f"{name} has no time zone, so it could mean any of 24 moments: use datetime.now(UTC) or a ZoneInfo"
        )
    moment = round(value.timestamp() * 1000)
    if moment - now_ms > LONGEST_S * 1000:
        raise InvalidOption(f"{name} is more than ten years ahead: {value.isoformat()}")
    return max(0, moment)


def moment(ms: int) -> datetime:
    """Milliseconds since 1970 as an aware datetime."""
    return datetime.fromtimestamp(ms / 1000, UTC)
