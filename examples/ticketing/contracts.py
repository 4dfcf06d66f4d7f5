"""The jobs: what each is called, what it carries, where it runs and how hard it is tried.

A producer needs this module and nothing of the processors. Each ticket job carries the papers as they were
when the step was taken, so that a worker needs no database and a late job is not confused by what came after.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from examples.ticketing.ticket import (
    Contact,
    EmailAddress,
    Invoice,
    Line,
    Payment,
    PhoneNumber,
    Quote,
    Ticket,
    Visit,
)
from jobqueue import JobType, Keep, Priority, Retry

TICKETS = "tickets"
NOTIFICATIONS = "notifications"
DEAD_LETTERS = "dead-letter"


class TicketStep(BaseModel):
    """One step in a ticket's life. A ticket takes each step once, so ticket and step name the job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: ClassVar[str]
    ticket: Ticket

    @property
    def job_id(self) -> str:
        return f"{self.ticket.id}.{self.step}"


class TicketCreated(TicketStep):
    """A tenant reported something."""

    step = "created"


class TicketQuoted(TicketStep):
    """A contractor named a price."""

    step = "quoted"
    quote: Quote


class TicketApproved(TicketStep):
    """The landlord agreed to the price."""

    step = "approved"
    quote: Quote


class TicketAssigned(TicketStep):
    """The contractor has a day to come."""

    step = "assigned"
    visit: Visit


class InvoiceCreated(TicketStep):
    """The work is done and has to be paid."""

    step = "invoiced"
    invoice: Invoice


class PaymentReceived(TicketStep):
    """The landlord paid."""

    step = "paid"
    payment: Payment


AnyStep = TicketCreated | TicketQuoted | TicketApproved | TicketAssigned | InvoiceCreated | PaymentReceived


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

TICKET_CREATED = JobType("ticket.created", TicketCreated, queue=TICKETS, retry=PATIENT, timeout=30)
TICKET_QUOTED = JobType("ticket.quoted", TicketQuoted, queue=TICKETS, retry=PATIENT, timeout=30)
TICKET_APPROVED = JobType(
    "ticket.approved", TicketApproved, queue=TICKETS, priority=Priority.HIGH, retry=PATIENT, timeout=30
)
TICKET_ASSIGNED = JobType(
    "ticket.assigned", TicketAssigned, queue=TICKETS, priority=Priority.HIGH, retry=PATIENT, timeout=30
)
INVOICE_CREATED = JobType(
    "invoice.created", InvoiceCreated, queue=TICKETS, priority=Priority.LOW, retry=PATIENT, timeout=30
)
PAYMENT_RECEIVED = JobType("payment.received", PaymentReceived, queue=TICKETS, retry=PATIENT, timeout=30)
EMAIL_SEND = JobType("email.send", EmailSend, queue=NOTIFICATIONS, retry=PATIENT, timeout=20, keep=REMEMBERED)
SMS_SEND = JobType(
    "sms.send",
    SmsSend,
    queue=NOTIFICATIONS,
    priority=Priority.HIGH,
    retry=PATIENT,
    timeout=20,
    keep=REMEMBERED,
)
