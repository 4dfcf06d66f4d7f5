"""Ticket jobs: each step tells the people it concerns, by fanning out into notification jobs.

A step may run twice (its worker may die just before it can say that it was done). That is harmless here: the
notices of a step have the same ids each time, and enqueueing an id that exists adds nothing.
"""

from __future__ import annotations

from examples.ticketing.contracts import (
    INVOICE_CREATED,
    PAYMENT_RECEIVED,
    TICKET_APPROVED,
    TICKET_ASSIGNED,
    TICKET_CREATED,
    TICKET_QUOTED,
    AnyStep,
    InvoiceCreated,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCreated,
    TicketQuoted,
)
from examples.ticketing.correspondence import notices_for
from examples.ticketing.resources import Resources
from jobqueue import Job, processor


@processor(TICKET_CREATED)
async def ticket_created(job: Job[TicketCreated]) -> None:
    await _tell_everyone(job.resource(Resources), job.data)


@processor(TICKET_QUOTED)
async def ticket_quoted(job: Job[TicketQuoted]) -> None:
    await _tell_everyone(job.resource(Resources), job.data)


@processor(TICKET_APPROVED)
async def ticket_approved(job: Job[TicketApproved]) -> None:
    await _tell_everyone(job.resource(Resources), job.data)


@processor(TICKET_ASSIGNED)
async def ticket_assigned(job: Job[TicketAssigned]) -> None:
    await _tell_everyone(job.resource(Resources), job.data)


@processor(INVOICE_CREATED)
async def invoice_created(job: Job[InvoiceCreated]) -> None:
    """Renders the invoice and sends it along."""
    desk = job.resource(Resources)
    documents = desk.stationery.invoice(job.data.ticket, job.data.invoice)
    for notice in notices_for(job.data):
        await desk.jobs.enqueue_notification(notice, attachments=documents)


@processor(PAYMENT_RECEIVED)
async def payment_received(job: Job[PaymentReceived]) -> None:
    await _tell_everyone(job.resource(Resources), job.data)


async def _tell_everyone(desk: Resources, step: AnyStep) -> None:
    await desk.jobs.enqueue_notifications(notices_for(step))
