"""What one queue has to tell others: the contents of its outbox."""

from __future__ import annotations

from typing import NamedTuple

from jobqueue.model.notice import Notice
from jobqueue.model.record import JobError, JobRecord


class Letter(NamedTuple):
    """``target`` gets a letter about ``record``, which is as it was when it failed."""

    target: str
    record: JobRecord


class Outcome(NamedTuple):
    """How a job ended, as its heirs are told."""

    state: str
    result: bytes | None = None
    error: JobError | None = None
    reason: str = ""


class Edge(NamedTuple):
    """A job or flow ``heir`` of ``target`` is told what has become of ``parent`` ('queue/id')."""

    target: str
    heir: str
    parent: str
    policy: str
    outcome: Outcome
    at_ms: int


class Link(NamedTuple):
    """A job ``parent`` of ``target`` is to tell ``heir`` ('queue/id') when it ends."""

    target: str
    parent: str
    heir: str
    policy: str


class Reopen(NamedTuple):
    """A member of a flow of ``target`` has not ended any more."""

    target: str
    flow: str
    member: str
    at_ms: int


class Telling(NamedTuple):
    """Endpoints are told of a job, each by a delivery in ``target``."""

    target: str
    notices: tuple[Notice, ...]


Effect = Letter | Edge | Link | Reopen | Telling
