"""Makes up service requests where there is no file of real ones: the same seed gives the same requests."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from examples.ticketing.desk.service_request import ServiceRequest

_CATEGORIES = (
    "Leaking tap",
    "Broken heating",
    "Lift out of order",
    "Mould in the bathroom",
    "Bulky items",
    "Graffiti",
)
_STREETS = ("OLIVE ST", "MARMION WAY", "O'FARRELL BLVD", "CALLE NIÑOS", "<MAIN> & 3RD", "LÄRCHENWEG")
_CHANNELS = ("Call", "Mobile App", "Self Service", "Email", "Letter")
_OWNERS = ("Acme Homes", "Hillside Estates", "Müller & Söhne", "Westside Trust")
_CREWS = ("plumbing", "electric", "joinery", "painting", "lifts")
_FIRST_DAY = datetime(2026, 1, 5, 8, tzinfo=UTC)


def generate_requests(count: int, seed: int) -> Iterator[ServiceRequest]:
    """``count`` requests, some of them anonymous or without a due date, as in real life."""
    dice = random.Random(seed)
    for number in range(1, count + 1):
        reported_at = _FIRST_DAY + timedelta(minutes=number * 7)
        yield ServiceRequest(
            number=f"{seed}-{number:06}",
            category=dice.choice(_CATEGORIES),
            address=f"{dice.randint(1, 9999)} {dice.choice(_STREETS)}",
            zipcode=f"90{dice.randint(0, 999):03}",
            reported_at=reported_at,
            due=reported_at + timedelta(days=dice.randint(1, 9)) if dice.random() < 0.95 else None,
            channel=dice.choice(_CHANNELS),
            owner=dice.choice(_OWNERS),
            district=str(dice.randint(1, 15)),
            crew=dice.choice(_CREWS),
            anonymous=dice.random() < 0.1,
        )
