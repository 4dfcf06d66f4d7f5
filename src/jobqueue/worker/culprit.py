"""Who blocks the event loop: the job whose processor is on the loop's stack at this moment, and where it is.

Looked up from another thread, and only once a loop has not answered for long: nothing is written down for it while
all is well.
"""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType
from typing import cast

from jobqueue.model.record import JobRecord
from jobqueue.running import Attempt
from jobqueue.worker.batch_executor import BatchExecutor
from jobqueue.worker.executor import Executor

_RUN, _RUN_BATCH = Executor.run.__code__, BatchExecutor.run.__code__
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@dataclass(frozen=True, slots=True)
class Culprit:
    """The first job, of a batch. ``job_id`` and ``type`` are empty where something else than a job is on the stack."""

    job_id: str
    type: str
    where: str
    """The innermost line that is no library's: ``module:line in function``."""


def culprit(thread: int) -> Culprit | None:
    """What the thread with this identifier is doing; None if there is no such thread."""
    # No other way leads to another thread's stack; faulthandler and debuggers take it too.
    frame: FrameType | None = sys._current_frames().get(thread)  # pyright: ignore[reportPrivateUsage]
    if frame is None:
        return None
    where = ""
    while frame is not None:
        record = _record(frame)
        if record is not None:
            return Culprit(record.id, record.type, where)
        if not where and not frame.f_code.co_filename.startswith(("<", *_LIBRARIES)):
            where = f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return Culprit("", "", where)


def _record(frame: FrameType) -> JobRecord | None:
    """The job that this frame runs; the first one of a batch."""
    if frame.f_code is _RUN:
        record = frame.f_locals.get("record")
        return record if isinstance(record, JobRecord) else None
    if frame.f_code is _RUN_BATCH:
        attempts = cast("Sequence[Attempt]", frame.f_locals.get("attempts") or ())
        return attempts[0].record if attempts else None
    return None
