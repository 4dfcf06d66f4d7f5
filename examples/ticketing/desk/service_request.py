"""A service request: someone reports that something is wrong at an address."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ServiceRequest:
    """One report, cleaned up. Empty text means that the source did not say.

    ``number`` is unique within its source and safe in a job id. ``channel`` is how it was reported ("Call",
    "Email").
    """

    number: str
    category: str
    address: str
    zipcode: str
    reported_at: datetime
    due: datetime | None
    channel: str
    owner: str
    district: str
    crew: str
    anonymous: bool
