"""Webhooks: the handle on the endpoints that are told of a queue's jobs, and on their deliveries."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from pydantic import SecretStr

from jobqueue.backends.endpoints import EndpointChange, EndpointRecord, EndpointState
from jobqueue.backends.operations import ResumeGroup
from jobqueue.backends.protocol import Backend, Promote, Retry
from jobqueue.clock import SYSTEM_CLOCK
from jobqueue.delivery import Delivery
from jobqueue.errors import InvalidOption, InvalidState, JobNotFound, JobQueueError, WebhookNotFound
from jobqueue.model.asked import because, page
from jobqueue.model.naming import checked_job_id, checked_name
from jobqueue.model.notice import delivery_group
from jobqueue.model.record import JobState
from jobqueue.model.times import Seconds, span_ms
from jobqueue.webhook import (
    MOST_SECRETS,
    WEBHOOKS,
    Definition,
    Secret,
    StoredWebhook,
    Webhook,
    checked_secret,
    new_secret,
)

_TRIES = 20
_PAGE = 200
MOST_LOOKED_AT = 2_000
"""Deliveries of each state that are looked at, the newest, for those of one endpoint."""


class Webhooks:
    """The endpoints that are told of a queue's jobs; ``queue.webhooks`` is one.

    Every operation raises BackendError where the backend cannot do it.
    """

    def __init__(self, queue: str, backend: Callable[[], Awaitable[Backend]]) -> None:
        self._queue = queue
        self._backend = backend

    async def put(self, webhook: Webhook) -> StoredWebhook:
        """Make an endpoint, or change the one of that id.

        What is already so is left alone, so that it can be called at every start. A changed one keeps its secrets
        unless another is given, and stays paused or disabled if it was. It is told of what happens from now on.

        Raises InvalidOption if its deliveries would go to this very queue, BackendFull where the queue has 100.
        """
        if not isinstance(webhook, Webhook):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"put takes a Webhook(id, url, …), not {type(webhook).__name__}")
        if webhook.deliveries == self._queue:
            raise InvalidOption(f"deliveries of queue {self._queue!r} must go to another queue, such as {WEBHOOKS!r}")
        given = None if webhook.secret is None else checked_secret(webhook.secret)
        backend = await self._backend()
        for _ in range(_TRIES):
            known = await self._look(backend, webhook.id)
            before = None if known is None else Definition.decode(known.definition)
            kept = before.secrets if before is not None else (Secret(text=new_secret()),)
            if given is not None and given != kept[0].text:
                kept = (Secret(text=given),)
            definition = Definition(url=webhook.url, secrets=kept)
            if known is not None and (before, known.rules) == (definition, webhook.rules):
                return StoredWebhook.of(known)
            change = EndpointChange(
                id=webhook.id,
                expected="" if known is None else known.revision,
                revision=secrets.token_hex(8),
                rules=webhook.rules,
                definition=definition.encode(),
                state=EndpointState.ON if known is None else known.state,
                reason="" if known is None else known.reason,
            )
            if await backend.write_endpoint(self._queue, change):
                return StoredWebhook.of(await self._existing(backend, webhook.id))
        raise _contended(webhook.id)

    async def get(self, webhook_id: str) -> StoredWebhook | None:
        """The endpoint, or None."""
        record = await self._look(await self._backend(), checked_name("webhook", webhook_id))
        return None if record is None else StoredWebhook.of(record)

    async def list(self) -> builtins.list[StoredWebhook]:
        """All endpoints of the queue, by id."""
        return [StoredWebhook.of(record) for record in await (await self._backend()).find_endpoints(self._queue)]

    async def secret(self, webhook_id: str) -> str:
        """The secret that its receiver checks signatures with, the newest. Raises WebhookNotFound; BadSignature where
        a codec refused what is stored."""
        record = await self._existing(await self._backend(), webhook_id)
        return Definition.decode(record.definition).secrets[0].text.get_secret_value()

    async def rotate(self, webhook_id: str, secret: str | SecretStr | None = None, *, overlap: Seconds = 86_400) -> str:
        """Give it another secret, drawn unless given; returns it. For ``overlap`` (seconds or timedelta) requests are
        signed with the old ones too, so that the receiver can change at any time in it; with 0 they sign no more.

        Raises WebhookNotFound, InvalidOption.
        """
        fresh = new_secret() if secret is None else checked_secret(secret)
        span = span_ms("overlap", overlap)

        def rotated(record: EndpointRecord) -> EndpointRecord:
            definition, now_ms = Definition.decode(record.definition), SYSTEM_CLOCK.now_ms()
            if definition.secrets[0].text == fresh:
                return record
            older = [
                Secret(text=one.text, until_ms=min(now_ms + span, one.until_ms or now_ms + span))
                for one in definition.secrets
                if span and (one.until_ms is None or one.until_ms > now_ms)
            ]
            kept = (Secret(text=fresh), *older)[:MOST_SECRETS]
            return replace(record, definition=Definition(url=definition.url, secrets=kept).encode())

        await self._change(webhook_id, rotated)
        return fresh.get_secret_value()

    async def pause(self, webhook_id: str, *, reason: str = "") -> StoredWebhook:
        """Its deliveries wait until it is resumed; what happens meanwhile is told then. Raises WebhookNotFound."""
        why = because(reason)[:500]
        return await self._change(webhook_id, lambda record: replace(record, state=EndpointState.PAUSED, reason=why))

    async def resume(self, webhook_id: str) -> StoredWebhook:
        """Undo a pause, or that it was disabled, and do not wait for as long as a 429 has asked for. Of what waits a
        thousand are sent at once, the rest within five minutes; what failed meanwhile is sent by ``replay_failed``.
        Raises WebhookNotFound."""
        resumed = await self._change(webhook_id, lambda record: replace(record, state=EndpointState.ON, reason=""))
        backend = await self._backend()
        for carrier in await self._carriers(backend, webhook_id):
            await backend.control(carrier, ResumeGroup(delivery_group(self._queue, webhook_id)))
        for delivery in reversed(await self.deliveries(webhook_id, state=JobState.DELAYED, limit=1000)):
            if delivery.paused:
                with suppress(JobNotFound, InvalidState):
                    await _again(backend, delivery)
        return resumed

    async def remove(self, webhook_id: str) -> bool:
        """Forget an endpoint; False if there was none. Deliveries that are under way fail."""
        return await (await self._backend()).remove_endpoint(self._queue, checked_name("webhook", webhook_id))

    # Deliveries.

    async def deliveries(
        self, webhook_id: str | None = None, *, state: JobState | str | None = None, limit: int = 100
    ) -> builtins.list[Delivery]:
        """What was sent, is being sent, or could not be sent: of one endpoint, in one state, or all; newest first.

        Costs O(deliveries looked at): of each state at most the 2000 newest. An endpoint with ``deliveries=`` of its
        own is found at once. Raises InvalidOption.
        """
        page(limit)
        try:
            states = tuple(JobState) if state is None else (JobState(state),)
        except ValueError:
            raise InvalidOption(f"state must be one of {', '.join(JobState)}, not {state!r:.60}") from None
        backend = await self._backend()
        found: builtins.list[Delivery] = []
        for carrier in await self._carriers(backend, webhook_id):
            for wanted in states:
                found += await self._in_state(backend, carrier, wanted, webhook_id, limit)
        return sorted(found, key=lambda delivery: delivery.created_at, reverse=True)[:limit]

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """One delivery by its id, the ``webhook-id`` that its receiver saw; None if it is gone."""
        backend = await self._backend()
        checked_job_id(delivery_id)
        for carrier in await self._carriers(backend, None):
            record = await backend.get(carrier, delivery_id)
            delivery = None if record is None else Delivery.of(record)
            if delivery is not None and delivery.queue == self._queue:
                return delivery
        return None

    async def replay(self, delivery_id: str) -> JobState:
        """Send a delivery again, or now if it waits for its next try, under the same id and with fresh tries. Returns
        the state it is in then. Raises JobNotFound if it is gone."""
        delivery = await self.delivery(delivery_id)
        if delivery is None:
            raise JobNotFound(f"no delivery {delivery_id!r}: it may have been dropped by retention")
        return await _again(await self._backend(), delivery)

    async def replay_failed(self, webhook_id: str, *, limit: int = 1000) -> int:
        """Send again what was given up for this endpoint, the newest ``limit``; returns how many."""
        backend, count = await self._backend(), 0
        for delivery in reversed(await self.deliveries(webhook_id, state=JobState.FAILED, limit=limit)):
            try:
                await _again(backend, delivery)
            except (JobNotFound, InvalidState):
                # Somebody else was quicker.
                continue
            count += 1
        return count

    async def _carriers(self, backend: Backend, webhook_id: str | None) -> builtins.list[str]:
        """The queues in which deliveries may be."""
        ids = None if webhook_id is None else [checked_name("webhook", webhook_id)]
        targets = {record.rules.target for record in await backend.find_endpoints(self._queue, ids=ids)}
        # Those of an endpoint that is gone, or went elsewhere, may still be in the usual one.
        return sorted(targets | {WEBHOOKS})

    async def _in_state(
        self, backend: Backend, carrier: str, state: JobState, webhook_id: str | None, limit: int
    ) -> builtins.list[Delivery]:
        found: builtins.list[Delivery] = []
        for offset in range(0, MOST_LOOKED_AT, _PAGE):
            page = await backend.find(carrier, state, limit=_PAGE, offset=offset, newest=True)
            deliveries = (Delivery.of(record) for record in page)
            found += [
                one
                for one in deliveries
                if one is not None and one.queue == self._queue and webhook_id in (None, one.webhook)
            ]
            if len(page) < _PAGE or len(found) >= limit:
                break
        return found[:limit]

    async def _look(self, backend: Backend, webhook_id: str) -> EndpointRecord | None:
        found = await backend.find_endpoints(self._queue, ids=[webhook_id])
        return found[0] if found else None

    async def _existing(self, backend: Backend, webhook_id: str) -> EndpointRecord:
        record = await self._look(backend, checked_name("webhook", webhook_id))
        if record is None:
            raise WebhookNotFound(f"no webhook {webhook_id!r} in queue {self._queue!r}")
        return record

    async def _change(self, webhook_id: str, changed: Callable[[EndpointRecord], EndpointRecord]) -> StoredWebhook:
        return StoredWebhook.of(await change_endpoint(await self._backend(), self._queue, webhook_id, changed))


async def change_endpoint(
    backend: Backend, queue: str, webhook_id: str, changed: Callable[[EndpointRecord], EndpointRecord]
) -> EndpointRecord:
    """Change an endpoint as it stands; ``changed`` is asked again if somebody else was quicker.

    Raises WebhookNotFound; BadSignature where a codec refused what is stored.
    """
    for _ in range(_TRIES):
        found = await backend.find_endpoints(queue, ids=[checked_name("webhook", webhook_id)])
        if not found:
            raise WebhookNotFound(f"no webhook {webhook_id!r} in queue {queue!r}")
        known = found[0]
        # To write back what was refused would lose it for those who have the key.
        Definition.decode(known.definition)
        wanted = changed(known)
        if wanted == known:
            return known
        change = EndpointChange(
            id=known.id,
            expected=known.revision,
            revision=secrets.token_hex(8),
            rules=wanted.rules,
            definition=wanted.definition,
            state=wanted.state,
            reason=wanted.reason,
        )
        if await backend.write_endpoint(queue, change):
            return wanted
    raise _contended(webhook_id)


async def _again(backend: Backend, delivery: Delivery) -> JobState:
    if delivery.state.finished:
        return await backend.amend(delivery.carried_by, delivery.id, Retry())
    if delivery.state is JobState.DELAYED:
        return await backend.amend(delivery.carried_by, delivery.id, Promote())
    return delivery.state


def _contended(webhook_id: str) -> JobQueueError:
    return JobQueueError(f"webhook {webhook_id!r} is being changed by others all the time; try again")
