"""All the faults there are, by their numbers."""

from __future__ import annotations

from tests.faults import doubles, racing, releases, strikes, worker_strikes

FAULTS: dict[str, strikes.Fault] = {
    **strikes.FAULTS,
    **worker_strikes.FAULTS,
    **releases.FAULTS,
    **racing.FAULTS,
    **doubles.FAULTS,
}
