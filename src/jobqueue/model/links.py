"""Dependencies between jobs: edges, what becomes of them, and whole flows of jobs, as a backend stores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, cast, runtime_checkable

from jobqueue.errors import InvalidOption
from jobqueue.model.naming import checked_job_id, checked_name
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


def need_of(key: str, on_failure: OnFailure = OnFailure.FAIL) -> Need:
    """The edge to a job named 'queue/id'."""
    queue, _, job_id = key.partition("/")
    return Need(queue, job_id, on_failure)


@runtime_checkable
class JobRef(Protocol):
    """Whatever stands for one job: a Job, or a node of a flow."""

    @property
    def queue(self) -> str:
        """The name of its queue."""
        ...

    @property
    def id(self) -> str:
        """Its id there."""
        ...


@dataclass(frozen=True, slots=True)
class After:
    """One dependency with a policy of its own.

    ``job`` is a Job, a flow's node, or a pair of queue name and job id; ``on_failure`` is "fail", "run" or "ignore".
    """

    job: JobRef | tuple[str, str]
    on_failure: OnFailure | str = OnFailure.FAIL


DependsOn = JobRef | tuple[str, str] | After
"""What a job may be said to depend on."""


def needs_of(
    depends_on: Iterable[DependsOn], on_failure: OnFailure | str, *, most: int = MOST_NEEDS
) -> tuple[Need, ...]:
    """Validated edges, each job once. Raises InvalidOption or InvalidName."""
    if not is_list(depends_on):
        raise InvalidOption("depends_on must be a list of jobs: depends_on=[job], or [(queue, job_id)]")
    policy = checked_policy(on_failure)
    needs: dict[str, Need] = {}
    for one in depends_on:
        need = _need(one.job, checked_policy(one.on_failure)) if isinstance(one, After) else _need(one, policy)
        needs[need.key] = need
    if len(needs) > most:
        raise InvalidOption(f"a job may depend on {most} others at the most, not {len(needs)}: submit them as a Flow")
    return tuple(needs.values())


def is_list(value: object) -> bool:
    """Whether somebody gave several, and not the one itself."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, JobRef))


def checked_policy(value: OnFailure | str) -> OnFailure:
    """A policy. Raises InvalidOption."""
    try:
        return OnFailure(value)
    except ValueError:
        raise InvalidOption(f"on_failure must be one of {', '.join(OnFailure)}, not {value!r}") from None


def _need(job: object, on_failure: OnFailure) -> Need:
    if isinstance(job, JobRef):
        return Need(job.queue, job.id, on_failure)
    pair = cast("tuple[Any, ...]", job if isinstance(job, tuple) else ())
    if len(pair) == 2:
        return Need(checked_name("queue", pair[0]), checked_job_id(pair[1]), on_failure)
    kind = cast("object", job).__class__.__name__
    raise InvalidOption(f"depends_on holds a {kind}: give Jobs, pairs (queue, job_id), or After(job, …)")


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
