"""Who blocks the event loop: the job whose processor is on the loop's stack at this moment, and where it is.

Looked up from another thread, and only once a loop has not answered for long: nothing is written down for it while
all is well.
"""

from __future__ import annotations

import sys
import sysconfig
from dataclasses import dataclass
from types import FrameType

from jobqueue.model.record import JobRecord
from jobqueue.worker.executor import Executor

_RUN = Executor.run.__code__
_LIBRARIES = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@dataclass(frozen=True, slots=True)
class Culprit:
    """``job_id`` and ``type`` are empty where no job's processor is on the stack: something else blocks the loop."""

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
        if frame.f_code is _RUN:
            record = frame.f_locals.get("record")
            if isinstance(record, JobRecord):
                return Culprit(record.id, record.type, where)
        if not where and not frame.f_code.co_filename.startswith(("<", *_LIBRARIES)):
            where = f"{frame.f_globals.get('__name__', '?')}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
    return Culprit("", "", where)
