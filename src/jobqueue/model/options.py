"""What a caller may ask for, validated; and the part of it that travels with the job to the worker."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from jobqueue.errors import InvalidOption
from jobqueue.model.naming import checked_name
from jobqueue.model.outcome import Retention
from jobqueue.model.retry import Retry, as_retry
from jobqueue.model.times import Seconds, span_ms

HIGHEST_PRIORITY_NUMBER = 2_097_151
MOST_TAGS = 16


class Priority(IntEnum):
    """Names for the four usual priorities. Lower numbers run first; any whole number from 0 to 2 097 151 will do."""

    CRITICAL = 1
    HIGH = 2
    NORMAL = 3
    LOW = 4


@dataclass(frozen=True, slots=True)
class Keep:
    """How long finished jobs are remembered.

    ``completed`` and ``failed`` keep the newest so many of the queue's completed, and of its failed and
    cancelled, jobs (None: all; 0: the job is dropped at once). ``age`` drops a finished job after so many
    seconds (None: never). Both are enforced: the count when a job finishes, the age by any worker's upkeep.
    Raises InvalidOption.
    """

    completed: int | None = 100
    failed: int | None = None
    age: Seconds | None = None

    def __post_init__(self) -> None:
        for name, count in (("completed", self.completed), ("failed", self.failed)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 0):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption(f"keep: {name} must be None (all) or a whole number from 0, not {count!r}")
        if self.age is not None:
            span_ms("keep: age", self.age, zero=False)

    def _age_ms(self) -> int | None:
        return None if self.age is None else span_ms("age", self.age)

    def for_completed(self) -> Retention:
        """As a settlement asks for it."""
        return Retention(self.completed, self._age_ms())

    def for_failed(self) -> Retention:
        """As a settlement asks for it; cancelled jobs too."""
        return Retention(self.failed, self._age_ms())


DEFAULT_KEEP = Keep()


Path = tuple[str | int, ...]
Ref = tuple[Path, str, Path]


@dataclass(frozen=True, slots=True)
class JobOptions:
    """Options that travel with a job, each None where nobody asked for anything.

    ``timeout`` is in seconds. ``waits``: it depends on others, so its worker asks what became of them. ``flow`` is
    'queue/id' of the flow it belongs to. ``refs`` are places in its data that its worker fills with results: path, the
    job ('queue/id') whose result it is, path in that.
    """

    retry: Retry | None = None
    timeout: float | None = None
    keep: Keep | None = None
    tags: tuple[str, ...] = ()
    waits: bool = False
    flow: str = ""
    refs: tuple[Ref, ...] = ()

    def over(self, weaker: JobOptions) -> JobOptions:
        """These options, with what they leave open taken from ``weaker``."""
        if self is _NONE:
            return weaker
        if weaker is _NONE:
            return self
        return JobOptions(
            retry=self.retry if self.retry is not None else weaker.retry,
            timeout=self.timeout if self.timeout is not None else weaker.timeout,
            keep=self.keep if self.keep is not None else weaker.keep,
            tags=self.tags or weaker.tags,
            waits=self.waits,
            flow=self.flow,
            refs=self.refs,
        )

    def encode(self) -> bytes:
        """Compact JSON, empty where nothing was asked for. Raises InvalidOption for a backoff function."""
        if self is _NONE:
            return b""
        stored: dict[str, Any] = {}
        if self.retry is not None:
            if not self.retry.storable:
                raise InvalidOption(
                    "retry: a backoff function cannot travel with a job; declare it on the processor or the job type"
                )
            stored["retry"] = _changed(self.retry, Retry())
        if self.timeout is not None:
            stored["timeout"] = self.timeout
        if self.keep is not None:
            stored["keep"] = _changed(self.keep, Keep())
        if self.tags:
            stored["tags"] = self.tags
        if self.waits:
            stored["waits"] = True
        if self.flow:
            stored["flow"] = self.flow
        if self.refs:
            stored["refs"] = self.refs
        return to_json(stored) if stored else b""

    @staticmethod
    def decode(stored: bytes) -> JobOptions:
        """What ``encode`` made; unknown fields are passed over, and what makes no sense counts as not asked for."""
        if not stored:
            return _NONE
        try:
            asked = _OPTIONS.validate_python(from_json(stored))
            if asked.timeout is not None:
                span_ms("timeout", asked.timeout, zero=False)
        except (ValueError, ValidationError, InvalidOption):
            return _NONE
        return asked


_NONE = JobOptions()
NO_OPTIONS = _NONE
_OPTIONS = TypeAdapter(JobOptions)


def options(
    *,
    retry: Retry | int | bool | None = None,
    timeout: Seconds | None = None,
    keep: Keep | None = None,
    tags: Iterable[str] = (),
) -> JobOptions:
    """Validated options. Raises InvalidOption or InvalidName."""
    if retry is None and timeout is None and keep is None and not tags:
        return _NONE
    if isinstance(tags, str):
        raise InvalidOption(f"tags must be a list of names, not one text: tags=[{tags!r}]")
    named = tuple(checked_name("tag", tag) for tag in tags)
    if len(named) > MOST_TAGS:
        raise InvalidOption(f"a job may have {MOST_TAGS} tags at the most, not {len(named)}")
    if keep is not None and not isinstance(keep, Keep):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"keep must be a Keep(...), not {type(keep).__name__}")
    return JobOptions(
        retry=None if retry is None else as_retry(retry),
        timeout=None if timeout is None else span_ms("timeout", timeout, zero=False) / 1000,
        keep=keep,
        tags=named,
    )


def checked_priority(value: int) -> int:
    """A priority. Raises InvalidOption."""
    if type(value) is int and 0 <= value <= HIGHEST_PRIORITY_NUMBER:
        return value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= HIGHEST_PRIORITY_NUMBER:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(
            f"priority must be a whole number from 0 (first) to {HIGHEST_PRIORITY_NUMBER}, not {value!r}; "
            "Priority.CRITICAL is 1, Priority.LOW is 4"
        )
    return int(value)


def _changed(value: Retry | Keep, default: Retry | Keep) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for name in value.__dataclass_fields__:
        found: Any = getattr(value, name)
        if found != getattr(default, name):
            changed[name] = found.total_seconds() if hasattr(found, "total_seconds") else found
    return changed
