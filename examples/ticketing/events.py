"""What analysts want to know: events, and the figures that are made of them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

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
from examples.ticketing.ticket import LandlordId, TicketId


class TicketEvent(BaseModel):
    """A line for the analysts: what happened, when, and how much money it was about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticket: TicketId
    landlord: LandlordId
    step: str
    amount: Decimal
    happened_at: datetime

    @classmethod
    def of(cls, news: News, happened_at: datetime) -> TicketEvent:
        ticket = news.ticket
        return cls(
            ticket=ticket.id,
            landlord=ticket.landlord.id,
            step=news.step,
            amount=_amount(news),
            happened_at=happened_at,
        )


class Figures(BaseModel):
    """What the nightly report says of a day."""

    model_config = ConfigDict(frozen=True)

    reported: int
    invoiced: int
    paid: int
    takings: Decimal


def _amount(news: News) -> Decimal:
    match news:
        case TicketQuoted() | TicketApproved():
            return news.quote.amount
        case InvoiceCreated():
            return news.invoice.total
        case PaymentReceived():
            return news.payment.amount
        case TicketCreated() | TicketAssigned() | TicketCompleted():
            return Decimal("0.00")
