"""How many more jobs of the types with a limit of their own a lane takes.

A worker that claimed what it cannot start would hold leases for nothing, so it says with each exchange of which types
it is full, and the backend passes those over.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from jobqueue.model.record import JobRecord


class Rooms:
    """``limits`` is how many jobs of a type may run in this lane at the same time."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = dict(limits)
        self.limited = bool(limits)
        """Whether any type has a limit; where none has, nothing here needs to be told."""
        self._held: dict[str, str] = {}
        self._asked: Counter[str] = Counter()

    def ask(self) -> dict[str, int]:
        """What the next exchange may bring: all the room there is, so that another one under way brings none of it."""
        if not self._limits:
            return {}
        taken = Counter(self._held.values()) + self._asked
        rooms = {name: max(0, most - taken[name]) for name, most in self._limits.items()}
        self._asked.update(rooms)
        return rooms

    def answered(self, rooms: Mapping[str, int]) -> None:
        """The exchange that asked for so much has come to its end."""
        self._asked.subtract(rooms)

    def enter(self, claimed: Sequence[JobRecord]) -> None:
        """These have been claimed."""
        if self._limits:
            self._held.update((record.id, record.type) for record in claimed if record.type in self._limits)

    def left(self, job_id: str) -> None:
        """A job is through, or went back."""
        if self._held:
            self._held.pop(job_id, None)
