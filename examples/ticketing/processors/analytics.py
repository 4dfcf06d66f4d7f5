"""Events for the analysts, a hundred at a time."""

from __future__ import annotations

from examples.ticketing.contracts import ANALYTICS_TRACK
from examples.ticketing.events import TicketEvent
from examples.ticketing.resources import Resources
from jobqueue import Batch, Job, processor


@processor(ANALYTICS_TRACK, batch=Batch(size=100, wait=2))
def track_events(jobs: list[Job[TicketEvent]]) -> None:
    """``def``, because the warehouse blocks: it runs in a thread. If it fails, each job is retried for itself."""
    warehouse = jobs[0].resource(Resources).warehouse
    warehouse.store({job.id: job.data for job in jobs})
