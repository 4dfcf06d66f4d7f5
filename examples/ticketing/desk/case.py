"""A case: everything that will happen with one service request, as the people concerned would decide it.

A request decides its own fate: names, prices and phone numbers are drawn from its own words, so that two runs
over the same requests tell the same story and the auditor can tell it beforehand.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from hashlib import blake2b

from examples.ticketing.desk.service_request import ServiceRequest
from examples.ticketing.steps import (
    AnyStep,
    InvoiceCreated,
    News,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
)
from examples.ticketing.ticket import Contact, Invoice, Landlord, Payment, Quote, Ticket, Visit, Work

CREWS_PER_DEPOT = 20
REPORTED_BY_PHONE = frozenset({"Call", "Mobile App"})
_UNSAFE = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Case:
    """One request's way from report to payment."""

    request: ServiceRequest

    @property
    def steps(self) -> tuple[AnyStep, ...]:
        """What people do, in the order in which they do it."""
        return tuple(step for together in self.visits for step in together)

    @property
    def visits(self) -> tuple[tuple[AnyStep, ...], ...]:
        """The same, by who comes to the desk when: what is handed in together waits for nothing in between.

        The landlord approves on the phone while the crew is in the house anyway, so approval, assignment and
        completion come together. It is for the invoice to wait.
        """
        ticket, quote = self.ticket, self.quote
        return (
            (TicketCreated(ticket=ticket),),
            (TicketQuoted(ticket=ticket, quote=quote),),
            (
                TicketApproved(ticket=ticket, quote=quote),
                TicketAssigned(ticket=ticket, visit=self.visit),
                TicketCompleted(ticket=ticket, work=self.work),
            ),
            (PaymentReceived(ticket=ticket, payment=self.payment),),
        )

    @property
    def news(self) -> tuple[News, ...]:
        """All that others are told of: what people do, and the invoice that comes of it."""
        *before, paid = self.steps
        return (*before, InvoiceCreated(ticket=self.ticket, invoice=self.invoice), paid)

    @cached_property
    def ticket(self) -> Ticket:
        request = self.request
        return Ticket(
            id=f"T-{request.number}",
            category=request.category,
            address=request.address,
            landlord=self._landlord,
            tenant=None if request.anonymous else self._tenant,
            reported_at=request.reported_at,
        )

    @cached_property
    def quote(self) -> Quote:
        return Quote(
            contractor=self._contractor,
            amount=Decimal(80_00 + _lot("price", self.request.number) % 820_00) / 100,
        )

    @property
    def visit(self) -> Visit:
        due = self.request.due or self.request.reported_at + timedelta(days=3)
        return Visit(contractor=self._contractor, day=due.date())

    @property
    def work(self) -> Work:
        """One repair in three used up something that was not in the quote."""
        lot = _lot("materials", self.request.number)
        materials = Decimal(lot % 90_00) / 100 if lot % 3 == 0 else Decimal("0.00")
        return Work(contractor=self._contractor, day=self.visit.day, materials=materials)

    @cached_property
    def invoice(self) -> Invoice:
        """What must come out at the end."""
        return Invoice.of(self.ticket, self.quote, self.work)

    @property
    def payment(self) -> Payment:
        return Payment(invoice=self.invoice.number, amount=self.invoice.total, contractor=self._contractor)

    @property
    def _landlord(self) -> Landlord:
        request = self.request
        name = f"{request.owner[:100]}, district {request.district[:50]}"
        slug = f"{_slug(request.owner)}.{_slug(request.district)}"
        return Landlord(id=slug, name=name, email=f"{slug}@landlords.example")

    @property
    def _tenant(self) -> Contact:
        """Who called is told by SMS, who wrote by e-mail."""
        number = self.request.number
        name = f"tenant of {number}"
        if self.request.channel in REPORTED_BY_PHONE:
            return Contact(name=name, phone=_phone("tenant", number))
        return Contact(name=name, email=f"{_slug(number)}@tenants.example")

    @property
    def _contractor(self) -> Contact:
        """One of the depot's crews; crews are on the road and have phones."""
        crew = f"{self.request.crew[:100]} crew {_lot('crew', self.request.number) % CREWS_PER_DEPOT + 1}"
        return Contact(name=crew, phone=_phone("crew", crew))


def _lot(kind: str, subject: str) -> int:
    return int.from_bytes(blake2b(f"{kind}/{subject}".encode(), digest_size=6).digest())


def _phone(kind: str, subject: str) -> str:
    return f"+1{_lot(f'{kind} phone', subject) % 10**10:010}"


def _slug(text: str) -> str:
    """Fit for the left side of an e-mail address."""
    return _UNSAFE.sub("-", text.lower()).strip("-")[:40] or "unknown"
