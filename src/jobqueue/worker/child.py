"""The other side of ``run_in="process"``: what happens in the child.

Only names and stored records cross over, in both directions: the processor is found by its import path, its
result comes back as JSON and its error as text, so that nothing has to be picklable but strings and numbers.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

from jobqueue.backends.memory import MemoryBackend
from jobqueue.errors import JobQueueError, RateLimited, Snooze, Unrecoverable
from jobqueue.job import Job
from jobqueue.model.record import JobError, JobRecord
from jobqueue.processors import Processor, plain_result
from jobqueue.running import CURRENT, Attempt
from jobqueue.verdict import describe


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of it: a result (JSON), or an error with what it asked for; and the lines logged."""

    result: bytes | None = None
    error: JobError | None = None
    signal: str = ""
    after: float = 0.0
    lines: tuple[bytes, ...] = ()


class ChildError(JobQueueError):
    """An error in a child process, as text."""

    def __init__(self, described: JobError) -> None:
        super().__init__(described.message)
        self.described = described


def run_in_child(module: str, qualname: str, record: JobRecord) -> Answer:
    """Run one job's processor here."""
    found: Any = reduce(getattr, qualname.split("."), importlib.import_module(module))
    processor = cast("Processor[Any, Any]", found)
    attempt = Attempt(record, None)
    token = CURRENT.set(attempt)
    try:
        job = Job[Any, Any](record, MemoryBackend(), payload=processor.job_type.data, attempt=attempt)
        result = plain_result(processor.function(job))
        encoded = processor.job_type.result.encode(result, what="result")
        return Answer(result=encoded, lines=tuple(attempt.lines))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  (whatever it is, the parent decides what it means, and this child lives on)
        signal = next((kind.__name__ for kind in (Snooze, RateLimited, Unrecoverable) if isinstance(error, kind)), "")
        after = error.after if isinstance(error, (Snooze, RateLimited)) else 0.0
        return Answer(error=describe(error), signal=signal, after=after, lines=tuple(attempt.lines))
    finally:
        CURRENT.reset(token)


def error_of(answer: Answer) -> Exception:
    """The child's error as an exception again."""
    described = answer.error or JobError("Unknown")
    match answer.signal:
        case "Snooze":
            return Snooze(answer.after)
        case "RateLimited":
            return RateLimited(answer.after)
        case "Unrecoverable":
            return Unrecoverable(described.message)
        case _:
            return ChildError(described)
