"""What a job is given by the jobs it depends on: their outcomes, and their results in its own data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json, to_json

from jobqueue.backends.protocol import Backend
from jobqueue.errors import JobFailed
from jobqueue.model.links import Input, JobRef
from jobqueue.model.options import JobOptions, Path, Ref
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.record import JobError
from jobqueue.model.refused import Refused
from jobqueue.running import Attempt

_WAITS = b'"waits":true'
"""In the options of a job that depends on others: looked for, so that decoding them once more is for those alone."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """A job that this one depended on, and what became of it.

    ``state`` is "completed", "failed", "cancelled" or "removed" (it was removed before it ran); "" as long as it is
    open. ``result`` is what its processor returned, as JSON values; ``error`` why it failed, ``reason`` why it was
    cancelled.
    """

    queue: str
    id: str
    state: str
    result: Any = None
    error: JobError | None = None
    reason: str = ""

    @property
    def completed(self) -> bool:
        """Whether it did what it should."""
        return self.state == "completed"

    @property
    def failure(self) -> JobFailed | None:
        """Its failure as an error to raise; None if it completed, or is open."""
        if self.completed or not self.state:
            return None
        error = self.error or JobError(self.state.capitalize(), self.reason)
        return JobFailed(
            f"job {self.id!r} {'failed' if self.error else 'was ' + self.state}: {error.type}: {error.message}",
            error_type=error.type,
            error_message=error.message,
            traceback=error.traceback,
        )


def dependency_of(found: Input) -> Dependency:
    """As a processor is shown it. Raises InvalidData if something else was stored as its result."""
    result = None if found.result is None else ANY_JSON.decode(found.result, what="result")
    return Dependency(found.queue, found.id, found.state, result, found.error, found.reason)


class Dependencies(Mapping[str, Dependency]):
    """The jobs that this one depended on, by 'queue/id'.

    Looking one up also takes a Job, a bare id, or the name of a node of the same flow. Raises KeyError for others.
    """

    def __init__(self, inputs: Sequence[Input], flow: str) -> None:
        self._found = {one.key: one for one in inputs}
        self._prefix = flow.partition("/")[2] + "/" if flow else ""
        self._ids: dict[str, str] = {}
        for key, one in self._found.items():
            self._ids.setdefault(one.id, key)

    def __getitem__(self, job: str | JobRef) -> Dependency:
        if not isinstance(job, str):
            job = f"{job.queue}/{job.id}"
        found = self._found.get(job) or self._found.get(self._ids.get(job, ""))
        if found is None and self._prefix:
            found = self._found.get(self._ids.get(self._prefix + job, ""))
        if found is None:
            raise KeyError(f"this job does not depend on {job!r}, or ignores its failure; it does on {list(self)[:10]}")
        return dependency_of(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class Results(Mapping[str, Any]):
    """What the jobs returned that this one depended on, by the same names. Raises JobFailed for one that did not
    complete.
    """

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    def __getitem__(self, job: str | JobRef) -> Any:
        found = self._dependencies[job]
        failure = found.failure
        if failure is not None:
            raise failure
        return found.result

    def __iter__(self) -> Iterator[str]:
        return iter(self._dependencies)

    def __len__(self) -> int:
        return len(self._dependencies)


async def bring_inputs(backend: Backend, attempt: Attempt) -> None:
    """Read what became of the jobs it depends on, and fill their results into its data; nothing if it depends on none.

    Raises BackendError.
    """
    record = attempt.record
    if _WAITS not in record.options:
        return
    asked = JobOptions.decode(record.options)
    attempt.inputs = tuple(await backend.inputs(record.queue, record.id))
    if asked.refs:
        record.data = filled(record.data, asked.refs, {one.key: one for one in attempt.inputs})


def filled(data: bytes, refs: Sequence[Ref], inputs: Mapping[str, Input]) -> bytes:
    """Data with results in their places; null for what has none. Refused if any of it was refused by a codec."""
    if isinstance(data, Refused):
        return data
    whole: Any = from_json(data)
    for path, key, inner in refs:
        found = inputs.get(key)
        result = None if found is None else found.result
        if isinstance(result, Refused):
            return Refused(f"waits for a result that {result.why}")
        value = None if result is None else _at(_json(result), inner)
        if not path:
            whole = value
            continue
        place: Any = _at(whole, path[:-1])
        if isinstance(place, (dict, list)):
            cast("dict[Any, Any]", place)[path[-1]] = value
    return to_json(whole)


def _json(stored: bytes) -> Any:
    try:
        return from_json(stored)
    except ValueError:
        # Somebody else wrote there: the check of the data says what is missing.
        return None


def _at(value: Any, path: Path) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
