"""Who is told what at each step: the one place that decides it.

Pure, so that the auditor can work out beforehand which messages there must be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from examples.ticketing.steps import (
    InvoiceCreated,
    News,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
)
from examples.ticketing.ticket import Contact, LandlordId, Ticket


@dataclass(frozen=True, slots=True)
class Notice:
    """One message owed to one person. ``job_id`` names it for good: the same step owes the same ids, however
    often it runs. ``landlord`` is on whose account it is sent."""

    job_id: str
    to: Contact
    template: str
    facts: dict[str, str]
    landlord: LandlordId


def notices_for(step: News) -> list[Notice]:
    """The messages that are owed for ``step``, without those to people who cannot be reached."""
    people = _audience(step)
    facts = _facts(step)
    return [
        Notice(
            job_id=f"{step.job_id}.{role}",
            to=person,
            template=f"{step.step}_{role}",
            facts=facts | {"recipient": person.name},
            landlord=step.ticket.landlord.id,
        )
        for role, person in people.items()
        if person is not None and (person.email or person.phone)
    ]


def update_for(news: News) -> Notice | None:
    """What the landlord is told of a ticket once nothing more has happened to it for a while.

    ``job_id`` is the same for the whole ticket: of several updates only the last is wanted. None for a new ticket,
    and for a landlord without an address.
    """
    ticket = news.ticket
    if isinstance(news, TicketCreated) or ticket.landlord.email is None:
        return None
    return Notice(
        job_id=f"{ticket.id}.updated",
        to=ticket.landlord,
        template="updated_landlord",
        facts=_ticket_facts(ticket) | {"recipient": ticket.landlord.name, "step": news.step},
        landlord=ticket.landlord.id,
    )


def _audience(step: News) -> dict[str, Contact | None]:
    ticket = step.ticket
    match step:
        case TicketCreated():
            return {"landlord": ticket.landlord, "tenant": ticket.tenant}
        case TicketQuoted():
            return {"landlord": ticket.landlord}
        case TicketApproved():
            return {"contractor": step.quote.contractor, "tenant": ticket.tenant}
        case TicketAssigned():
            return {"contractor": step.visit.contractor, "tenant": ticket.tenant}
        case TicketCompleted():
            # The invoice follows at once, and says so.
            return {}
        case InvoiceCreated():
            return {"landlord": ticket.landlord}
        case PaymentReceived():
            return {"landlord": ticket.landlord, "contractor": step.payment.contractor}
    assert_never(step)


def _facts(step: News) -> dict[str, str]:
    facts = _ticket_facts(step.ticket)
    match step:
        case TicketCreated() | TicketCompleted():
            return facts
        case TicketQuoted() | TicketApproved():
            return facts | {"contractor": step.quote.contractor.name, "amount": f"{step.quote.amount:.2f}"}
        case TicketAssigned():
            return facts | {"contractor": step.visit.contractor.name, "day": f"{step.visit.day:%d %b %Y}"}
        case InvoiceCreated():
            return facts | {"invoice": step.invoice.number, "amount": f"{step.invoice.total:.2f}"}
        case PaymentReceived():
            return facts | {"invoice": step.payment.invoice, "amount": f"{step.payment.amount:.2f}"}
    assert_never(step)


def _ticket_facts(ticket: Ticket) -> dict[str, str]:
    return {
        "ticket": ticket.id,
        "category": ticket.category,
        "address": ticket.address,
        "reported": f"{ticket.reported_at:%d %b %Y}",
    }
