"""The jobs: what each is called, what it carries, where it runs and how hard it is tried.

A producer needs this module and nothing of the processors. Each ticket job carries the papers as they were
when the step was taken, so that a worker needs no database and a late job is not confused by what came after.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from examples.ticketing.events import Figures, TicketEvent
from examples.ticketing.steps import (
    InvoiceDue,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
)
from examples.ticketing.ticket import Contact, EmailAddress, Invoice, Line, PhoneNumber, Quote, Work
from jobqueue import JobType, Keep, Priority, Retry

TICKETS = "tickets"
NOTIFICATIONS = "notifications"
"""E-mails."""
SMS = "sms"
"""Text messages have a queue of their own, because a queue is what a rate is set for: e-mails need not wait for it."""
ANALYTICS = "analytics"
REPORTS = "reports"
WEBHOOKS = "webhooks"
DEAD_LETTERS = "dead-letter"


class Attachment(BaseModel):
    """A text document that goes with an e-mail."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    filename: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    subtype: str = Field(pattern=r"^(plain|html)$")
    content: str


class EmailSend(BaseModel):
    """One e-mail to one person: which template, and the facts to fill it with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Line
    address: EmailAddress
    template: str
    facts: dict[str, str]
    attachments: tuple[Attachment, ...] = ()

    @classmethod
    def to(
        cls, contact: Contact, template: str, facts: dict[str, str], attachments: tuple[Attachment, ...] = ()
    ) -> EmailSend:
        if contact.email is None:
            raise ValueError(f"{contact.name} has no e-mail address")
        return cls(name=contact.name, address=contact.email, template=template, facts=facts, attachments=attachments)


class SmsSend(BaseModel):
    """One text message to one phone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    phone: PhoneNumber
    template: str
    facts: dict[str, str]

    @classmethod
    def to(cls, contact: Contact, template: str, facts: dict[str, str]) -> SmsSend:
        if contact.phone is None:
            raise ValueError(f"{contact.name} has no phone")
        return cls(phone=contact.phone, template=template, facts=facts)


PATIENT = Retry(attempts=3, delay=2.0)
"""Three attempts, after 2 s, 4 s and 8 s: mail servers and gateways are mostly away for a moment only."""

REMEMBERED = Keep(completed=None, age=3600)
"""A finished message's id stays taken for an hour. A ticket job that is run again in that time (its worker
died before it could say that it was done) finds its messages already enqueued and doubles none of them."""

WHILE_OPEN = Keep(completed=None, age=90 * 86_400)
"""How long the queue of tickets remembers all that is done: an invoice depends on an approval of weeks ago, and what
is forgotten cannot be depended on. (A count would not do: it is counted over the queue, whatever the type.)"""

TICKET_CREATED = JobType("ticket.created", TicketCreated, queue=TICKETS, retry=PATIENT, timeout=30)
TICKET_QUOTED = JobType("ticket.quoted", TicketQuoted, queue=TICKETS, retry=PATIENT, timeout=30)
TICKET_APPROVED = JobType(
    "ticket.approved",
    TicketApproved,
    result=Quote,
    queue=TICKETS,
    priority=Priority.HIGH,
    retry=PATIENT,
    timeout=30,
)
TICKET_ASSIGNED = JobType(
    "ticket.assigned", TicketAssigned, queue=TICKETS, priority=Priority.HIGH, retry=PATIENT, timeout=30
)
TICKET_COMPLETED = JobType("ticket.completed", TicketCompleted, result=Work, queue=TICKETS, retry=PATIENT, timeout=30)
INVOICE_CREATED = JobType(
    "invoice.created", InvoiceDue, result=Invoice, queue=TICKETS, priority=Priority.LOW, retry=PATIENT, timeout=30
)
PAYMENT_RECEIVED = JobType("payment.received", PaymentReceived, queue=TICKETS, retry=PATIENT, timeout=30)
EMAIL_SEND = JobType("email.send", EmailSend, queue=NOTIFICATIONS, retry=PATIENT, timeout=20, keep=REMEMBERED)
SMS_SEND = JobType("sms.send", SmsSend, queue=SMS, retry=PATIENT, timeout=20, keep=REMEMBERED)
ANALYTICS_TRACK = JobType("analytics.track", TicketEvent, queue=ANALYTICS, retry=PATIENT, timeout=30)
REPORT_NIGHTLY: JobType[Any, Figures] = JobType("report.nightly", result=Figures, queue=REPORTS, timeout=120)
