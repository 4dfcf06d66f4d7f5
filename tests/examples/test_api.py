"""The web API answers at once: 202 for what it took, 422 for what is wrong, 503 while the backend is away."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2 as httpx
import pytest

from examples.ticketing.api import create_app
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.desk.loopback_server import served
from examples.ticketing.service import JobsService
from jobqueue import BackendUnavailable, Job, connect

CASE = Case(next(generate_requests(1, seed=1)))
CREATED, QUOTED, APPROVED, _, COMPLETED, _ = CASE.steps


@pytest.fixture
async def jobs() -> AsyncIterator[JobsService]:
    async with connect("memory://") as backend:
        yield JobsService(backend)


@pytest.fixture
async def client(jobs: JobsService) -> AsyncIterator[httpx.AsyncClient]:
    async with _client_of(jobs) as http:
        yield http


@asynccontextmanager
async def _client_of(jobs: JobsService) -> AsyncGenerator[httpx.AsyncClient]:
    @asynccontextmanager
    async def open_jobs() -> AsyncGenerator[JobsService]:
        yield jobs

    async with served(create_app(open_jobs)) as url, httpx.AsyncClient(base_url=url) as http:
        yield http


async def test_a_ticket_is_accepted_before_anything_is_done(client: httpx.AsyncClient, jobs: JobsService) -> None:
    response = await client.post("/tickets", content=CREATED.model_dump_json())
    assert response.status_code == 202
    assert response.json()["job_id"] == CREATED.job_id
    assert response.headers["Location"] == f"/jobs/tickets/{CREATED.job_id}"
    assert (await jobs.tickets.counts()).waiting == 1


async def test_every_step_has_its_door(client: httpx.AsyncClient, jobs: JobsService) -> None:
    doors = ("", "/quote", "/approve", "/assign", "/complete", "/payments")
    for step, door in zip(CASE.steps, doors, strict=True):
        path = f"/tickets/{step.ticket.id}{door}" if door else "/tickets"
        assert (await client.post(path, content=step.model_dump_json())).status_code == 202
    counts = await jobs.tickets.counts()
    assert (counts.waiting, counts.blocked) == (6, 1), "and the invoice, which waits for two of them"


async def test_a_completion_answers_with_the_invoice_to_come(client: httpx.AsyncClient) -> None:
    await client.post(f"/tickets/{CASE.ticket.id}/approve", content=APPROVED.model_dump_json())
    response = await client.post(f"/tickets/{CASE.ticket.id}/complete", content=COMPLETED.model_dump_json())
    assert response.status_code == 202
    invoice = (await client.get(response.headers["Location"])).json()
    assert (invoice["type"], invoice["state"]) == ("invoice.created", "blocked")


async def test_what_was_never_approved_cannot_be_completed(client: httpx.AsyncClient, jobs: JobsService) -> None:
    response = await client.post(f"/tickets/{CASE.ticket.id}/complete", content=COMPLETED.model_dump_json())
    assert response.status_code == 409
    assert (await jobs.tickets.counts()).total == 0


async def test_the_same_request_twice_is_one_job(client: httpx.AsyncClient, jobs: JobsService) -> None:
    for _ in range(2):
        assert (await client.post("/tickets", content=CREATED.model_dump_json())).status_code == 202
    assert (await jobs.tickets.counts()).waiting == 1


@pytest.mark.parametrize("body", ["", "no json", "[]", "{}", '{"ticket": {"id": "../etc"}}'])
async def test_what_is_no_ticket_is_refused_with_reasons(
    client: httpx.AsyncClient, jobs: JobsService, body: str
) -> None:
    response = await client.post("/tickets", content=body)
    assert response.status_code == 422
    assert response.json()["errors"]
    assert (await jobs.tickets.counts()).waiting == 0


async def test_path_and_body_must_mean_the_same_ticket(client: httpx.AsyncClient) -> None:
    response = await client.post("/tickets/T-other/quote", content=QUOTED.model_dump_json())
    assert response.status_code == 422


async def test_a_job_can_be_looked_up(client: httpx.AsyncClient) -> None:
    await client.post("/tickets", content=CREATED.model_dump_json())
    response = await client.get(f"/jobs/tickets/{CREATED.job_id}")
    assert response.json()["state"] == "waiting"


@pytest.mark.parametrize("path", ["/jobs/tickets/unknown", "/jobs/unknown/unknown", "/jobs/tickets/%20"])
async def test_an_unknown_job_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_health_tells_how_much_is_waiting(client: httpx.AsyncClient) -> None:
    await client.post("/tickets", content=CREATED.model_dump_json())
    assert (await client.get("/health")).json() == {"status": "ok", "waiting": 1}


class _BackendIsAway(JobsService):
    async def enqueue_step(self, *_: Any, **__: Any) -> Job[Any]:
        raise BackendUnavailable


async def test_while_the_backend_is_away_the_client_is_told_when_to_come_back() -> None:
    async with connect("memory://") as backend, _client_of(_BackendIsAway(backend)) as http:
        response = await http.post("/tickets", content=CREATED.model_dump_json())
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
