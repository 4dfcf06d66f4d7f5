"""What an endpoint is told of a job: the notice, as backends leave it, and the delivery that is made of it.

A notice is left in the step in which a job changes; the delivery is a job like any other, with the very bytes that are
to be sent, so that every try sends the same ones under the same id.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json, to_json

from jobqueue.model.letter import BAD_SIGNATURE
from jobqueue.model.payloads import MAX_BYTES
from jobqueue.model.record import JobError, JobRecord
from jobqueue.model.refused import Refused

WEBHOOK_DELIVERY = "webhook.delivery"
"""The job type of deliveries. What becomes of them is told to no endpoint: it would never end."""
MAX_BODY = MAX_BYTES
"""Bytes of a body; what would not fit is left out of it, and named in ``omitted``."""
_LONGEST_MESSAGE = 2_000


class Occasion(StrEnum):
    """On what endpoints are told of a job. The values are the names that receivers see."""

    COMPLETED = "job.completed"
    FAILED = "job.failed"
    CANCELLED = "job.cancelled"
    RETRYING = "job.retrying"


class Part(StrEnum):
    """What of a job leaves the house only if its endpoint asks for it."""

    DATA = "data"
    RESULT = "result"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Notice:
    """One endpoint is to be told of one change of one job.

    ``record`` is the job as it was in that step. ``stamp`` tells the step from every other one in which the job changed
    in the same way. ``target`` is the queue that deliveries go to, ``retry_in_ms`` when a job is tried again.
    """

    occasion: Occasion
    record: JobRecord
    at_ms: int
    stamp: str
    endpoint: str
    target: str
    include: frozenset[Part] = frozenset()
    retry_in_ms: int = 0


class WebhookDelivery(BaseModel):
    """The data of a delivery: which endpoint of which queue (``origin``) gets ``body``, and of what it tells."""

    model_config = ConfigDict(frozen=True)

    endpoint: str
    origin: str
    occasion: Occasion
    job_id: str
    body: str


def delivery_for(notice: Notice) -> tuple[str, str, bytes] | None:
    """The id, type and data of a notice's delivery; None if nothing may be told.

    The id is made of the job, what became of it, when, and the endpoint, so that a notice handed over twice is one
    delivery. Of a job that a codec refused only its failure is told, as BadSignature: nothing else that is stored of it
    may pass for the word of somebody who holds a key.
    """
    record = notice.record
    if isinstance(record.data, Refused) and notice.occasion is not Occasion.FAILED:
        return None
    delivery = WebhookDelivery(
        endpoint=notice.endpoint,
        origin=record.queue,
        occasion=notice.occasion,
        job_id=record.id,
        body=_body(notice).decode(),
    )
    return delivery_id(notice), WEBHOOK_DELIVERY, delivery.model_dump_json().encode()


def delivery_id(notice: Notice) -> str:
    """The job id of the delivery, and its ``webhook-id``; without a full stop, by which what is signed is cut."""
    record = notice.record
    words = (record.queue, record.id, str(record.created_ms), notice.occasion, notice.stamp, notice.endpoint)
    digest = hashlib.sha256("\n".join(words).encode("utf-8", "replace")).hexdigest()
    return f"msg_{digest[:32]}"


def delivery_group(queue: str, endpoint: str) -> str:
    """The group that deliveries take turns in: one for each endpoint, so that a slow one holds up no other."""
    name = f"{queue}/{endpoint}"
    return name if len(name) <= 100 else f"webhook/{hashlib.sha256(name.encode()).hexdigest()[:32]}"


def _body(notice: Notice) -> bytes:
    record = notice.record
    facts: dict[str, Any] = {
        "queue": record.queue,
        "job_id": record.id,
        "job_type": record.type,
        "attempt": record.attempt,
        "created_at": _moment(record.created_ms or None),
        "started_at": _moment(record.started_ms),
    }
    if record.group:
        facts["group"] = record.group
    if notice.occasion is not Occasion.RETRYING:
        facts["finished_at"] = _moment(notice.at_ms)
    else:
        facts["retry_in"] = notice.retry_in_ms / 1000
    if notice.occasion is Occasion.CANCELLED:
        facts["reason"] = _clean(record.reason)
    if notice.occasion in (Occasion.FAILED, Occasion.RETRYING):
        facts["error"] = _error(record, whole=Part.ERROR in notice.include)
    told = to_json({"type": notice.occasion, "timestamp": _moment(notice.at_ms), "data": facts})
    return _with_payloads(told, notice)


def _with_payloads(told: bytes, notice: Notice) -> bytes:
    """With the payloads that were asked for, byte for byte as they are stored, as far as there is room for them."""
    record = notice.record
    wanted: list[tuple[Part, bytes]] = []
    if Part.RESULT in notice.include and notice.occasion is Occasion.COMPLETED:
        wanted.append((Part.RESULT, record.result or b"null"))
    if Part.DATA in notice.include:
        wanted.append((Part.DATA, record.data))
    head, omitted = told.removesuffix(b"}}"), list[str]()
    for name, payload in wanted:
        if isinstance(payload, Refused) or len(head) + len(payload) > MAX_BODY - 100 or not _is_json(payload):
            omitted.append(name)
        else:
            head += b',"%b":%b' % (name.encode(), payload)
    if omitted:
        head += b',"omitted":%b' % to_json(omitted)
    return head + b"}}"


def _error(record: JobRecord, *, whole: bool) -> dict[str, str]:
    error = record.error or JobError("Unknown")
    if isinstance(record.data, Refused) and error.type != BAD_SIGNATURE:
        error = JobError(BAD_SIGNATURE, f"data {record.data.why}")
    told = {"type": _clean(error.type)}
    if whole:
        told["message"] = _clean(error.message)
    return told


def _is_json(payload: bytes) -> bool:
    try:
        payload.decode()
        from_json(payload, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _clean(text: str) -> str:
    return text[:_LONGEST_MESSAGE].encode("utf-8", "replace").decode()


def _moment(ms: int | None) -> str | None:
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
