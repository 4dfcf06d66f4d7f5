"""LogLine: what a processor wrote down about its job."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from jobqueue.model.times import moment


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line a processor wrote: when, in which attempt, at which level, the message and its fields."""

    at: datetime
    attempt: int
    level: str
    message: str
    fields: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, stored: bytes) -> LogLine:
        """From the JSON that is stored."""
        line = from_json(stored)
        return cls(
            at=moment(int(line.get("at", 0))),
            attempt=int(line.get("attempt", 0)),
            level=str(line.get("level", "")),
            message=str(line.get("message", "")),
            fields=dict(line.get("fields", {})),
        )
