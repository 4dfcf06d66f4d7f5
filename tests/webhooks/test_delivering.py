"""From a job's end to the receiver: what is sent, how often, and what the receiver's answer does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from jobqueue import Job, JobState, Queue, Registry, StoredWebhook, Webhook, Worker
from jobqueue.backends import Backend
from jobqueue.webhooks import deliver_webhooks
from tests.webhooks.receiver import Received, Receiver
from tests.webhooks.waiting import ended

LOOPBACK = ["127.0.0.0/8"]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_a_job_that_ends_is_told_to_its_receiver(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    made = await tickets.webhooks.put(
        Webhook("books", receiver.url, secret=SECRET, types=["invoice.*"], include=["data", "result", "error"])
    )
    deliver_webhooks(registry, allow=LOOPBACK)
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", {"n": 1}, job_id="i-1")
        await tickets.enqueue("invoice.lose", {"n": 2}, job_id="i-2")
        requests = await receiver.wait_for(2)
        done = await ended(tickets, 2)
    told = {request.headers["webhook-id"]: request.verified(SECRET) for request in requests}
    assert {(body["type"], body["data"]["job_id"]) for body in told.values()} == {
        ("job.completed", "i-1"),
        ("job.failed", "i-2"),
    }
    well, badly = sorted(told.values(), key=lambda body: body["data"]["job_id"])
    assert (well["data"]["data"], well["data"]["result"]) == ({"n": 1}, "sent {'n': 1}")
    assert badly["data"]["error"] == {"type": "Unrecoverable", "message": "no such tenant"}
    assert {request.method for request in requests} == {"POST"}
    assert {request.path for request in requests} == {"/hooks"}
    assert {request.headers["content-type"] for request in requests} == {"application/json"}
    assert {delivery.id for delivery in done} == set(told)
    (attempt,) = done[0].tries
    assert (attempt.status, attempt.error) == (204, "")
    assert isinstance(made, StoredWebhook)
    with pytest.raises(WebhookVerificationError):
        requests[0].verified("whsec_" + "A" * 32)


async def test_tries_that_fail_are_made_again_under_the_same_id(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    def at_first_badly(request: Received) -> tuple[int, Mapping[str, str]]:
        return ([500, 302, 200][min(2, len(receiver.received) - 1)]), {"location": "http://127.0.0.1:1/elsewhere"}

    receiver.answers = at_first_badly
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK, schedule=[0.01, 0.01, 0.01])
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        requests = await receiver.wait_for(3)
        (delivery,) = await ended(tickets, 1)
    assert {request.id for request in requests} == {delivery.id}
    assert len({request.body for request in requests}) == 1
    assert {request.path for request in requests} == {"/hooks"}, "a redirect is a failure, and is not followed"
    assert [attempt.status for attempt in delivery.tries] == [500, 302, 200]
    for request in requests:
        request.verified(SECRET)


async def test_what_is_never_taken_is_given_up_and_can_be_replayed(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    receiver.answers = lambda _: (500, {})
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK, schedule=[0.01])
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        (lost,) = await ended(tickets, 1, JobState.FAILED)
        assert [attempt.status for attempt in lost.tries] == [500, 500]
        receiver.answers = lambda _: (200, {})
        assert await tickets.webhooks.replay_failed("books") == 1
        (taken,) = await ended(tickets, 1)
        assert await tickets.webhooks.replay(taken.id) is JobState.WAITING
        await receiver.wait_for(4)
    assert taken.id == lost.id
    assert {request.id for request in receiver.received} == {lost.id}
    assert [attempt.status for attempt in taken.tries] == [500, 500, 200], "what was tried before is remembered"


async def test_410_disables_the_endpoint(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="jobqueue")
    receiver.answers = lambda _: (410, {})
    await tickets.webhooks.put(Webhook("books", f"{receiver.url}?key=hunter2", secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK, schedule=[0.01] * 5)
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        (lost,) = await ended(tickets, 1, JobState.FAILED)
        found = await tickets.webhooks.get("books")
        assert found is not None
        assert (found.state, found.reason) == ("disabled", "the endpoint answered 410 Gone")
        assert (datetime.now(UTC) - found.since).total_seconds() < 60
        job = await tickets.enqueue("invoice.send", 2)
        await job.result(timeout=10)
        receiver.answers = lambda _: (200, {})
        await tickets.webhooks.resume("books")
        assert await tickets.webhooks.replay_failed("books") == 1
        await receiver.wait_for(2)
    assert len(receiver.received) == 2, "what happened while it was disabled is told to nobody"
    assert len(lost.tries) == 1
    assert any(record.message == "webhook.disabled" for record in caplog.records)
    for record in caplog.records:
        assert "hunter2" not in str(record.__dict__)
        assert SECRET not in str(record.__dict__)


async def test_a_receiver_that_is_busy_is_left_alone(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    arrived: list[float] = []
    loop = asyncio.get_running_loop()

    def busy_at_first(_: Received) -> tuple[int, Mapping[str, str]]:
        arrived.append(loop.time())
        return (429, {"Retry-After": "1"}) if len(arrived) == 1 else (200, {})

    receiver.answers = busy_at_first
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK, schedule=[60])
    async with Worker(tickets, hooks, registry=registry, concurrency=1):
        await tickets.enqueue_many([])
        for number in range(3):
            await tickets.enqueue("invoice.send", number)
        await receiver.wait_for(4)
        deliveries = await ended(tickets, 3)
    assert all(later - arrived[0] >= 1 for later in arrived[1:]), "the others of that endpoint too"
    for delivery in deliveries:
        record = await (await hooks.backend()).get("webhooks", delivery.id)
        assert record is not None
        assert record.failures == 0, "to wait is no failure"


async def test_resuming_ends_the_wait_that_a_busy_receiver_has_asked_for(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    receiver.answers = lambda _: (429, {"Retry-After": "3600"})
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK, schedule=[86_400])
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        await receiver.wait_for(1)
        while (await hooks.counts()).active:  # noqa: ASYNC110  (the worker hands in what came of it)
            await asyncio.sleep(0.01)
        receiver.answers = lambda _: (200, {})
        await tickets.webhooks.resume("books")
        await ended(tickets, 1)
    assert len(receiver.received) == 2


async def test_an_address_within_our_own_house_is_not_reached(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, schedule=[])
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        (lost,) = await ended(tickets, 1, JobState.FAILED)
    assert receiver.received == []
    (attempt,) = lost.tries
    assert (attempt.status, attempt.error) == (None, "AddressRefused")


async def test_a_receiver_that_never_answers_is_not_waited_for(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    receiver.silent = True
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK, schedule=[], timeout=0.5)
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        (lost,) = await ended(tickets, 1, JobState.FAILED)
    assert lost.tries[0].error == "DeliveryFailed"
    assert lost.tries[0].seconds >= 0.4


async def test_a_paused_endpoint_gets_everything_later(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    paused = await tickets.webhooks.pause("books", reason="they move house")
    assert (paused.state, paused.reason) == ("paused", "they move house")
    deliver_webhooks(registry, allow=LOOPBACK)
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        (waiting,) = await ended(tickets, 1, JobState.DELAYED)
        assert waiting.paused
        assert waiting.next_try_at is not None
        assert receiver.received == []
        resumed = await tickets.webhooks.resume("books")
        assert (resumed.state, resumed.reason) == ("on", "")
        await receiver.wait_for(1)
        (taken,) = await ended(tickets, 1)
    assert [attempt.status for attempt in taken.tries] == [204]


async def test_deliveries_of_an_endpoint_that_is_removed_fail(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("invoice.send", 1)
        await job.result(timeout=10)
    assert await tickets.webhooks.remove("books")
    assert not await tickets.webhooks.remove("books")
    deliver_webhooks(registry, allow=LOOPBACK)
    async with Worker(hooks, registry=registry):
        await ended(tickets, 1, JobState.FAILED)
    assert receiver.received == []


async def test_secrets_are_changed_without_a_gap(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK)
    async with Worker(tickets, hooks, registry=registry):
        fresh = await tickets.webhooks.rotate("books")
        assert fresh == await tickets.webhooks.secret("books") != SECRET
        await tickets.enqueue("invoice.send", 1)
        (both,) = await receiver.wait_for(1)
        newest = await tickets.webhooks.rotate("books", overlap=0)
        await tickets.enqueue("invoice.send", 2)
        _, later = await receiver.wait_for(2)
    assert both.verified(SECRET) == both.verified(fresh)
    later.verified(newest)
    assert both.headers["webhook-signature"].count("v1,") == 2
    assert later.headers["webhook-signature"].count("v1,") == 1, "none of the old ones is trusted any more"


async def test_a_secret_whose_time_is_over_signs_no_more(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    await tickets.webhooks.rotate("books", overlap=0)
    deliver_webhooks(registry, allow=LOOPBACK)
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.send", 1)
        (request,) = await receiver.wait_for(1)
    with pytest.raises(WebhookVerificationError):
        request.verified(SECRET)
    request.verified(await tickets.webhooks.secret("books"))


async def test_many_events_each_come_once(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver, backend: Backend
) -> None:
    await tickets.webhooks.put(Webhook("books", receiver.url, secret=SECRET))
    deliver_webhooks(registry, allow=LOOPBACK)
    async with (
        Worker(tickets, hooks, registry=registry),
        Worker(tickets, hooks, registry=registry),
    ):
        for number in range(60):
            await tickets.enqueue("invoice.send", number, job_id=f"i-{number}")
        requests = await receiver.wait_for(60)
        await ended(tickets, 60)
    assert sorted(request.content["data"]["job_id"] for request in requests) == sorted(f"i-{n}" for n in range(60))
    assert len({request.id for request in receiver.received}) == len(receiver.received) == 60


async def test_retrying_and_cancelled_jobs_are_told_if_asked_for(
    tickets: Queue, hooks: Queue, registry: Registry, receiver: Receiver
) -> None:
    @registry.processor("invoice.waver", retry=2)
    async def waver(job: Job) -> None:
        raise ValueError("not yet")

    await tickets.webhooks.put(
        Webhook("books", receiver.url, secret=SECRET, events=["job.retrying", "job.cancelled", "job.failed"])
    )
    deliver_webhooks(registry, allow=LOOPBACK)
    late = await tickets.enqueue("invoice.send", 1, delay=3600)
    await late.cancel("wrong tenant")
    async with Worker(tickets, hooks, registry=registry):
        await tickets.enqueue("invoice.waver")
        requests = await receiver.wait_for(3)
    told = [(request.content["type"], request.content["data"].get("reason")) for request in requests]
    assert sorted(told, key=str) == [
        ("job.cancelled", "wrong tenant"),
        ("job.failed", None),
        ("job.retrying", None),
    ]
