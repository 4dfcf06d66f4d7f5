"""A queue, its receiver, and a worker that runs its jobs and delivers."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from jobqueue import Job, Queue, Registry, Unrecoverable
from jobqueue.backends import Backend
from jobqueue.clock import Clock
from tests.conftest import opened
from tests.webhooks.receiver import Receiver, receiving

KINDS = ("memory", "valkey", "cluster", "valkey+encrypted")
"""The contract suite holds every backend to the same; here is what a worker makes of it."""


@pytest.fixture(params=KINDS)
async def backend(request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    async with opened(str(request.param), request, backend_clock) as backend:
        yield backend


@pytest.fixture
async def receiver() -> AsyncGenerator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
def tickets(backend: Backend) -> Queue:
    return Queue("tickets", backend=backend)


@pytest.fixture
def hooks(backend: Backend) -> Queue:
    return Queue("webhooks", backend=backend, dead_letter=None)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()

    @registry.processor("invoice.send")
    async def send(job: Job) -> str:
        return f"sent {job.data}"

    @registry.processor("invoice.lose", retry=1)
    async def lose(job: Job) -> None:
        raise Unrecoverable("no such tenant")

    return registry
