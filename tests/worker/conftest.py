"""A queue on each backend in turn, and processors that belong to one test only."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from jobqueue import Queue, Registry
from jobqueue.backends import Backend
from jobqueue.clock import Clock
from tests.conftest import opened

KINDS = ("memory", "valkey", "redis", "valkey-acl", "cluster", "valkey+encrypted")
"""The contract suite holds every backend to the same; what a worker adds is tried where the way to the jobs differs."""


@pytest.fixture(params=KINDS)
async def backend(request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    async with opened(str(request.param), request, backend_clock) as backend:
        yield backend


@pytest.fixture
def tickets(backend: Backend) -> Queue:
    return Queue("tickets", backend=backend)


@pytest.fixture
def registry() -> Registry:
    return Registry()
