"""How the application enqueues: one method for each thing that can happen; nobody has to know queues or job types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from examples.ticketing.contracts import (
    DEAD_LETTERS,
    EMAIL_SEND,
    INVOICE_CREATED,
    NOTIFICATIONS,
    PAYMENT_RECEIVED,
    SMS_SEND,
    TICKET_APPROVED,
    TICKET_ASSIGNED,
    TICKET_CREATED,
    TICKET_QUOTED,
    TICKETS,
    Attachment,
    EmailSend,
    InvoiceCreated,
    PaymentReceived,
    SmsSend,
    TicketApproved,
    TicketAssigned,
    TicketCreated,
    TicketQuoted,
)
from examples.ticketing.correspondence import Notice
from jobqueue import DeadLetters, Job, JobType, NewJob, Queue, Retry
from jobqueue.backends import Backend

DataT = TypeVar("DataT", bound=BaseModel)


class JobsService:
    """The application's three queues on one backend.

    Every method returns once the job is stored, and may be called again after an error: the job's id is made
    of what happened, so that the second call finds the first one's job. ``retry`` overrides the job types'
    own patience.
    """

    def __init__(self, backend: Backend, *, retry: Retry | None = None) -> None:
        self.tickets = Queue(TICKETS, backend=backend)
        self.notifications = Queue(NOTIFICATIONS, backend=backend)
        self.dead_letter = Queue(DEAD_LETTERS, backend=backend)
        self.dead_letters = DeadLetters(DEAD_LETTERS, backend=backend)
        self.queues = (self.tickets, self.notifications, self.dead_letter)
        self._named = {queue.name: queue for queue in self.queues}
        self._retry = retry

    async def enqueue_ticket_created(self, step: TicketCreated) -> Job[TicketCreated]:
        return await self.enqueue_job(TICKET_CREATED, step, job_id=step.job_id)

    async def enqueue_ticket_quoted(self, step: TicketQuoted) -> Job[TicketQuoted]:
        return await self.enqueue_job(TICKET_QUOTED, step, job_id=step.job_id)

    async def enqueue_ticket_approved(self, step: TicketApproved) -> Job[TicketApproved]:
        return await self.enqueue_job(TICKET_APPROVED, step, job_id=step.job_id)

    async def enqueue_ticket_assigned(self, step: TicketAssigned) -> Job[TicketAssigned]:
        return await self.enqueue_job(TICKET_ASSIGNED, step, job_id=step.job_id)

    async def enqueue_invoice_created(self, step: InvoiceCreated) -> Job[InvoiceCreated]:
        return await self.enqueue_job(INVOICE_CREATED, step, job_id=step.job_id)

    async def enqueue_payment_received(self, step: PaymentReceived) -> Job[PaymentReceived]:
        return await self.enqueue_job(PAYMENT_RECEIVED, step, job_id=step.job_id)

    async def enqueue_email(self, mail: EmailSend, *, job_id: str) -> Job[EmailSend]:
        return await self.enqueue_job(EMAIL_SEND, mail, job_id=job_id)

    async def enqueue_sms(self, sms: SmsSend, *, job_id: str) -> Job[SmsSend]:
        return await self.enqueue_job(SMS_SEND, sms, job_id=job_id)

    async def enqueue_notification(self, notice: Notice, *, attachments: Sequence[Attachment] = ()) -> Job[Any]:
        """By e-mail to whoever has an address, else by SMS, which carries no attachments."""
        [job] = await self.notifications.enqueue_many([self._notification(notice, attachments)])
        return job

    async def enqueue_notifications(self, notices: Sequence[Notice]) -> None:
        """All of them or, if the backend fails, none: the usual way for a step that tells several people."""
        await self.notifications.enqueue_many([self._notification(notice) for notice in notices])

    async def enqueue_job(self, job_type: JobType[DataT, Any], data: DataT, *, job_id: str) -> Job[DataT]:
        """Any job, into the queue that its type names."""
        queue = self._named.get(job_type.queue or "")
        if queue is None:
            raise ValueError(f"{job_type.name} names none of our queues")
        return await queue.enqueue(job_type, data, job_id=job_id, retry=self._retry)

    async def find(self, queue: str, job_id: str) -> Job[Any] | None:
        """The job as it stands; None if there is none, or no such queue."""
        known = self._named.get(queue)
        return await known.get(job_id) if known else None

    def _notification(self, notice: Notice, attachments: Sequence[Attachment] = ()) -> NewJob:
        if notice.to.email is not None:
            mail = EmailSend.to(notice.to, notice.template, notice.facts, tuple(attachments))
            return NewJob(EMAIL_SEND, mail, job_id=notice.job_id, retry=self._retry)
        sms = SmsSend.to(notice.to, notice.template, notice.facts)
        return NewJob(SMS_SEND, sms, job_id=notice.job_id, retry=self._retry)
