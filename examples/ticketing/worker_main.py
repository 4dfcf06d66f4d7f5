"""A worker process: ``python -m examples.ticketing.worker_main [--backend redis://…]``.

Start as many as there is work for, on as many machines.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Generator
from contextlib import contextmanager

from examples.ticketing.desk.child_process import announce, end_with_parent
from examples.ticketing.ledger import Ledger
from examples.ticketing.processors import analytics, dead_letters, notifications, reports, tickets
from examples.ticketing.resources import lifespan_for
from examples.ticketing.service import JobsService
from examples.ticketing.settings import Settings
from jobqueue import Worker, connect
from jobqueue.backends import Backend
from jobqueue.webhooks import SCHEDULE, deliver_webhooks

PROCESSORS = (tickets, notifications, analytics, reports, dead_letters)
"""Importing these modules registers their processors; naming them here says that this is why they are imported."""


@contextmanager
def ticket_worker(backend: Backend, settings: Settings, *, alerts: bool = False) -> Generator[Worker]:
    """The application's worker: all its queues, the resources, and the ledger if the settings want one.

    ``alerts`` adds the dead-letter queue, so that letters are announced instead of waiting for a person.
    """
    jobs = JobsService(backend, settings)
    slots = {
        jobs.tickets: settings.ticket_slots,
        jobs.notifications: settings.notification_slots,
        jobs.sms: settings.notification_slots,
        jobs.analytics: 1,  # a batch takes one slot
        jobs.reports: 1,
        jobs.webhooks: settings.notification_slots,
    }
    deliver_webhooks(
        allow=[settings.webhook_network] if settings.webhook_network else [],
        schedule=[settings.retry_delay, *SCHEDULE],
    )
    if alerts:
        slots[jobs.dead_letter] = 1
    ledger = Ledger(settings.ledger_dir / f"worker-{os.getpid()}.jsonl") if settings.ledger_dir else None
    try:
        yield Worker(
            *slots,
            concurrency=slots,
            lifespan=lifespan_for(backend, settings),
            middleware=[ledger] if ledger else [],
        )
    finally:
        if ledger:
            ledger.close()


async def work(url: str | None, namespace: str, *, alerts: bool) -> None:
    """Works until SIGTERM or SIGINT."""
    # Falling back to memory would be a worker that waits for jobs which nobody can give it.
    async with connect(url, namespace=namespace, fallback="never") as backend:
        settings = Settings()
        if settings.accounting_url:
            await JobsService(backend, settings).connect_accounting(settings.accounting_url)
        with ticket_worker(backend, settings, alerts=alerts) as worker:
            announce()
            await worker.run()


def main() -> None:
    parser = argparse.ArgumentParser(description="A worker of the ticket desk.")
    parser.add_argument("--backend", help="redis://…, embedded://PATH; without it REDIS_URL is read")
    parser.add_argument("--namespace", default="ticketing")
    parser.add_argument("--alerts", action="store_true", help="announce dead letters by e-mail")
    parser.add_argument("--attached", action="store_true", help="end with the parent process")
    options = parser.parse_args()
    if options.attached:
        end_with_parent()
    asyncio.run(work(options.backend, options.namespace, alerts=options.alerts))


if __name__ == "__main__":
    main()
