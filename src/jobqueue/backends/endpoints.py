"""The part of the seam that webhooks need: what is stored of an endpoint, and what a queue leaves for it.

Whom a change of a job is told to is settled in the very step that makes the change: a notice for each endpoint that
wants it is left in the queue's outbox, and becomes a delivery, a job of the queue that the endpoint names. So whatever
dies afterwards, none is lost, and none is told to an endpoint that came later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from jobqueue.model.notice import Occasion, Part

MOST_ENDPOINTS = 100
"""The most endpoints of one queue."""
ALL_TYPES = "*"


class EndpointState(StrEnum):
    """``on``: it is delivered to; ``paused``: deliveries are made and wait; ``disabled``: none are made any more."""

    ON = "on"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Rules:
    """What an endpoint is told: on which occasions, of which job types, and where its deliveries go.

    ``types`` are names, or beginnings of names with a ``*`` at the end. ``whole`` has notices carry all that a codec
    needs to check a job, whatever the endpoint is told.
    """

    occasions: frozenset[Occasion]
    target: str
    types: tuple[str, ...] = (ALL_TYPES,)
    include: frozenset[Part] = frozenset()
    whole: bool = False

    def want(self, occasion: Occasion, job_type: str) -> bool:
        """Whether it is told of this."""
        return occasion in self.occasions and any(_matches(wanted, job_type) for wanted in self.types)


@dataclass(frozen=True, slots=True)
class EndpointRecord:
    """An endpoint as it is stored. ``definition`` is JSON with the address and the secrets, which no backend looks
    into.

    ``revision`` is a name that each change gives it anew. ``reason`` says why it is not on, ``since_ms`` since when it
    is in its state.
    """

    id: str
    revision: str
    rules: Rules
    definition: bytes = field(repr=False)
    state: EndpointState = EndpointState.ON
    reason: str = ""
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """Make an endpoint, or change it from ``expected`` (its revision now, "" where there is none) to ``revision``."""

    id: str
    expected: str
    revision: str
    rules: Rules
    definition: bytes = field(repr=False)
    state: EndpointState = EndpointState.ON
    reason: str = ""


class Endpoints(Protocol):
    """Endpoints of a queue; every id has been checked by the caller."""

    async def write_endpoint(self, queue: str, change: EndpointChange) -> bool:
        """Make or change an endpoint; False, and nothing written, if it is not as ``change`` expects.

        Raises BackendFull, with nothing written, where the queue has MOST_ENDPOINTS or the server no memory. A repeat
        after a lost reply is recognised by its revision.
        """
        ...

    async def remove_endpoint(self, queue: str, endpoint: str) -> bool:
        """Forget an endpoint; False if there is none. What has been left for it stays."""
        ...

    async def find_endpoints(self, queue: str, *, ids: Sequence[str] | None = None) -> list[EndpointRecord]:
        """Those of ``ids`` that exist, or all, by id."""
        ...


def _matches(wanted: str, job_type: str) -> bool:
    return job_type.startswith(wanted[:-1]) if wanted.endswith("*") else job_type == wanted
