"""A record that a newer release has written is given back untouched; one that nobody could read is buried."""

from __future__ import annotations

import logging

import pytest

from jobqueue import JobState, Queue, Registry, Worker
from jobqueue.backends.protocol import NewRecord
from jobqueue.model.naming import is_of_newer_release


@pytest.mark.parametrize(
    ("stored", "newer"),
    [
        ("ticket.created format=2", True),
        ("ticket.created format=9999", True),
        ("ticket.created", False),
        ("ticket.created 2", False),
        ("ticket.created format=", False),
        ("ticket.created format=2 more", False),
        ("Ticket Created format=2", False),
        (" format=2", False),
    ],
)
def test_a_mark_is_not_mistaken(stored: str, newer: bool) -> None:
    assert is_of_newer_release(stored) is newer


async def test_a_newer_record_is_given_back_untouched(
    tickets: Queue, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    @registry.processor("n")
    async def never(job: object) -> None:
        raise AssertionError("it was read as if it were of this release")

    backend = await tickets.backend()
    await backend.enqueue("tickets", [NewRecord("newer", "n format=2", b'{"sealed":"x"}', options=b'{"new":1}')])
    await backend.enqueue("tickets", [NewRecord("nameless", "n 2", b"1")])
    with caplog.at_level(logging.WARNING, "jobqueue"):
        await Worker(tickets, registry=registry).drain()
    record = await backend.get("tickets", "newer")
    assert record is not None
    assert (record.state, record.type, record.data, record.options) == (
        JobState.DELAYED, "n format=2", b'{"sealed":"x"}', b'{"new":1}',
    )  # fmt: skip
    assert (record.failures, record.stalls, record.error) == (0, 0, None)
    assert "job.newer" in [line.message for line in caplog.records]
    nameless = await backend.get("tickets", "nameless")
    assert nameless is not None
    assert nameless.state is JobState.FAILED
