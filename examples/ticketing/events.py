"""What analysts want to know: events, and the figures that are made of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from examples.ticketing.steps import InvoiceCreated, PaymentReceived, TicketCreated
from examples.ticketing.ticket import LandlordId, TicketId

Milestone = TicketCreated | InvoiceCreated | PaymentReceived
"""What they count."""


class TicketEvent(BaseModel):
    """A line for the analysts: what happened, when, and how much money it was about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket: TicketId
    landlord: LandlordId
    step: str
    amount: Decimal
    happened_at: datetime

    @classmethod
    def of(cls, milestone: Milestone, happened_at: datetime) -> TicketEvent:
        ticket = milestone.ticket
        return cls(
            ticket=ticket.id,
            landlord=ticket.landlord.id,
            step=milestone.step,
            amount=_amount(milestone),
            happened_at=happened_at,
        )


class Figures(BaseModel):
    """What the nightly report says of a day."""

    model_config = ConfigDict(frozen=True)

    reported: int
    invoiced: int
    paid: int
    takings: Decimal


def _amount(milestone: Milestone) -> Decimal:
    match milestone:
        case TicketCreated():
            return Decimal("0.00")
        case InvoiceCreated():
            return milestone.invoice.total
        case PaymentReceived():
            return milestone.payment.amount
