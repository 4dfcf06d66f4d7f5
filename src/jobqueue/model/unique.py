"""Unique: a key that only one job of a queue may hold, and what becomes of another one that comes with it."""

from __future__ import annotations

from dataclasses import dataclass, field

from jobqueue.errors import InvalidOption
from jobqueue.model.naming import checked_key
from jobqueue.model.times import Seconds, span_ms


@dataclass(frozen=True, slots=True)
class Unique:
    """Another job with the same ``key``, in the same queue, falls; whoever enqueued it is given the job that stood.

    * ``Unique(key)``: until the job that holds the key is done (completed, failed for good, cancelled, removed).
    * ``ttl`` (seconds or timedelta): for so long from the job that stood, whether it is done or not.
    * ``replace``: a job that has not begun takes over the type, data and options of the one that falls; if it is still
      delayed, its delay counts anew. Once it has begun, the next one is a new job, which takes the key.
    * ``keep_last``: a job that has not begun takes over those of the one that falls, and keeps its time. While one is
      running (or between two attempts), one more is kept, blocked, until that is done; it takes over those of whoever
      comes after it.

    With both ``replace`` and ``keep_last`` there is at most one that runs and one that is still to run, its delay
    counted from the last. ``key`` is 1 to 200 of ``A-Z a-z 0-9 . _ : @ / + = ~ -``; it is stored as it is, so it should
    hold no secret. Raises InvalidName, InvalidOption.
    """

    key: str
    ttl: Seconds | None = field(default=None, kw_only=True)
    replace: bool = field(default=False, kw_only=True)
    keep_last: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        checked_key(self.key)
        for name, value in (("replace", self.replace), ("keep_last", self.keep_last)):
            if not isinstance(value, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption(f"unique: {name} must be True or False, not {value!r}")
        if self.ttl is None:
            return
        if self.replaces:
            raise InvalidOption(
                "unique: ttl lets nothing through for a time, replace and keep_last let the last one through: "
                "give one or the other (the time of a replaced job is its own delay)"
            )
        # One way to write each span, so that equal ones compare so.
        object.__setattr__(self, "ttl", span_ms("unique: ttl", self.ttl, zero=False) / 1000)

    @property
    def ttl_ms(self) -> int | None:
        """For how many ms the key is held, None: until the job is done."""
        return None if self.ttl is None else span_ms("unique: ttl", self.ttl, zero=False)

    @property
    def replaces(self) -> bool:
        """Whether the last one is wanted rather than the first."""
        return self.replace or self.keep_last

    @property
    def word(self) -> str:
        """As it is stored with its job: a letter for the kind, a ttl in ms, a colon, the key."""
        kind = {(True, True): "b", (True, False): "r", (False, True): "k"}.get((self.replace, self.keep_last))
        return f"{kind or ('u' if self.ttl is None else 't')}{self.ttl_ms or ''}:{self.key}"


def as_unique(value: Unique | str) -> Unique:
    """A Unique, or a bare key: until done. Raises InvalidName, InvalidOption."""
    if isinstance(value, str):
        return Unique(value)
    if not isinstance(value, Unique):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidOption(f"unique must be a Unique(key, ...) or a key, not {type(value).__name__}")
    return value


def key_of(word: str) -> str:
    """The key in what ``Unique.word`` made; empty for anything else."""
    return word.partition(":")[2]
