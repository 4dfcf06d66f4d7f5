"""How the application enqueues: one method for each thing that can happen; nobody has to know queues or job types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from examples.ticketing.contracts import (
    ANALYTICS,
    ANALYTICS_TRACK,
    DEAD_LETTERS,
    EMAIL_SEND,
    INVOICE_CREATED,
    NOTIFICATIONS,
    PAYMENT_RECEIVED,
    REPORTS,
    SMS,
    SMS_SEND,
    TICKET_APPROVED,
    TICKET_ASSIGNED,
    TICKET_COMPLETED,
    TICKET_CREATED,
    TICKET_QUOTED,
    TICKETS,
    WEBHOOKS,
    WHILE_OPEN,
    Attachment,
    EmailSend,
    SmsSend,
)
from examples.ticketing.correspondence import Notice
from examples.ticketing.events import TicketEvent
from examples.ticketing.settings import Settings
from examples.ticketing.steps import (
    InvoiceDue,
    PaymentReceived,
    TicketApproved,
    TicketAssigned,
    TicketCompleted,
    TicketCreated,
    TicketQuoted,
    TicketStep,
)
from examples.ticketing.ticket import Invoice, Quote
from jobqueue import DeadLetters, Job, JobDefaults, JobType, Limits, NewJob, Queue, Unique, Webhook
from jobqueue.backends import Backend

StepT = TypeVar("StepT", bound=TicketStep)
ResultT = TypeVar("ResultT")


class JobsService:
    """The application's queues on one backend.

    Every method returns once the job is stored, and may be called again after an error: the job's id is made
    of what happened, so that the second call finds the first one's job. All processes of a deployment have the
    same ``settings`` (those of the environment, unless given), which say how patient jobs are and how fast text
    messages may be sent.
    """

    def __init__(self, backend: Backend, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.tickets = Queue(TICKETS, backend=backend, defaults=JobDefaults(keep=WHILE_OPEN))
        self.notifications = Queue(NOTIFICATIONS, backend=backend)
        self.sms = Queue(SMS, backend=backend, limits=Limits(rate=settings.sms_rate))
        self.analytics = Queue(ANALYTICS, backend=backend)
        self.reports = Queue(REPORTS, backend=backend)
        self.webhooks = Queue(WEBHOOKS, backend=backend)
        self.dead_letter = Queue(DEAD_LETTERS, backend=backend)
        self.dead_letters = DeadLetters(DEAD_LETTERS, backend=backend)
        self.queues = (
            self.tickets,
            self.notifications,
            self.sms,
            self.analytics,
            self.reports,
            self.webhooks,
            self.dead_letter,
        )
        self._named = {queue.name: queue for queue in self.queues}
        self._retry = settings.retry
        self._updates_after = settings.updates_after

    async def enqueue_ticket_created(self, step: TicketCreated) -> Job[TicketCreated]:
        return await self.enqueue_step(TICKET_CREATED, step)

    async def enqueue_tickets_created(self, steps: Sequence[TicketCreated]) -> None:
        """Many at once, as when a new landlord brings all that is open: a thousand at a time, all or none."""
        await self.tickets.enqueue_many([self._step(TICKET_CREATED, step) for step in steps])

    async def enqueue_ticket_quoted(self, step: TicketQuoted) -> Job[TicketQuoted]:
        return await self.enqueue_step(TICKET_QUOTED, step)

    async def enqueue_ticket_approved(self, step: TicketApproved) -> Job[TicketApproved, Quote]:
        return await self.enqueue_step(TICKET_APPROVED, step)

    async def enqueue_ticket_assigned(self, step: TicketAssigned) -> Job[TicketAssigned]:
        return await self.enqueue_step(TICKET_ASSIGNED, step)

    async def enqueue_ticket_completed(self, step: TicketCompleted) -> Job[InvoiceDue, Invoice]:
        """The completion, and the invoice, which waits for it and for the approval: both or none are stored.

        Returns the invoice's job. Raises JobNotFound if the ticket was never approved.
        """
        due = InvoiceDue(ticket=step.ticket)
        completed = self._step(TICKET_COMPLETED, step)
        invoice = self._step(INVOICE_CREATED, due)
        invoice.depends_on = [(TICKETS, due.approval), (TICKETS, due.completion)]
        _, job = await self.tickets.enqueue_many([completed, invoice])
        return job

    async def enqueue_payment_received(self, step: PaymentReceived) -> Job[PaymentReceived]:
        return await self.enqueue_step(PAYMENT_RECEIVED, step)

    async def enqueue_email(self, mail: EmailSend, *, job_id: str) -> Job[EmailSend]:
        return await self.notifications.enqueue(EMAIL_SEND, mail, job_id=job_id, retry=self._retry)

    async def enqueue_notifications(self, notices: Sequence[Notice], *, attachments: Sequence[Attachment] = ()) -> None:
        """By e-mail to whoever has an address, else by SMS, which carries no attachments.

        A step that fails between the two queues is run again, and finds the first half enqueued.
        """
        mails = [notice for notice in notices if notice.to.email is not None]
        texts = [notice for notice in notices if notice.to.email is None]
        await self.notifications.enqueue_many([self._mail(notice, attachments) for notice in mails])
        await self.sms.enqueue_many([self._text(notice) for notice in texts])

    async def enqueue_update(self, notice: Notice) -> Job[EmailSend]:
        """An update of a ticket, once it has been quiet for a while: a later one takes the place of one that has not
        gone out yet, and waits anew. While one is being sent, the last of the others is kept."""
        mail = EmailSend.to(notice.to, notice.template, notice.facts)
        return await self.notifications.enqueue(
            EMAIL_SEND,
            mail,
            delay=self._updates_after,
            unique=Unique(notice.job_id, replace=True, keep_last=True),
            group=notice.landlord,
            retry=self._retry,
        )

    async def enqueue_event(self, event: TicketEvent) -> Job[TicketEvent]:
        job_id = f"{event.ticket}.{event.step}.tracked"
        return await self.analytics.enqueue(ANALYTICS_TRACK, event, job_id=job_id, retry=self._retry)

    async def enqueue_step(self, job_type: JobType[StepT, ResultT], step: StepT) -> Job[StepT, ResultT]:
        """A step of a ticket, in its landlord's turn."""
        return await self.tickets.enqueue(job_type, step, job_id=step.job_id, group=step.group, retry=self._retry)

    async def connect_accounting(self, url: str, secret: str | None = None) -> None:
        """From now on the accounting system at ``url`` is told of each invoice, by a webhook signed with ``secret``.

        To be repeated at every start. Without ``secret`` the one that is stored is kept, or one is drawn:
        ``tickets.webhooks.secret("accounting")``.
        """
        await self.tickets.webhooks.put(
            Webhook(
                "accounting",
                url,
                secret=secret,
                events=["job.completed"],
                types=[INVOICE_CREATED],
                include=["result"],
                deliveries=WEBHOOKS,
            )
        )

    async def find(self, queue: str, job_id: str) -> Job[Any] | None:
        """The job as it stands; None if there is none, or no such queue."""
        known = self._named.get(queue)
        return await known.get(job_id) if known else None

    def _step(self, job_type: JobType[StepT, ResultT], step: StepT) -> NewJob:
        return NewJob(job_type, step, job_id=step.job_id, group=step.group, retry=self._retry)

    def _mail(self, notice: Notice, attachments: Sequence[Attachment]) -> NewJob:
        mail = EmailSend.to(notice.to, notice.template, notice.facts, tuple(attachments))
        return NewJob(EMAIL_SEND, mail, job_id=notice.job_id, group=notice.landlord, retry=self._retry)

    def _text(self, notice: Notice) -> NewJob:
        sms = SmsSend.to(notice.to, notice.template, notice.facts)
        return NewJob(SMS_SEND, sms, job_id=notice.job_id, group=notice.landlord, retry=self._retry)
