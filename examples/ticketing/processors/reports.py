"""What is done by the clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from anyio import to_thread

from examples.ticketing.contracts import REPORT_NIGHTLY, EmailSend
from examples.ticketing.events import Figures
from examples.ticketing.resources import Resources
from jobqueue import Job, processor, scheduled


@scheduled("0 2 * * *", timezone="America/Los_Angeles", catch_up="one")
@processor(REPORT_NIGHTLY)
async def nightly_report(job: Job[Any, Figures]) -> Figures:
    """The last 24 hours in a mail to the manager.

    ``catch_up="one"``: if no worker was there at two in the morning, the first one to start makes up for it.
    """
    desk = job.resource(Resources)
    # The job's own time and not that of this run: a retry reports on the same day.
    until = job.created_at
    figures = await to_thread.run_sync(desk.warehouse.figures, until - timedelta(days=1), until)
    facts = {
        "recipient": "manager",
        "until": f"{until:%d %b %Y, %H:%M} UTC",
        "reported": str(figures.reported),
        "invoiced": str(figures.invoiced),
        "paid": str(figures.paid),
        "takings": f"{figures.takings:.2f}",
    }
    mail = EmailSend(name="Manager", address=desk.manager, template="nightly_report", facts=facts)
    await desk.jobs.enqueue_email(mail, job_id=f"{job.id}.mail")
    return figures
