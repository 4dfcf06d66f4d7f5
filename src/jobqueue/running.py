"""The job that runs here and now: one context variable, read only when somebody asks."""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from anyio import CancelScope

from jobqueue.model.links import Input
from jobqueue.model.record import JobRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LINES_HELD = 200
_LONGEST_MESSAGE = 2000


class Attempt:
    """One run of a processor: the lease it runs under, the worker's resources, the log lines not yet written.

    What most runs never change stands in the class: one is made for every job.
    """

    lines: Sequence[bytes] = ()
    dropped = 0
    cancel_reason: str | None = None
    handed_back = False
    in_batch = False
    """Its scope is that of other jobs too."""
    in_thread = False
    max_attempts: int | None = None
    lease_lost = False
    inputs: tuple[Input, ...] = ()
    """What has become of the jobs that it depends on."""
    steps = 0
    children: Sequence[tuple[str, str]] = ()
    """Jobs it has added in this run: queue and id."""

    def __init__(self, record: JobRecord, resources: Any, scope: CancelScope | None = None) -> None:
        self.record = record
        self.resources = resources
        self.scope = scope

    @property
    def token(self) -> int:
        """The fencing number of the lease."""
        return self.record.token or 0

    def write(self, at_ms: int, level: str, message: str, fields: Mapping[str, Any] | None = None) -> None:
        """Hold one line for the job's logs; past 200 held lines the rest is counted, not kept."""
        if len(self.lines) >= _LINES_HELD:
            self.dropped += 1
            return
        text = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + "…"
        line: dict[str, Any] = {"at": at_ms, "attempt": self.record.attempt, "level": level, "message": text}
        if fields:
            line["fields"] = {str(name): _short(value) for name, value in list(fields.items())[:20]}
        self.hold((json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode(),))

    def hold(self, lines: Sequence[bytes]) -> None:
        """Hold lines that are made already."""
        self.lines = (*self.lines, *lines)

    def take_lines(self, at_ms: int) -> tuple[bytes, ...]:
        """The held lines, which are then no longer held."""
        if self.dropped:
            dropped, self.dropped = self.dropped, 0
            held, self.lines = self.lines, ()
            self.write(at_ms, "warning", f"{dropped} further lines were dropped")
            self.lines = (*held, *self.lines)
        lines, self.lines = tuple(self.lines), ()
        return lines


def _short(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if len(text) <= 500 else text[:500] + "…"


CURRENT: ContextVar[Attempt | None] = ContextVar("jobqueue_attempt", default=None)
"""The attempt that runs in this context; None outside a processor."""
