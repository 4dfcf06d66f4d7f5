"""The events of one queue: bounded, numbered, readable from any number on."""

from __future__ import annotations

from collections import deque
from itertools import islice

from jobqueue.backends.memory.signals import Bell
from jobqueue.backends.protocol import EventPage
from jobqueue.backends.refusals import no_cursor
from jobqueue.model.events import EVENTS_KEPT, Event, EventType

_PAGE = 1000

_Entry = tuple[EventType, str, int, str]


class Journal:
    """Keeps the newest :data:`EVENTS_KEPT` events.

    Numbers go on rising when the queue is forgotten, so cursors stay good.
    """

    def __init__(self) -> None:
        self._entries: deque[_Entry] = deque(maxlen=EVENTS_KEPT)
        self._written = 0
        self.bell = Bell()

    def tell(self, kind: EventType, job_id: str, at_ms: int, detail: str = "") -> None:
        """Write one event. Readers are woken by :meth:`publish`, once for all that a step told."""
        self._entries.append((kind, job_id, at_ms, detail))
        self._written += 1

    def tell_all(self, entries: list[_Entry]) -> None:
        """Write events of one step."""
        self._entries.extend(entries)
        self._written += len(entries)

    def publish(self) -> None:
        """Wake whoever waits for events."""
        self.bell.ring()

    def forget(self) -> None:
        """Drop every event."""
        self._entries.clear()

    def cursor(self) -> str:
        """Where the journal ends now."""
        return str(self._written)

    async def read(self, after: str | None, seconds: float) -> EventPage:
        """See :meth:`jobqueue.backends.protocol.Backend.events`."""
        if after is None:
            return EventPage((), self.cursor())
        if not after.isascii() or not after.isdigit():
            raise no_cursor(after)
        seen = int(after)
        if self._written <= seen:
            await self.bell.hear(seconds)
        # A cursor from another life of this process, ahead of our numbers, begins at our end.
        oldest = self._written - len(self._entries)
        first = max(0, seen - oldest)
        events = tuple(
            Event(str(oldest + place + 1), *entry)
            for place, entry in enumerate(islice(self._entries, first, first + _PAGE), first)
        )
        return EventPage(events, events[-1].id if events else str(max(seen, oldest)))


def one_line(text: str) -> str:
    """Text as it stands in an event: on one line."""
    return text.replace("\r", " ").replace("\n", " ")
