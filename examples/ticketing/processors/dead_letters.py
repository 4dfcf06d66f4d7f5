"""Tells a person about jobs that failed for good.

Not in force by default: letters wait in the queue ``dead-letter`` until somebody lists them, mends what was
broken and retries them (``jobqueue.DeadLetters``). To have them announced by e-mail as well, give a worker
that queue and this processor: ``python -m examples.ticketing.worker_main --alerts``. A letter that has been
announced is a completed job of the dead-letter queue; the failed job itself stays ``failed`` in its own
queue, where ``Queue.retry`` finds it.
"""

from __future__ import annotations

from examples.ticketing.contracts import EmailSend
from examples.ticketing.resources import Resources
from jobqueue import DEAD_LETTER, DeadLetter, Job, Unrecoverable, processor

ON_CALL = "on-call@property.example"


@processor(DEAD_LETTER)
async def announce_dead_letter(job: Job[DeadLetter]) -> None:
    letter = job.data
    if letter.job_id.startswith("alert."):
        # An alert that could not be sent must not raise an alert.
        raise Unrecoverable(f"the alert {letter.job_id} could not be sent")
    facts = {
        "recipient": "colleague",
        "origin": letter.origin,
        "job": letter.job_id,
        "type": letter.type,
        "error": f"{letter.error.type}: {letter.error.message}"[:500],
    }
    mail = EmailSend(name="On call", address=ON_CALL, template="dead_letter", facts=facts)
    await job.resource(Resources).jobs.enqueue_email(mail, job_id=f"alert.{letter.job_id}")
