"""Flows as large as a night's work, and as many as a day's."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from jobqueue import Flow, FlowHandle, Job, JobNotFound, NewJob, Queue, Registry, Worker, connect
from jobqueue.backends import Backend
from jobqueue.clock import Clock
from tests.conftest import opened

LEAVES = 9900


@pytest.fixture(params=["memory", "valkey"])
async def backend(request: pytest.FixtureRequest, backend_clock: Clock) -> AsyncGenerator[Backend]:
    async with opened(str(request.param), request, backend_clock) as backend:
        yield backend


@pytest.fixture
def runs(registry: Registry) -> list[str]:
    """What ran: "leaf" returns its data, "sum" adds up the results of those before it."""
    order: list[str] = []

    @registry.processor("leaf")
    async def leaf(job: Job[int]) -> int:
        order.append(job.id)
        return job.data

    @registry.processor("sum")
    async def add_up(job: Job) -> int:
        order.append(job.id)
        return sum(job.results.values())

    return order


async def test_ten_thousand_jobs_over_two_queues(valkey_url: str, registry: Registry, runs: list[str]) -> None:
    async with connect(valkey_url, namespace="large", fallback="never") as backend:
        queues = Queue("first", backend=backend), Queue("second", backend=backend)
        flow = Flow(queues[0], id="night")
        leaves = [flow.add("leaf", number, queue=queues[number % 2]) for number in range(LEAVES)]
        parts = [flow.fan_in(NewJob("sum"), after=leaves[start : start + 100]) for start in range(0, LEAVES, 100)]
        last = flow.add("sum", name="total", after=parts)
        handle = await flow.submit()
        assert (await handle.status()).counts == {"waiting": LEAVES, "blocked": 100}
        await flow.submit()

        async with Worker(*queues, registry=registry, concurrency=50):
            assert await handle.result(timeout=120) == {"total": sum(range(LEAVES))}
        assert len(runs) == len(set(runs)) == 10_000
        assert runs[-1] == last.id
        status = await handle.status()
        assert status.counts == {"completed": 10_000}
        assert status.mermaid().count("-->") == LEAVES + 99
        for queue in queues:
            await queue.obliterate()


async def test_the_last_thousand_flows_are_kept(tickets: Queue, registry: Registry, runs: list[str]) -> None:
    handles: list[FlowHandle] = []
    for number in range(1003):
        flow = Flow(tickets, id=f"f{number}")
        flow.add("leaf", number, name="a")
        handles.append(await flow.submit())
    async with Worker(tickets, registry=registry, concurrency=50):
        assert await handles[-1].result(timeout=60) == {"a": 1002}
    assert len(runs) == 1003
    forgotten: list[int] = []
    for number, handle in enumerate(handles):
        try:
            assert await handle.result(timeout=5) == {"a": number}
        except JobNotFound:
            forgotten.append(number)
    assert len(forgotten) == 3
    # The first that ended: not always the first three, since fifty run at a time and claims may overtake each other.
    assert max(forgotten) < 100
