"""A worker's ledger: a middleware that writes down each run of a job as it begins and as it ends.

jobqueue keeps the last completed jobs only, so figures over a whole day have to be taken as the work is done.
Each worker process has a file of its own, which is only ever added to; a line at the beginning, too, because
a worker that is killed writes none at the end.
"""

from __future__ import annotations

import json
from asyncio import CancelledError
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from time import perf_counter, time
from typing import Any

from jobqueue import CallNext, Job, RateLimited, Snooze, Unrecoverable


class Mark(StrEnum):
    """What a line of the ledger says of a run."""

    BEGAN = "began"
    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"
    RELEASED = "released"
    CUT_OFF = "cut off"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line, written ``at`` that time of this machine's clock. ``started`` is when the server gave out the job, by
    its clock (both in seconds since 1970). ``waited`` is how long the job was due before this run began, ``took`` how
    long the run was; seconds."""

    mark: Mark
    job_id: str
    queue: str
    type: str
    attempt: int
    group: str = ""
    at: float = 0.0
    started: float = 0.0
    waited: float = 0.0
    took: float = 0.0


class Ledger:
    """The middleware. ``Worker(..., middleware=[Ledger(path)])``"""

    def __init__(self, path: Path) -> None:
        # Line-buffered: a line is in the file, whole, before the next one is begun.
        self._file = path.open("a", buffering=1, encoding="utf-8")

    def close(self) -> None:
        self._file.close()

    async def __call__(self, job: Job[Any, Any], call_next: CallNext) -> Any:
        began = perf_counter()
        mark = Mark.DONE
        self._write(job, Mark.BEGAN, waited=_waited(job))
        try:
            return await call_next(job)
        except CancelledError:
            mark = Mark.CUT_OFF
            raise
        except Exception as error:
            mark = _mark_for(error, job)
            raise
        finally:
            self._write(job, mark, took=perf_counter() - began)

    def _write(self, job: Job[Any, Any], mark: Mark, *, waited: float = 0.0, took: float = 0.0) -> None:
        entry = Entry(
            mark,
            job.id,
            job.queue,
            job.type,
            job.attempt,
            group=job.group or "",
            at=time(),
            started=job.started_at.timestamp() if job.started_at else 0.0,
            waited=round(waited, 4),
            took=round(took, 4),
        )
        self._file.write(json.dumps(asdict(entry)) + "\n")


def _waited(job: Job[Any, Any]) -> float:
    """Both times are the server's, so that the difference holds whatever this machine's clock says."""
    due = job.run_at or job.created_at
    return (job.started_at - due).total_seconds() if job.started_at else 0.0


def _mark_for(error: Exception, job: Job[Any, Any]) -> Mark:
    if isinstance(error, (Snooze, RateLimited)):
        return Mark.RELEASED
    if isinstance(error, Unrecoverable) or job.attempt >= job.max_attempts:
        return Mark.DEAD
    return Mark.RETRY


def read_ledgers(folder: Path) -> Iterator[Entry]:
    """The entries of all workers. The last line of a worker that was killed may be torn, and is left out."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    fields = json.loads(line)
                    yield Entry(**fields | {"mark": Mark(fields["mark"])})
