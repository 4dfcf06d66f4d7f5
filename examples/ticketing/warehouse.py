"""The analysts' warehouse: one table of events. SQLite stands in for whatever a business has.

Writing a hundred rows in one transaction costs about what writing one does, which is why events come in batches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

from examples.ticketing.events import Figures, TicketEvent

_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    id TEXT PRIMARY KEY, ticket TEXT, landlord TEXT, step TEXT, cents INTEGER, happened_at REAL, batch TEXT
) WITHOUT ROWID
"""
_FIGURES = "SELECT step, count(*), sum(cents) FROM events WHERE happened_at >= ? AND happened_at < ? GROUP BY step"


class Warehouse:
    """May be used from any thread and any process. Every method blocks for as long as the disk takes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def store(self, events: Mapping[str, TicketEvent]) -> None:
        """All of them or none, in one transaction. What is stored under an id already is left alone."""
        batch = uuid4().hex
        rows = [
            (id_, one.ticket, one.landlord, one.step, int(one.amount * 100), one.happened_at.timestamp(), batch)
            for id_, one in events.items()
        ]
        with self._opened() as database:
            database.executemany("INSERT OR IGNORE INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def figures(self, since: datetime, until: datetime) -> Figures:
        """What happened from ``since`` up to, and not at, ``until``."""
        with self._opened() as database:
            found = database.execute(_FIGURES, (since.timestamp(), until.timestamp())).fetchall()
        counts = {step: (count, cents) for step, count, cents in found}
        return Figures(
            reported=counts.get("created", (0, 0))[0],
            invoiced=counts.get("invoiced", (0, 0))[0],
            paid=counts.get("paid", (0, 0))[0],
            takings=Decimal(counts.get("paid", (0, 0))[1]) / 100,
        )

    def ids(self) -> set[str]:
        """Of all events."""
        with self._opened() as database:
            return {id_ for (id_,) in database.execute("SELECT id FROM events")}

    def batches(self) -> int:
        """How many transactions it took to write them."""
        with self._opened() as database:
            return database.execute("SELECT count(DISTINCT batch) FROM events").fetchone()[0]

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        """A connection and, on it, a transaction: committed at the end, rolled back by an error."""
        with closing(sqlite3.connect(self._path, timeout=20)) as database:
            database.execute(_TABLE)
            with database:
                yield database
