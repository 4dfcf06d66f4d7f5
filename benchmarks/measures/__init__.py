"""What is measured. ``TRIALS`` holds everything, in the order in which it is done."""

from __future__ import annotations

from benchmarks.measures import enqueueing, growing, idling, latency, processing
from benchmarks.measures.trial import Trial

TRIALS: tuple[Trial, ...] = (
    *enqueueing.TRIALS,
    *processing.TRIALS,
    *latency.TRIALS,
    *idling.TRIALS,
    *growing.TRIALS,
)
