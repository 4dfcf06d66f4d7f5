"""The domain: a ticket, the people it concerns, and the papers it collects on its way to being paid."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

TicketId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
"""What a ticket is known by. It becomes part of job ids and e-mail headers, hence the narrow alphabet."""

Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""One line of text as a person wrote it, without control characters: it may end up in a mail's subject."""

LandlordId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,89}$")]
"""What a landlord is known by, and the name of their group of jobs: one landlord, one turn."""

EmailAddress = Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+$", max_length=254)]
PhoneNumber = Annotated[str, Field(pattern=r"^\+[0-9]{7,15}$")]
Amount = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=2)]


class Paper(BaseModel):
    """Anything written down about a ticket: never changed, only followed by the next one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Contact(Paper):
    """Someone to be told things, by e-mail where they have an address, else by SMS, else not at all."""

    name: Line
    email: EmailAddress | None = None
    phone: PhoneNumber | None = None


class Landlord(Contact):
    """A customer of the desk."""

    id: LandlordId


class Ticket(Paper):
    """Something is broken in a landlord's building. ``tenant`` is None where the report was anonymous."""

    id: TicketId
    category: Line
    address: Line
    landlord: Landlord
    tenant: Contact | None = None
    reported_at: datetime


class Quote(Paper):
    """What a contractor asks for the repair."""

    contractor: Contact
    amount: Amount


class Visit(Paper):
    """When the contractor comes."""

    contractor: Contact
    day: date


class Work(Paper):
    """What the contractor reports when it is done. ``materials`` are what was used up, on top of the quote."""

    contractor: Contact
    day: date
    materials: Amount = Decimal("0.00")


class InvoiceLine(Paper):
    """One thing to be paid for."""

    text: Line
    amount: Amount


class Invoice(Paper):
    """What the landlord owes."""

    number: Line
    lines: tuple[InvoiceLine, ...] = Field(min_length=1)

    @classmethod
    def of(cls, ticket: Ticket, quote: Quote, work: Work) -> Invoice:
        """The price that was approved, what was used, and the desk's fee."""
        lines = [InvoiceLine(text=ticket.category, amount=quote.amount)]
        if work.materials:
            lines.append(InvoiceLine(text="Materials", amount=work.materials))
        fee = (sum((line.amount for line in lines), Decimal("0.00")) / 20).quantize(Decimal("0.01"))
        lines.append(InvoiceLine(text="Desk fee (5 %)", amount=fee))
        return cls(number=f"INV-{ticket.id}", lines=tuple(lines))

    @property
    def total(self) -> Decimal:
        return sum((line.amount for line in self.lines), Decimal("0.00"))


class Payment(Paper):
    """What the landlord paid, and the contractor who is to be told that the work is settled."""

    invoice: Line
    amount: Amount
    contractor: Contact
