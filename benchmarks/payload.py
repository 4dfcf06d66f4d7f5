"""The ticket that every job carries, of an exact size in JSON."""

from __future__ import annotations

import json
from typing import TypedDict


class Ticket(TypedDict):
    """A ticket, as a plain dictionary that every library can carry."""

    number: int
    ticket_id: str
    landlord_id: str
    tenant_id: str
    note: str


def ticket(number: int, size: int = 150) -> Ticket:
    """Ticket ``number``, whose compact JSON has ``size`` bytes (or as few as its fields need)."""
    made: Ticket = {
        "number": number,
        "ticket_id": f"ticket-{number:08d}",
        "landlord_id": f"landlord-{number % 97:04d}",
        "tenant_id": f"tenant-{number % 9973:06d}",
        "note": "",
    }
    made["note"] = "x" * max(0, size - _SIZE_WITHOUT_NOTE - len(str(number)))
    return made


def tickets(first: int, count: int, size: int) -> list[Ticket]:
    """``count`` tickets, numbered from ``first``."""
    return [ticket(number, size) for number in range(first, first + count)]


_SIZE_WITHOUT_NOTE = (
    len(
        json.dumps(
            {
                "number": 0,
                "ticket_id": "ticket-00000000",
                "landlord_id": "landlord-0000",
                "tenant_id": "tenant-000000",
                "note": "",
            },
            separators=(",", ":"),
        )
    )
    - 1
)
