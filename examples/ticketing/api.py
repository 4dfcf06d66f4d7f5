"""The web API: checks a request, enqueues it and answers 202 at once. The work is done elsewhere, by the
workers.

``python -m examples.ticketing.api [--backend redis://…] [--port 8000]``

This desk keeps no database, so each request brings the ticket along as the caller knows it.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.ticketing.service import JobsService
from examples.ticketing.steps import (
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
    TicketStep,
)
from jobqueue import BackendError, InvalidName, Job, JobNotFound, connect

RETRY_AFTER = 5
"""Seconds after which a client may try again while the backend is away."""

StepT = TypeVar("StepT", bound=TicketStep)


def create_app(open_jobs: Callable[[], AbstractAsyncContextManager[JobsService]]) -> Starlette:
    """The application on the jobs service that ``open_jobs`` opens and closes."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with open_jobs() as jobs:
            app.state.jobs = jobs
            yield

    return Starlette(
        lifespan=lifespan,
        exception_handlers={
            ValidationError: _invalid,
            InvalidName: _not_found,
            JobNotFound: _too_early,
            BackendError: _unavailable,
        },
        routes=[
            Route("/tickets", create_ticket, methods=["POST"]),
            Route("/tickets/{ticket_id}/quote", quote_ticket, methods=["POST"]),
            Route("/tickets/{ticket_id}/approve", approve_ticket, methods=["POST"]),
            Route("/tickets/{ticket_id}/assign", assign_ticket, methods=["POST"]),
            Route("/tickets/{ticket_id}/complete", complete_ticket, methods=["POST"]),
            Route("/tickets/{ticket_id}/payments", pay_ticket, methods=["POST"]),
            Route("/jobs/{queue}/{job_id}", show_job),
            Route("/health", health),
        ],
    )


async def create_ticket(request: Request) -> Response:
    step = TicketCreated.model_validate_json(await request.body())
    return _accepted(await _jobs(request).enqueue_ticket_created(step))


async def quote_ticket(request: Request) -> Response:
    step = await _step(request, TicketQuoted)
    return _accepted(await _jobs(request).enqueue_ticket_quoted(step))


async def approve_ticket(request: Request) -> Response:
    step = await _step(request, TicketApproved)
    return _accepted(await _jobs(request).enqueue_ticket_approved(step))


async def assign_ticket(request: Request) -> Response:
    step = await _step(request, TicketAssigned)
    return _accepted(await _jobs(request).enqueue_ticket_assigned(step))


async def complete_ticket(request: Request) -> Response:
    """What is accepted, and can be looked up, is the invoice: it waits for everything else."""
    step = await _step(request, TicketCompleted)
    return _accepted(await _jobs(request).enqueue_ticket_completed(step))


async def pay_ticket(request: Request) -> Response:
    step = await _step(request, PaymentReceived)
    return _accepted(await _jobs(request).enqueue_payment_received(step))


async def show_job(request: Request) -> Response:
    job = await _jobs(request).find(request.path_params["queue"], request.path_params["job_id"])
    if job is None:
        raise HTTPException(404, "there is no such job, or it is done and no longer kept")
    return JSONResponse(_described(job) | {"attempt": job.attempt, "error": job.error and job.error.message})


async def health(request: Request) -> Response:
    counts = await _jobs(request).tickets.counts()
    return JSONResponse({"status": "ok", "waiting": counts.waiting})


async def _step(request: Request, model: type[StepT]) -> StepT:
    step = model.model_validate_json(await request.body())
    if step.ticket.id != request.path_params["ticket_id"]:
        raise HTTPException(422, "the ticket in the body is not the one in the path")
    return step


def _jobs(request: Request) -> JobsService:
    jobs: JobsService = request.app.state.jobs
    return jobs


def _accepted(job: Job[Any, Any]) -> Response:
    return JSONResponse(_described(job), 202, headers={"Location": f"/jobs/{job.queue}/{job.id}"})


def _described(job: Job[Any, Any]) -> dict[str, Any]:
    return {"queue": job.queue, "job_id": job.id, "type": job.type, "state": job.state}


async def _invalid(_: Request, error: Exception) -> Response:
    if not isinstance(error, ValidationError):
        raise error
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    return JSONResponse({"errors": errors}, 422)


async def _not_found(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 404)


async def _too_early(_: Request, error: Exception) -> Response:
    """The step depends on one that has not been taken."""
    return JSONResponse({"error": str(error)}, 409)


async def _unavailable(_: Request, error: Exception) -> Response:
    """The request was fine and may simply be sent again: its job id makes a repeat harmless."""
    return JSONResponse({"error": str(error)}, 503, headers={"Retry-After": str(RETRY_AFTER)})


def main() -> None:
    parser = argparse.ArgumentParser(description="The ticket desk's web API.")
    parser.add_argument("--backend", help="redis://…, embedded://PATH; without it REDIS_URL is read")
    parser.add_argument("--namespace", default="ticketing")
    parser.add_argument("--port", type=int, default=8000)
    options = parser.parse_args()

    @asynccontextmanager
    async def open_jobs() -> AsyncGenerator[JobsService]:
        # Falling back to memory would be an API whose jobs no worker can see.
        async with connect(options.backend, namespace=options.namespace, fallback="never") as backend:
            yield JobsService(backend)

    uvicorn.run(create_app(open_jobs), host="127.0.0.1", port=options.port)


if __name__ == "__main__":
    main()
