"""The processor of deliveries.

1. The endpoint is read anew for each try, so that a new address, a new secret, a pause hold at once.
2. The body goes out as it was written when the job changed, under the delivery's id, signed for this moment.
3. The try is noted with the delivery; then the answer says what becomes of it.
"""

from __future__ import annotations

import logging
import random
import ssl
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobqueue.backends.endpoints import EndpointRecord, EndpointState
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.delivery import WEBHOOK_DELIVERY, DeliveryTry, Tries
from jobqueue.errors import (
    BackendUnavailable,
    InvalidInput,
    InvalidOption,
    MissingExtra,
    RateLimited,
    Snooze,
    Unrecoverable,
    WebhookNotFound,
)
from jobqueue.job import Job
from jobqueue.logs import WEBHOOK_DISABLED, emit
from jobqueue.model.notice import WebhookDelivery
from jobqueue.model.options import Keep
from jobqueue.model.times import Seconds, span_ms
from jobqueue.processors import Processor
from jobqueue.registry import DEFAULT_REGISTRY, Registry
from jobqueue.webhook import Definition
from jobqueue.webhook_handle import change_endpoint
from jobqueue.webhooks.failures import DeliveryFailed
from jobqueue.webhooks.guard import Guard, Network
from jobqueue.webhooks.retries import SCHEDULE, later, policy, retry_after_of
from jobqueue.webhooks.signing import signed_headers

if TYPE_CHECKING:
    from jobqueue.webhooks.sending import Answer, Sender

DEFAULT_KEEP = Keep(completed=1000, failed=10_000, age=30 * 86_400)
_PAUSED_FOR = (60.0, 300.0)
_SLACK = 10.0
"""Seconds that an attempt may take beside its request."""
_GONE, _TOO_MANY = 410, 429


def deliver_webhooks(
    registry: Registry = DEFAULT_REGISTRY,
    *,
    allow: Iterable[str | Network] = (),
    timeout: Seconds = 20,
    schedule: Sequence[Seconds] = SCHEDULE,
    keep: Keep = DEFAULT_KEEP,
    ssl_context: ssl.SSLContext | None = None,
) -> Processor[WebhookDelivery, Coroutine[Any, Any, None]]:
    """Have the workers that use ``registry`` send webhooks; they need the queue of deliveries.

        deliver_webhooks()
        async with Worker(tickets, Queue("webhooks")): ...

    Only addresses of the open internet are reached, over https, but for networks in ``allow`` (``["10.1.0.0/16"]``),
    which are reached over http too. ``timeout`` is for one request in all. ``schedule`` are the rests between tries,
    each made up to a fifth longer by a draw. ``keep`` is for deliveries. ``ssl_context`` verifies by other authorities
    than the system's.

    Raises MissingExtra without ``jobqueue[webhooks]``, InvalidOption, RegistrationError where the registry has it.
    """
    try:
        from jobqueue.webhooks.sending import Sender  # noqa: PLC0415  (its package is an extra)
    except ImportError as error:
        raise MissingExtra("deliver_webhooks needs the extra: pip install 'jobqueue[webhooks]'") from error
    seconds = span_ms("timeout", timeout, zero=False) / 1000
    rests = tuple(span_ms("schedule", rest) / 1000 for rest in schedule)
    if len(rests) > 100:
        raise InvalidOption(f"schedule may have 100 rests at the most, not {len(rests)}")
    deliverer = Deliverer(Sender(Guard(allow), timeout=seconds, ssl_context=ssl_context), patience=sum(rests))
    decorate = registry.processor(WEBHOOK_DELIVERY, retry=policy(rests), timeout=seconds + _SLACK, keep=keep)

    async def deliver(job: Job[WebhookDelivery, None]) -> None:
        await deliverer.deliver(job)

    return decorate(deliver)


@dataclass(frozen=True, slots=True)
class _Target:
    """An endpoint as a try finds it."""

    record: EndpointRecord
    definition: Definition


class Deliverer:
    """Sends deliveries by ``sender``. One that is told to slow down for longer than ``patience`` seconds fails."""

    def __init__(self, sender: Sender, *, patience: float) -> None:
        self._sender = sender
        self._patience = patience

    async def deliver(self, job: Job[WebhookDelivery, None]) -> None:
        """One try. Raises what the worker is to make of it, and nothing where the endpoint has taken it."""
        content, tries = job.data, Tries.decode(job.record.checkpoint)
        target = await self._target(job, tries)
        at_ms, began = SYSTEM_CLOCK.now_ms(), SYSTEM_CLOCK.monotonic()
        body = content.body.encode()
        headers = {
            "content-type": "application/json",
            "user-agent": "jobqueue",
            **signed_headers(job.id, at_ms // 1000, body, target.definition.signing(at_ms)),
        }
        answer: Answer | None = None
        failure: DeliveryFailed | None = None
        try:
            answer = await self._sender.post(target.definition.url, headers, body)
        except DeliveryFailed as error:
            failure = error
        taken = answer is not None and 200 <= answer.status < 300
        one = DeliveryTry(
            at=datetime.fromtimestamp(at_ms / 1000, UTC),
            status=None if answer is None else answer.status,
            seconds=round(SYSTEM_CLOCK.monotonic() - began, 3),
            error="" if taken else "answer" if answer is not None else type(failure).__name__,
        )
        with suppress(BackendUnavailable):
            # It is no reason to send again that this could not be noted.
            await job.checkpoint(tries.and_then(one).model_dump(mode="json"))
        if failure is not None:
            raise failure
        if answer is not None and not taken:
            await self._not_taken(job, target, answer)

    async def _target(self, job: Job[WebhookDelivery, None], tries: Tries) -> _Target:
        content = job.data
        found = await job.backend.find_endpoints(content.origin, ids=[content.endpoint])
        if not found:
            raise Unrecoverable(f"webhook {content.endpoint!r} of queue {content.origin!r} is gone")
        record = found[0]
        if record.state is EndpointState.DISABLED:
            raise Unrecoverable(f"webhook {content.endpoint!r} is disabled: {record.reason}")
        if record.state is EndpointState.PAUSED:
            if not tries.paused:
                await job.checkpoint(tries.model_copy(update={"paused": True}).model_dump(mode="json"))
            raise Snooze(random.uniform(*_PAUSED_FOR), f"webhook {content.endpoint!r} is paused")
        try:
            return _Target(record, Definition.decode(record.definition))
        except InvalidInput as error:
            # Perhaps by a worker that has the key.
            raise DeliveryFailed(f"webhook {content.endpoint!r} cannot be read here: {error}") from None

    async def _not_taken(self, job: Job[WebhookDelivery, None], target: _Target, answer: Answer) -> None:
        content = job.data
        if answer.status == _GONE:
            await self._disable(job, target)
            raise Unrecoverable(f"webhook {content.endpoint!r} answered 410: it is gone, and has been disabled")
        after = retry_after_of(answer.retry_after, datetime.now(UTC))
        if answer.status == _TOO_MANY and after is not None:
            age = (datetime.now(UTC) - job.created_at).total_seconds()
            if age + after < self._patience and job.group is not None:
                # Its group is that of the endpoint: nobody sends there meanwhile.
                raise RateLimited(later(after), f"webhook {content.endpoint!r} answered 429")
        raise DeliveryFailed(f"the endpoint answered {answer.status}", status=answer.status, retry_after=after)

    async def _disable(self, job: Job[WebhookDelivery, None], target: _Target) -> None:
        def disabled(record: EndpointRecord) -> EndpointRecord:
            if Definition.decode(record.definition).url != target.definition.url:
                # It has moved meanwhile, and there it has said nothing yet.
                return record
            return replace(record, state=EndpointState.DISABLED, reason="the endpoint answered 410 Gone")

        content = job.data
        with suppress(WebhookNotFound):
            await change_endpoint(job.backend, content.origin, content.endpoint, disabled)
        emit(logging.WARNING, WEBHOOK_DISABLED, webhook=content.endpoint, queue=content.origin, status=_GONE)
