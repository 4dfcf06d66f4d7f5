"""What the books say is owed."""

from __future__ import annotations

from examples.ticketing.desk.books import nights


def test_a_report_that_fell_due_by_the_clock_meanwhile_is_owed() -> None:
    """Two in the morning in Los Angeles, in winter and in summer."""
    due = ["report.nightly:2026-11-27T10:00:00Z", "report.nightly:2026-07-27T09:00:00Z"]
    others = [
        "report.nightly:2026-11-27T09:00:00Z",
        "report.nightly:2026-11-27T10:00:01Z",
        "report.nightly:by hand",
        "report.weekly:2026-11-27T10:00:00Z",
        "T-1.created",
    ]
    assert nights([*others, *due]) == due
