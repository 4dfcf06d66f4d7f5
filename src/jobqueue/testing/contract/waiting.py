"""Waiting for a job and claiming it in one call."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from jobqueue.backends.protocol import Backend, Exchange, Page, Pause, Settlement
from jobqueue.model.outcome import Completed
from jobqueue.model.record import JobState
from jobqueue.testing.contract.steps import QUEUE, claim, put, state

LONG = 20.0
"""Seconds that no test waits for."""
SHORT = 0.01


def asked(sequence: int = 1, claim: int = 1) -> Exchange:
    """What a waker asks for."""
    return Exchange("w", "w/2", sequence, claim=claim)


def ids(page: Page) -> list[str]:
    """Of the jobs that were claimed."""
    return [lease.id for lease in page.leases]


class WaitingContract:
    """``await_jobs``, whether or not the backend makes one step of it."""

    async def test_what_waits_already_is_claimed_at_once(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        page = await backend.await_jobs(QUEUE, LONG, asked())
        assert (ids(page), page.more) == (["a"], True)
        (lease,) = page.leases
        assert (lease.state, lease.worker) == (JobState.ACTIVE, "w")
        settled = await backend.exchange(
            QUEUE, Exchange("w", "w/0", 1, [Settlement("a", lease.token or 0, Completed())])
        )
        assert settled.refused == frozenset()

    async def test_what_comes_is_claimed_when_it_comes(self, backend: Backend) -> None:
        waiting = asyncio.create_task(backend.await_jobs(QUEUE, LONG, asked()))
        await asyncio.sleep(0)
        await put(backend, "a")
        assert ids(await waiting) == ["a"]

    async def test_when_nothing_comes_there_is_a_page_all_the_same(self, backend: Backend) -> None:
        page = await backend.await_jobs(QUEUE, SHORT, asked())
        assert (page.leases, page.more) == ([], False)

    async def test_one_job_goes_to_one_of_those_who_wait(self, backend: Backend) -> None:
        waiting = [
            asyncio.create_task(backend.await_jobs(QUEUE, 1.0, Exchange(name, f"{name}/2", 1, claim=1)))
            for name in ("v", "w")
        ]
        await asyncio.sleep(0)
        await put(backend, "a")
        assert sorted(ids(page) for page in await asyncio.gather(*waiting)) == [[], ["a"]]

    async def test_what_it_leaves_wakes_the_next_one(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        await backend.await_jobs(QUEUE, LONG, asked())
        assert await backend.wait(QUEUE, LONG)

    async def test_nothing_comes_of_a_paused_queue(self, backend: Backend) -> None:
        await put(backend, "a")
        await backend.control(QUEUE, Pause())
        page = await backend.await_jobs(QUEUE, SHORT, asked())
        assert (page.leases, page.more, page.paused) == ([], True, True)

    async def test_one_whose_answer_was_lost_is_repeated_as_an_exchange(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        page = await backend.await_jobs(QUEUE, LONG, asked())
        again = await backend.exchange(QUEUE, replace(asked(claim=0), repeated=True))
        assert again.leases == page.leases
        assert await state(backend, "b") is JobState.WAITING

    async def test_one_that_was_given_up_claims_nothing_when_it_comes_after_all(self, backend: Backend) -> None:
        assert ids(await backend.exchange(QUEUE, replace(asked(claim=0), repeated=True))) == []
        await put(backend, "a")
        assert ids(await backend.await_jobs(QUEUE, LONG, asked())) == []
        assert await state(backend, "a") is JobState.WAITING
        assert await backend.wait(QUEUE, LONG), "the marker that it took goes to somebody else"

    async def test_one_that_comes_later_than_a_newer_one_claims_nothing(self, backend: Backend) -> None:
        await put(backend, "a", "b")
        assert ids(await backend.await_jobs(QUEUE, LONG, asked(sequence=2))) == ["a"]
        assert ids(await backend.await_jobs(QUEUE, LONG, asked(sequence=1))) == []
        assert await state(backend, "b") is JobState.WAITING
        assert await backend.wait(QUEUE, LONG)

    async def test_a_marker_that_went_with_one_who_gave_up_is_set_again(self, backend: Backend) -> None:
        waiting = asyncio.create_task(backend.await_jobs(QUEUE, LONG, asked()))
        await asyncio.sleep(SHORT)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await put(backend, "a")
        lost = ids(await backend.exchange(QUEUE, replace(asked(claim=0), repeated=True)))
        assert lost or await backend.wait(QUEUE, LONG)

    async def test_it_does_not_hinder_other_callers(self, backend: Backend) -> None:
        waiting = asyncio.create_task(backend.await_jobs(QUEUE, LONG, asked()))
        await asyncio.sleep(SHORT)
        assert await claim(backend) == []
        await put(backend, "a")
        assert ids(await waiting) == ["a"]
