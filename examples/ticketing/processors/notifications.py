"""Notification jobs: an e-mail or a text message to one person."""

from __future__ import annotations

from examples.ticketing.contracts import EMAIL_SEND, SMS_SEND, EmailSend, SmsSend
from examples.ticketing.mailer import compose
from examples.ticketing.resources import Resources
from jobqueue import Job, processor


@processor(EMAIL_SEND)
async def send_email(job: Job[EmailSend]) -> None:
    desk = job.resource(Resources)
    letter = desk.stationery.letter(job.data.template, job.data.facts)
    message = compose(job.data, letter, sender=desk.mailer.sender, job_id=job.id, attempt=job.attempt)
    await desk.mailer.send(message)


@processor(SMS_SEND)
async def send_sms(job: Job[SmsSend]) -> None:
    desk = job.resource(Resources)
    text = desk.stationery.sms(job.data.template, job.data.facts)
    await desk.sms.send(job.data.phone, text, key=job.id, attempt=job.attempt)
