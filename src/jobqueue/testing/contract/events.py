"""What happens is told, in order, to whoever follows."""

from __future__ import annotations

import asyncio

import pytest

from jobqueue.backends.protocol import Backend
from jobqueue.errors import InvalidOption
from jobqueue.model.events import RESULT_IN_EVENT, Event, EventType
from jobqueue.model.outcome import Completed, Failed, RetryAt
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, put, run, settle

T = EventType


class EventContract:
    """``events``."""

    async def test_a_job_s_life_is_told_in_order(self, backend: Backend) -> None:
        await put(backend, "a")
        (lease,) = await claim(backend)
        await settle(backend, lease, RetryAt(0, ERROR))
        (lease,) = await claim(backend)
        await settle(backend, lease, Completed(b"42"))
        events = (await backend.events(QUEUE, "0", 0)).events
        assert [(event.type, event.job_id, event.detail) for event in events] == [
            (T.ENQUEUED, "a", "ticket.created"),
            (T.STARTED, "a", ""),
            (T.RETRYING, "a", "0"),
            (T.STARTED, "a", ""),
            (T.COMPLETED, "a", "42"),
        ]

    async def test_results_travel_if_they_are_short(self, backend: Backend) -> None:
        await run(backend, "null", Completed())
        await run(backend, "long", Completed(b'"' + b"x" * RESULT_IN_EVENT + b'"'))
        told = {event.job_id: event.detail for event in await _all(backend) if event.type is T.COMPLETED}
        assert told == {"null": "null", "long": ""}

    async def test_a_failure_is_told_with_its_type(self, backend: Backend) -> None:
        await run(backend, "a", Failed(ERROR))
        assert [event.detail for event in await _all(backend) if event.type is T.FAILED] == ["ValueError"]

    async def test_from_now_on(self, backend: Backend) -> None:
        await put(backend, "before")
        page = await backend.events(QUEUE, None, 0)
        assert page.events == ()
        await put(backend, "after")
        assert [event.job_id for event in (await backend.events(QUEUE, page.cursor, 0)).events] == ["after"]

    async def test_going_on_from_any_event(self, backend: Backend) -> None:
        await put(backend, *"abc")
        await put(backend, "d")
        events = await _all(backend)
        for place, event in enumerate(events):
            rest: list[str] = []
            cursor = event.id
            while found := await backend.events(QUEUE, cursor, 0):
                if not found.events:
                    break
                rest += [later.job_id for later in found.events]
                cursor = found.cursor
            assert rest == [later.job_id for later in events[place + 1 :]]

    @pytest.mark.parametrize("after", ["", "garbage", "-1", "1-", "$", "+", "٣"])
    async def test_after_what_is_no_event(self, backend: Backend, after: str) -> None:
        with pytest.raises(InvalidOption, match="event"):
            await backend.events(QUEUE, after, 0)

    async def test_a_reader_is_woken(self, backend: Backend) -> None:
        page = await backend.events(QUEUE, None, 0)
        reading = asyncio.create_task(backend.events(QUEUE, page.cursor, 10))
        await asyncio.sleep(0)
        await put(backend, "a")
        assert [event.job_id for event in (await reading).events] == ["a"]

    async def test_a_second_enqueue_is_told_as_a_duplicate(self, backend: Backend) -> None:
        await put(backend, "a")
        await put(backend, "a")
        assert [event.type for event in await _all(backend)] == [T.ENQUEUED, T.DUPLICATE]


async def _all(backend: Backend) -> list[Event]:
    events: list[Event] = []
    cursor = "0"
    while True:
        page = await backend.events(QUEUE, cursor, 0)
        if not page.events:
            return events
        events += page.events
        cursor = page.cursor
