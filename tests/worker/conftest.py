"""A queue on each backend in turn, and processors that belong to one test only."""

from __future__ import annotations

import pytest

from jobqueue import Queue, Registry
from jobqueue.backends import Backend


@pytest.fixture
def tickets(backend: Backend) -> Queue:
    return Queue("tickets", backend=backend)


@pytest.fixture
def registry() -> Registry:
    return Registry()
