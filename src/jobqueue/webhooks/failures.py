"""Why a delivery failed."""

from __future__ import annotations

from jobqueue.errors import JobQueueError


class DeliveryFailed(JobQueueError):
    """The endpoint did not take the delivery.

    ``status`` is what it answered, None where it did not; ``retry_after`` for how many seconds it asked to be left
    alone.
    """

    def __init__(
        self, message: str | None = None, *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class AddressRefused(DeliveryFailed):
    """The endpoint's address may not be reached from here."""
