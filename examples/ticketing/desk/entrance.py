"""The two ways into the application: its own service, and the web API. Either waits until the steps' jobs are done."""

from __future__ import annotations

from typing import Any, Protocol, assert_never

import anyio
import httpx2 as httpx

from examples.ticketing.service import JobsService
from examples.ticketing.steps import (
    AnyStep,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
)
from jobqueue import BackendUnavailable, Job

PATIENCE = 300.0
"""Seconds that the people at the desk wait for one job."""

SERVICE_UNAVAILABLE = 503


class Entrance(Protocol):
    async def take(self, *steps: AnyStep) -> None:
        """Enqueue ``steps``, one right after the other, and wait for their jobs, and for an invoice that comes of
        them.

        Raises JobFailed, BackendUnavailable, or TimeoutError after :data:`PATIENCE`.
        """
        ...


class ServiceEntrance:
    """As code within the application enqueues."""

    def __init__(self, jobs: JobsService) -> None:
        self._jobs = jobs

    async def take(self, *steps: AnyStep) -> None:
        for job in [await self._enqueue(step) for step in steps]:
            await job.result(timeout=PATIENCE)

    async def _enqueue(self, step: AnyStep) -> Job[Any, Any]:
        match step:
            case TicketCreated():
                return await self._jobs.enqueue_ticket_created(step)
            case TicketQuoted():
                return await self._jobs.enqueue_ticket_quoted(step)
            case TicketApproved():
                return await self._jobs.enqueue_ticket_approved(step)
            case TicketAssigned():
                return await self._jobs.enqueue_ticket_assigned(step)
            case TicketCompleted():
                return await self._jobs.enqueue_ticket_completed(step)
            case PaymentReceived():
                return await self._jobs.enqueue_payment_received(step)
        assert_never(step)


class WebEntrance:
    """As other people's programs do it: over HTTP."""

    def __init__(self, http: httpx.AsyncClient, jobs: JobsService) -> None:
        self._http = http
        self._jobs = jobs

    async def take(self, *steps: AnyStep) -> None:
        for job_id in [await self._post(step) for step in steps]:
            # The API answers before the work is done. A job that is no longer there has been done and forgotten.
            if job := await self._jobs.tickets.get(job_id):
                await job.result(timeout=PATIENCE)

    async def _post(self, step: AnyStep) -> str:
        response = await self._http.post(_path(step), content=step.model_dump_json())
        if response.status_code == SERVICE_UNAVAILABLE:
            await anyio.sleep(float(response.headers["Retry-After"]))
            raise BackendUnavailable(response.text)
        response.raise_for_status()
        return response.json()["job_id"]


def _path(step: AnyStep) -> str:
    ticket = f"/tickets/{step.ticket.id}"
    match step:
        case TicketCreated():
            return "/tickets"
        case TicketQuoted():
            return f"{ticket}/quote"
        case TicketApproved():
            return f"{ticket}/approve"
        case TicketAssigned():
            return f"{ticket}/assign"
        case TicketCompleted():
            return f"{ticket}/complete"
        case PaymentReceived():
            return f"{ticket}/payments"
    assert_never(step)
