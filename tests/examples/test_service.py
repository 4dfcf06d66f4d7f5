"""What the application asks of its queues: turns, rates, and an invoice that waits for two others."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from examples.ticketing.correspondence import notices_for, update_for
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.events import TicketEvent
from examples.ticketing.service import JobsService
from examples.ticketing.settings import Settings
from examples.ticketing.steps import InvoiceDue, TicketApproved, TicketCompleted, TicketCreated
from jobqueue import JobNotFound, Rate, connect

CASE = Case(next(generate_requests(1, seed=1)))
CREATED = TicketCreated(ticket=CASE.ticket)
APPROVED = TicketApproved(ticket=CASE.ticket, quote=CASE.quote)
COMPLETED = TicketCompleted(ticket=CASE.ticket, work=CASE.work)


@pytest.fixture
async def jobs() -> AsyncIterator[JobsService]:
    async with connect("memory://") as backend:
        yield JobsService(backend, Settings(sms_per_second=7))


async def test_an_invoice_waits_for_approval_and_completion(jobs: JobsService) -> None:
    await jobs.enqueue_ticket_approved(APPROVED)
    invoice = await jobs.enqueue_ticket_completed(COMPLETED)
    assert invoice.state == "blocked"
    for _ in range(2):
        await invoice.refresh()
        assert invoice.state == "blocked"
        async with jobs.tickets.claim(timeout=5) as job:
            assert job.id in (APPROVED.job_id, COMPLETED.job_id)
    async with jobs.tickets.claim(timeout=5) as job:
        assert job.id == InvoiceDue(ticket=CASE.ticket).job_id


async def test_a_completion_reported_twice_is_one_invoice(jobs: JobsService) -> None:
    await jobs.enqueue_ticket_approved(APPROVED)
    first, again = [await jobs.enqueue_ticket_completed(COMPLETED) for _ in range(2)]
    assert first.id == again.id
    assert (await jobs.tickets.counts()).total == 3


async def test_without_an_approval_there_is_neither_completion_nor_invoice(jobs: JobsService) -> None:
    with pytest.raises(JobNotFound):
        await jobs.enqueue_ticket_completed(COMPLETED)
    assert (await jobs.tickets.counts()).total == 0


async def test_steps_and_messages_take_their_landlords_turn(jobs: JobsService) -> None:
    await jobs.enqueue_tickets_created([CREATED])
    await jobs.enqueue_notifications(notices_for(CREATED))
    for queue in (jobs.tickets, jobs.notifications):
        assert [group.name for group in await queue.groups()] == [CASE.ticket.landlord.id]


async def test_text_messages_have_a_queue_and_a_rate_of_their_own(jobs: JobsService) -> None:
    await jobs.enqueue_notifications(notices_for(APPROVED))
    assert (await jobs.sms.counts()).waiting >= 1, "contractors have phones"
    assert (await jobs.sms.limits()).rate == Rate(7, per=1.0)
    assert (await jobs.notifications.limits()).rate is None


async def test_accounting_is_connected_once_and_keeps_its_secret(jobs: JobsService) -> None:
    secret = f"whsec_{b64encode(bytes(32)).decode()}"
    await jobs.connect_accounting("https://books.example.com/hooks", secret)
    await jobs.connect_accounting("https://books.example.com/hooks")
    [webhook] = await jobs.tickets.webhooks.list()
    assert (webhook.types, webhook.include) == (("invoice.created",), ("result",))
    assert await jobs.tickets.webhooks.secret("accounting") == secret


async def test_of_several_updates_the_last_is_mailed(jobs: JobsService) -> None:
    for news in CASE.news:
        if update := update_for(news):
            await jobs.enqueue_update(update)
    [mail] = await jobs.notifications.jobs("delayed")
    assert mail.data["facts"]["step"] == "paid"
    assert mail.group == CASE.ticket.landlord.id


async def test_tickets_are_updated_each_for_itself(jobs: JobsService) -> None:
    for request in generate_requests(3, seed=1):
        update = update_for(Case(request).news[-1])
        assert update is not None
        await jobs.enqueue_update(update)
    assert (await jobs.notifications.counts()).delayed == 3


async def test_an_event_is_enqueued_once(jobs: JobsService) -> None:
    for _ in range(2):
        await jobs.enqueue_event(TicketEvent.of(CREATED, CREATED.ticket.reported_at))
    assert (await jobs.analytics.counts()).waiting == 1
