"""Jobs that have cost several workers run alone in their lane, so that a guilty one takes nobody with it.

A worker that dies loses all its jobs, the one that killed it and its innocent neighbours, and they come back together.
Without this they would be claimed together again, until all of them had lost as many workers as is allowed and were
buried side by side. A lane asks for one such suspect at a time, lets it start when it holds nothing else (trial.py),
and claims nothing until it is through. Of the lanes of a worker one at a time has a suspect: they share the process
that it may take down.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobqueue.model.record import JobRecord


class Dock:
    """Where the suspects of one worker stand: one at a time, of whatever lane."""

    def __init__(self) -> None:
        self._taken_by: Quarantine | None = None

    def take(self, quarantine: Quarantine) -> bool:
        """Whether this lane's suspect may stand here, which it does then."""
        if self._taken_by is None:
            self._taken_by = quarantine
        return self._taken_by is quarantine

    def leave(self, quarantine: Quarantine) -> None:
        """This lane has no suspect any more."""
        if self._taken_by is quarantine:
            self._taken_by = None


class Quarantine:
    """A lane's suspect, if it has one. A job is a suspect that has cost ``stalls`` workers."""

    def __init__(self, stalls: int, dock: Dock) -> None:
        self.stalls = stalls
        self._dock = dock
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

    def sift(self, claimed: Sequence[JobRecord]) -> tuple[Sequence[JobRecord], Sequence[JobRecord]]:
        """Keep the suspect, if there is one; returns the others, and the suspects for which there is no place in this
        worker now.
        """
        if not any(record.stalls >= self.stalls for record in claimed):
            return claimed, ()
        others: list[JobRecord] = []
        turned_away: list[JobRecord] = []
        for record in claimed:
            if record.stalls < self.stalls or self.closed:
                others.append(record)
            elif self._dock.take(self):
                self.waiting, self.closed = record, True
            else:
                turned_away.append(record)
        return others, turned_away

    def enter(self) -> JobRecord | None:
        """The suspect, which is to be started now."""
        record, self.waiting = self.waiting, None
        if record is not None:
            self._inside = record.id
        return record

    def drop(self) -> JobRecord | None:
        """The suspect, which will not be started here."""
        record, self.waiting = self.waiting, None
        if record is not None:
            self._open()
        return record

    def left(self, job_id: str) -> None:
        """A job is through, or went back unstarted."""
        if job_id == self._inside:
            self._inside = ""
            self._open()

    def _open(self) -> None:
        self.closed = False
        self._dock.leave(self)
