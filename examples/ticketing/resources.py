"""What processors work with, opened once for each worker and closed with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import httpx2 as httpx

from examples.ticketing.mailer import Mailer
from examples.ticketing.service import JobsService
from examples.ticketing.settings import Settings
from examples.ticketing.sms_client import SmsClient
from examples.ticketing.stationery import Stationery
from examples.ticketing.warehouse import Warehouse
from jobqueue import Worker
from jobqueue.backends import Backend


@dataclass(frozen=True, slots=True)
class Resources:
    """The connections and templates of one worker."""

    jobs: JobsService
    mailer: Mailer
    sms: SmsClient
    stationery: Stationery
    warehouse: Warehouse
    manager: str


def lifespan_for(backend: Backend, settings: Settings) -> Callable[[Worker], AbstractAsyncContextManager[Resources]]:
    """What ``Worker(lifespan=...)`` asks for: opens the resources with the worker and closes them after it."""

    @asynccontextmanager
    async def lifespan(_: Worker) -> AsyncGenerator[Resources]:
        mailer = Mailer(
            settings.smtp_host,
            settings.smtp_port,
            sender=settings.sender,
            connections=settings.smtp_connections,
        )
        async with mailer, httpx.AsyncClient(base_url=settings.sms_gateway_url, timeout=10) as http:
            yield Resources(
                jobs=JobsService(backend, settings),
                mailer=mailer,
                sms=SmsClient(http),
                stationery=Stationery(),
                warehouse=Warehouse(settings.warehouse),
                manager=settings.manager,
            )

    return lifespan
