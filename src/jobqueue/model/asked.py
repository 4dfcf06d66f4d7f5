"""What callers ask a handle for: ids to look for, pages, reasons, patience.

Checked in the caller's stack, so that every backend is asked the same.
"""

from __future__ import annotations

import math

from jobqueue.errors import InvalidName, InvalidOption
from jobqueue.model.times import Seconds, span_ms

LONGEST_PAGE = 1000
LONGEST_REASON = 1000


def looked_for(what: str, job_id: str) -> str:
    """An id to look for: any text, also one that nothing can be called. Raises InvalidName."""
    if not isinstance(job_id, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidName(f"{what} must be a text, not {type(job_id).__name__}")
    # Half a character (a lone surrogate) has no bytes to look for; nothing is called by what stands for it here.
    return job_id if job_id.isascii() else job_id.encode("utf-8", "backslashreplace").decode()


def whole(name: str, value: int, least: int, most: int | None = None) -> int:
    """A whole number in its bounds. Raises InvalidOption."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_whole or value < least or (most is not None and value > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise InvalidOption(f"{name} must be a whole number {bounds}, not {value!r:.60}")
    return value


def page(limit: int, offset: int = 0) -> None:
    """So many, after so many. Raises InvalidOption."""
    whole("limit", limit, 0, LONGEST_PAGE)
    whole("offset", offset, 0)


def because(reason: str) -> str:
    """Why somebody cancels or pauses; what is longer is cut. Raises InvalidOption."""
    if not isinstance(reason, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"reason must be a text, not {type(reason).__name__}")
    return reason[:LONGEST_REASON]


def patience(timeout: Seconds | None) -> float | None:
    """How long somebody waits, in seconds; None: for ever. Raises InvalidOption."""
    if timeout is None or timeout == math.inf:
        return None
    return span_ms("timeout", timeout) / 1000
