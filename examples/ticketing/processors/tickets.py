"""Ticket jobs: each step tells the people it concerns, by fanning out into notification jobs.

A step may run twice (its worker may die just before it can say that it was done). That is harmless here: the
notices of a step have the same ids each time, and enqueueing an id that exists adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from examples.ticketing.contracts import (
    INVOICE_CREATED,
    PAYMENT_RECEIVED,
    TICKET_APPROVED,
    TICKET_ASSIGNED,
    TICKET_COMPLETED,
    TICKET_CREATED,
    TICKET_QUOTED,
    Attachment,
)
from examples.ticketing.correspondence import notices_for, update_for
from examples.ticketing.events import Milestone, TicketEvent
from examples.ticketing.resources import Resources
from examples.ticketing.steps import (
    InvoiceCreated,
    InvoiceDue,
    News,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
)
from examples.ticketing.ticket import Invoice, Quote, Work
from jobqueue import Job, processor


@processor(TICKET_CREATED)
async def ticket_created(job: Job[TicketCreated]) -> None:
    await _spread(job, job.data)


@processor(TICKET_QUOTED)
async def ticket_quoted(job: Job[TicketQuoted]) -> None:
    await _spread(job, job.data)


@processor(TICKET_APPROVED)
async def ticket_approved(job: Job[TicketApproved, Quote]) -> Quote:
    """Returns the price that holds, for the invoice."""
    await _spread(job, job.data)
    return job.data.quote


@processor(TICKET_ASSIGNED)
async def ticket_assigned(job: Job[TicketAssigned]) -> None:
    await _spread(job, job.data)


@processor(TICKET_COMPLETED)
async def ticket_completed(job: Job[TicketCompleted, Work]) -> Work:
    """Returns what was done, for the invoice."""
    await _spread(job, job.data)
    return job.data.work


@processor(INVOICE_CREATED)
async def invoice_created(job: Job[InvoiceDue, Invoice]) -> Invoice:
    """Runs when approval and completion are done, writes the invoice from what they returned and sends it along."""
    due = job.data
    quote = Quote.model_validate(job.results[due.approval])
    work = Work.model_validate(job.results[due.completion])
    invoice = Invoice.of(due.ticket, quote, work)
    documents = job.resource(Resources).stationery.invoice(due.ticket, invoice)
    await _spread(job, InvoiceCreated(ticket=due.ticket, invoice=invoice), attachments=documents)
    return invoice


@processor(PAYMENT_RECEIVED)
async def payment_received(job: Job[PaymentReceived]) -> None:
    await _spread(job, job.data)


async def _spread(job: Job[Any, Any], news: News, *, attachments: Sequence[Attachment] = ()) -> None:
    """To the people it concerns, and to the analysts."""
    jobs = job.resource(Resources).jobs
    await jobs.enqueue_notifications(notices_for(news), attachments=attachments)
    if update := update_for(news):
        await jobs.enqueue_update(update)
    if isinstance(news, Milestone):
        await jobs.enqueue_event(TicketEvent.of(news, job.created_at))
