"""Jobs that have cost several workers run alone in their lane, so that a guilty one takes nobody with it.

A worker that dies loses all its jobs, the one that killed it and its innocent neighbours, and they come back together.
Without this they would be claimed together again, until all of them had lost as many workers as is allowed and were
buried side by side. A lane asks for one such suspect at a time, lets it start when it holds nothing else (trial.py),
and claims nothing until it is through.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobqueue.model.record import JobRecord


class Quarantine:
    """A lane's suspect, if it has one. A job is a suspect that has cost ``stalls`` workers."""

    def __init__(self, stalls: int) -> None:
        self.stalls = stalls
        self.waiting: JobRecord | None = None
        """Claimed, and not to be started while others run."""
        self.closed = False
        """Whether the lane belongs to its suspect alone. Looked at between any two jobs."""
        self._inside = ""
        self._asked = 0

    def ask(self) -> int:
        """How many suspects (0 or 1) the lane's next exchange may bring."""
        asked = 0 if self.closed or self._asked else 1
        self._asked += asked
        return asked

    def answered(self, asked: int) -> None:
        """An exchange that asked for so many has come to its end."""
        self._asked -= asked

    def sift(self, claimed: Sequence[JobRecord]) -> Sequence[JobRecord]:
        """Keep the suspect, if there is one; returns the others."""
        if not any(record.stalls >= self.stalls for record in claimed):
            return claimed
        others: list[JobRecord] = []
        for record in claimed:
            if record.stalls >= self.stalls and not self.closed:
                self.waiting, self.closed = record, True
            else:
                others.append(record)
        return others

    def enter(self) -> JobRecord | None:
        """The suspect, which is to be started now."""
        record = self.drop()
        if record is not None:
            self._inside, self.closed = record.id, True
        return record

    def drop(self) -> JobRecord | None:
        """The suspect, which will not be started here."""
        record, self.waiting = self.waiting, None
        self.closed = self._inside != ""
        return record

    def left(self, job_id: str) -> None:
        """A job is through, or went back unstarted."""
        if job_id == self._inside:
            self._inside, self.closed = "", self.waiting is not None
