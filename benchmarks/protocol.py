"""What the harness and a contestant say to each other: one JSON object a line.

A request is ``{"measure": NAME, "params": {...}}``. A reply is ``{"result": {...}}``, ``{"unsupported": WHY}`` or
``{"error": WHAT}``. It stands on the standard library alone, because it is used in every rival's environment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


class BadLine(ValueError):
    """A line that is not of the protocol."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the harness asks."""

    measure: str
    params: dict[str, Any] = field(default_factory=dict[str, Any])

    def line(self) -> str:
        """The request as one line."""
        return json.dumps({"measure": self.measure, "params": self.params}, separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, line: str) -> Request:
        """The request of a line. Raises BadLine."""
        message = _object(line)
        measure, params = message.get("measure"), message.get("params", {})
        if not isinstance(measure, str) or not isinstance(params, dict):
            raise BadLine(f"not a request: {line[:200]!r}")
        return cls(measure, params)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a contestant answers; exactly one of the three is there."""

    result: dict[str, Any] | None = None
    unsupported: str | None = None
    error: str | None = None

    def line(self) -> str:
        """The reply as one line."""
        return json.dumps(_only_one(self), separators=(",", ":")) + "\n"

    @classmethod
    def parse(cls, line: str) -> Reply:
        """The reply of a line. Raises BadLine."""
        message = _object(line)
        reply = cls(message.get("result"), message.get("unsupported"), message.get("error"))
        _only_one(reply)
        return reply


def _object(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        raise BadLine(f"not JSON: {line[:200]!r}") from None
    if not isinstance(message, dict):
        raise BadLine(f"not an object: {line[:200]!r}")
    return message


def _only_one(reply: Reply) -> dict[str, Any]:
    given = {"result": reply.result, "unsupported": reply.unsupported, "error": reply.error}
    present = {name: value for name, value in given.items() if value is not None}
    if len(present) != 1:
        raise BadLine(f"a reply holds exactly one of result, unsupported and error, not {sorted(present)}")
    return present
