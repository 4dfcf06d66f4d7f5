"""The steps of a ticket's life, as messages: each is the data of a job, and carries the papers as they then were."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from examples.ticketing.ticket import Invoice, LandlordId, Payment, Quote, Ticket, Visit, Work


class TicketStep(BaseModel):
    """One step in a ticket's life. A ticket takes each step once, so ticket and step name the job."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: ClassVar[str]
    ticket: Ticket

    @property
    def job_id(self) -> str:
        return f"{self.ticket.id}.{self.step}"

    @property
    def group(self) -> LandlordId:
        """Whose turn the job takes: landlords are served one after the other, however many tickets each has."""
        return self.ticket.landlord.id


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


class TicketCompleted(TicketStep):
    """The contractor is done."""

    step = "completed"
    work: Work


class InvoiceDue(TicketStep):
    """There will be something to pay for: how much follows from what was approved and from what was done."""

    step = "invoiced"

    @property
    def approval(self) -> str:
        """The id of the job that it depends on, and whose result is the quote."""
        return f"{self.ticket.id}.{TicketApproved.step}"

    @property
    def completion(self) -> str:
        """The id of the job that it depends on, and whose result is the work."""
        return f"{self.ticket.id}.{TicketCompleted.step}"


class InvoiceCreated(TicketStep):
    """The invoice is written. Nobody enqueues this: it is what the job for an :class:`InvoiceDue` comes to."""

    step = "invoiced"
    invoice: Invoice


class PaymentReceived(TicketStep):
    """The landlord paid."""

    step = "paid"
    payment: Payment


AnyStep = TicketCreated | TicketQuoted | TicketApproved | TicketAssigned | TicketCompleted | PaymentReceived
"""What people do."""

News = AnyStep | InvoiceCreated
"""What others are told of."""
