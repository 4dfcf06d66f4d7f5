"""The warehouse keeps each event once, a batch in one go, and counts what happened in a span of time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.events import Figures, Milestone, TicketEvent
from examples.ticketing.warehouse import Warehouse

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.sqlite3")


def events(count: int, *, at: datetime = NOON) -> dict[str, TicketEvent]:
    """All that happens to so many tickets."""
    news = [one for request in generate_requests(count, seed=7) for one in Case(request).news]
    return {f"{one.job_id}.tracked": TicketEvent.of(one, at) for one in news if isinstance(one, Milestone)}


def test_an_event_that_comes_twice_is_kept_once(warehouse: Warehouse) -> None:
    for _ in range(2):
        warehouse.store(events(3))
    assert warehouse.ids() == events(3).keys()
    assert warehouse.batches() == 1


def test_figures_count_steps_and_add_up_what_was_paid(warehouse: Warehouse) -> None:
    warehouse.store(events(3))
    takings = sum((Case(request).payment.amount for request in generate_requests(3, seed=7)), Decimal(0))
    figures = warehouse.figures(NOON, NOON + timedelta(seconds=1))
    assert figures == Figures(reported=3, invoiced=3, paid=3, takings=takings)


def test_a_day_ends_where_the_next_one_begins(warehouse: Warehouse) -> None:
    warehouse.store(events(2))
    day = timedelta(days=1)
    assert warehouse.figures(NOON - day, NOON).reported == 0
    assert warehouse.figures(NOON, NOON + day).reported == 2


def test_several_may_write_at_once(warehouse: Warehouse) -> None:
    all_of_them = events(40)
    parts = [{id_: event} for id_, event in all_of_them.items()]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(warehouse.store, parts))
    assert warehouse.ids() == all_of_them.keys()
    assert warehouse.batches() == len(parts)
