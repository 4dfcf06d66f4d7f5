"""Delivery: one message to one endpoint, and what has come of sending it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from jobqueue.job_type import JobType
from jobqueue.model.notice import WEBHOOK_DELIVERY as DELIVERY_TYPE, WebhookDelivery
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.times import moment
from jobqueue.webhook import WEBHOOKS

WEBHOOK_DELIVERY: JobType[WebhookDelivery, None] = JobType(DELIVERY_TYPE, WebhookDelivery, queue=WEBHOOKS)
"""The job type of deliveries, which ``deliver_webhooks`` registers a processor for."""
TRIES_KEPT = 30
"""How many tries of a delivery are remembered, the newest."""


class DeliveryTry(BaseModel):
    """One request: when it was made, what it was answered (None: nothing), how long that took in seconds, and in one
    word why it failed ("" if it did not).
    """

    model_config = ConfigDict(frozen=True)

    at: datetime
    status: int | None = None
    seconds: float = 0.0
    error: str = ""


class Tries(BaseModel):
    """The tries of a delivery as it carries them, oldest first, and how many there were in all."""

    tries: tuple[DeliveryTry, ...] = ()
    count: int = 0
    paused: bool = False
    """Whether it waits because its endpoint is paused."""

    @staticmethod
    def decode(stored: bytes | None) -> Tries:
        """What was kept with the job; nothing where that cannot be read."""
        try:
            return Tries.model_validate_json(stored or b"{}")
        except ValidationError:
            return Tries()

    def and_then(self, one: DeliveryTry) -> Tries:
        """With one more."""
        return Tries(tries=(*self.tries, one)[-TRIES_KEPT:], count=self.count + 1)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery as it stands.

    ``id`` is the ``webhook-id`` that its receiver sees, the same in every try. ``webhook`` is the endpoint's id,
    ``queue``, ``event`` and ``job_id`` what it tells of. ``state`` is its job's: ``completed`` when it was taken,
    ``failed`` when it was given up. ``tries`` are the requests made, oldest first (the last 30); ``next_try_at`` when
    the next one is.
    """

    id: str
    webhook: str
    queue: str
    event: str
    job_id: str
    state: JobState
    created_at: datetime
    next_try_at: datetime | None
    tries: tuple[DeliveryTry, ...]
    paused: bool
    """Whether it waits for its endpoint to be resumed."""
    carried_by: str
    """The queue in which its job is."""

    @classmethod
    def of(cls, record: JobRecord) -> Delivery | None:
        """From its job; None for whatever else somebody put into that queue."""
        if record.type != DELIVERY_TYPE:
            return None
        try:
            content = WebhookDelivery.model_validate_json(record.data)
        except ValidationError:
            return None
        tries = Tries.decode(record.checkpoint)
        return cls(
            id=record.id,
            webhook=content.endpoint,
            queue=content.origin,
            event=content.occasion.value,
            job_id=content.job_id,
            state=record.state,
            created_at=moment(record.created_ms),
            next_try_at=None if record.run_at_ms is None else moment(record.run_at_ms),
            tries=tries.tries,
            paused=tries.paused and not record.state.finished,
            carried_by=record.queue,
        )
