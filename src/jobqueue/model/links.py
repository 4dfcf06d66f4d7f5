"""Dependencies between jobs: edges, what becomes of them, and whole flows of jobs, as a backend stores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from jobqueue.model.record import JobError

MOST_NEEDS = 1000
"""Jobs that one ``enqueue`` may depend on; inside a flow a job may depend on all the others."""
MOST_IN_FLOW = 100_000


class OnFailure(StrEnum):
    """What becomes of a job when one that it depends on does not complete: fails, is cancelled or removed.

    ``FAIL``: it fails too, with the cause. ``RUN``: it runs all the same, and sees the failure. ``IGNORE``: it runs
    as if it had never depended on it.
    """

    FAIL = "fail"
    RUN = "run"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Need:
    """One edge, as the job that waits knows it: the job it needs."""

    queue: str
    id: str
    on_failure: OnFailure = OnFailure.FAIL

    @property
    def key(self) -> str:
        """The needed job's name over all queues."""
        return f"{self.queue}/{self.id}"


@dataclass(frozen=True, slots=True)
class Input:
    """One edge with what it has come to. ``state``: completed, failed, cancelled or removed; '' as long as it is open.

    ``result`` is JSON (None for null), ``error`` set where it failed, ``reason`` where it was cancelled.
    """

    queue: str
    id: str
    on_failure: OnFailure
    state: str = ""
    result: bytes | None = None
    error: JobError | None = None
    reason: str = ""

    @property
    def key(self) -> str:
        """The needed job's name over all queues."""
        return f"{self.queue}/{self.id}"


@dataclass(frozen=True, slots=True)
class Spawning:
    """The running job that waits for a flow's jobs, and the lease under which it asks."""

    job_id: str
    token: int
    needs: Sequence[Need]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a member of a flow ended, and when; ``result`` (JSON) is kept where nobody in the flow depends on it."""

    state: str
    at_ms: int
    result: bytes | None = None


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """What a flow remembers: for each member ('queue/id') what it was given to remember, and how those have ended that
    have.
    """

    members: Mapping[str, bytes]
    ended: Mapping[str, Ended] = field(default_factory=dict[str, Ended])


def dependency_error(key: str, state: str, error: JobError | None) -> JobError:
    """Why a job fails whose dependency ``key`` did. The first cause goes down the line as it is."""
    if error is not None and error.type == DEPENDENCY_FAILED:
        return error
    how = "failed" if state == "failed" else f"was {state}"
    kind = f": {_plain(error.type)}" if error is not None and error.type else ""
    return JobError(DEPENDENCY_FAILED, f"dependency {key} {how}{kind}")


DEPENDENCY_FAILED = "DependencyFailed"


def _plain(kind: str) -> str:
    allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
    return "".join(chr(byte) if chr(byte) in allowed else "?" for byte in kind.encode())
