"""The stage: everything that has to run for the demonstration, set up in order and taken down in reverse."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_bytes
from uuid import uuid4

from examples.ticketing.api import create_app
from examples.ticketing.desk.accounting import SECRET
from examples.ticketing.desk.child_process import Child, child_process
from examples.ticketing.desk.loopback_server import served
from examples.ticketing.desk.smtp_server import Mailbox
from examples.ticketing.service import JobsService
from examples.ticketing.settings import Settings
from examples.ticketing.worker_main import ticket_worker
from jobqueue import connect


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demonstration was asked for. ``backend`` is ``embedded``, ``memory`` or a URL."""

    backend: str
    workers: int
    seed: int
    retry_delay: float
    sms_per_second: int

    def backend_url(self, folder: Path) -> str:
        match self.backend:
            case "embedded":
                return f"embedded://{folder / 'valkey'}"
            case "memory":
                return "memory://"
            case url:
                return url


@dataclass(frozen=True, slots=True)
class Stage:
    """What is running, and where it leaves its traces."""

    jobs: JobsService
    api_url: str
    gateway_url: str
    mailbox: Mailbox
    gateway_log: Path
    accounting_log: Path
    settings: Settings
    ledgers: Path
    workers: list[Child]


@asynccontextmanager
async def staged(plan: Plan, folder: Path) -> AsyncGenerator[Stage]:
    """Sets up everything in ``folder``; on leaving, whatever the reason, nothing is left running."""
    ledgers, mailbox, gateway_log = folder / "ledgers", Mailbox(folder / "mailbox"), folder / "gateway.jsonl"
    accounting_log, secret = folder / "accounting.jsonl", f"whsec_{b64encode(token_bytes(32)).decode()}"
    ledgers.mkdir()
    # A namespace of our own: on a shared server other queues are out of reach, and ours can be swept away.
    url, namespace = plan.backend_url(folder), f"ticketing-{uuid4().hex[:8]}"
    async with (
        connect(url, namespace=namespace, fallback="never") as backend,
        child_process(
            "examples.ticketing.desk.smtp_server",
            *("--mailbox", str(mailbox.folder)),
            log=folder / "smtp.log",
        ) as post,
        child_process(
            "examples.ticketing.desk.sms_gateway",
            *("--log", str(gateway_log), "--seed", str(plan.seed)),
            log=folder / "gateway.log",
        ) as gateway,
        child_process(
            "examples.ticketing.desk.accounting",
            *("--log", str(accounting_log)),
            log=folder / "accounting.log",
            settings={SECRET: secret},
        ) as accounting,
    ):
        settings = Settings(
            smtp_port=int(post.where),
            sms_gateway_url=gateway.where,
            retry_delay=plan.retry_delay,
            updates_after=1.0,
            sms_per_second=plan.sms_per_second,
            warehouse=folder / "warehouse.sqlite3",
            accounting_url=accounting.where,
            webhook_network="127.0.0.1/32",
            ledger_dir=ledgers,
        )
        async with (
            _swept(JobsService(backend, settings)) as jobs,
            served(create_app(lambda: _lent(jobs))) as api_url,
            AsyncExitStack() as crew,
        ):
            await jobs.connect_accounting(accounting.where, secret)
            workers: list[Child] = []
            if plan.backend == "memory":
                # Nobody else can reach this process's memory, so its worker lives here too.
                await crew.enter_async_context(crew.enter_context(ticket_worker(backend, settings)))
            else:
                for number in range(1, plan.workers + 1):
                    log = folder / f"worker-{number}.log"
                    worker = worker_process(url, namespace, settings, log)
                    workers.append(await crew.enter_async_context(worker))
            yield Stage(jobs, api_url, gateway.where, mailbox, gateway_log, accounting_log, settings, ledgers, workers)


def worker_process(url: str, namespace: str, settings: Settings, log: Path) -> AbstractAsyncContextManager[Child]:
    """A worker as a deployment would start it, but for its life being tied to ours."""
    return child_process(
        "examples.ticketing.worker_main",
        *("--backend", url, "--namespace", namespace),
        log=log,
        settings=settings.as_environment(),
    )


@asynccontextmanager
async def _lent(jobs: JobsService) -> AsyncGenerator[JobsService]:
    """The stage's jobs service for the API, which would otherwise open and close one of its own."""
    yield jobs


@asynccontextmanager
async def _swept(jobs: JobsService) -> AsyncGenerator[JobsService]:
    """Leaves no key behind on a server that others use as well."""
    try:
        yield jobs
    finally:
        for queue in jobs.queues:
            await queue.obliterate(force=True)
