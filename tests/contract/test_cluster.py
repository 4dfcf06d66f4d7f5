"""What only a cluster does: queues on different nodes, and slots that move while somebody waits for them."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from jobqueue import BackendError, BackendUnavailable, ConfigurationError, Job, NewJob, Queue, Registry, Worker, connect
from jobqueue.backends import ClusterBackend
from jobqueue.backends.protocol import Cancel, LogLines
from jobqueue.model.record import JobState
from jobqueue.testing.contract.steps import claim, job
from tests.cluster import Cluster, Node, slot_of, until
from tests.servers import server, valkey_binary

QUEUE = "tickets"
SLOT = slot_of(QUEUE)
SOON = 20.0


@pytest.fixture
def empty_nodes(six_nodes: Cluster) -> Cluster:
    """The session's cluster, without whatever another test has left there."""
    six_nodes.empty()
    return six_nodes


@pytest.fixture
async def backend(empty_nodes: Cluster) -> AsyncGenerator[ClusterBackend]:
    made = ClusterBackend.from_url(empty_nodes.user_url)
    await made.open()
    yield made
    await made.close()


def other_node(cluster: Cluster, slot: int = SLOT) -> Node:
    """A primary that has not this slot."""
    return next(node for node in cluster.primaries() if node is not cluster.owner(slot))


def blocked(node: Node) -> int:
    """How many clients wait there for something."""
    return int(node.facts("clients")["blocked_clients"])


async def eventually(holds: Callable[[], bool]) -> None:
    """Return when it holds."""
    await asyncio.to_thread(until, holds)


async def test_queues_are_spread_and_letters_go_from_node_to_node(
    empty_nodes: Cluster, backend: ClusterBackend
) -> None:
    homes = {empty_nodes.owner(slot_of(f"q{number}")): f"q{number}" for number in range(30)}
    assert len(homes) == 3
    registry = Registry()

    @registry.processor("hopeless")
    async def hopeless(job: Job[int]) -> None:
        raise ValueError(job.data)

    here, there, _ = homes.values()
    queue, letters = Queue(here, backend=backend, dead_letter=there), Queue(there, backend=backend)
    async with Worker(queue, registry=registry) as worker:
        await queue.enqueue_many([NewJob("hopeless", number, retry=1) for number in range(5)])
        await worker.drain()
    assert (await letters.counts()).waiting == 5
    assert {job.data["job_id"] for job in await letters.jobs("waiting")} == {
        job.id for job in await queue.jobs("failed")
    }
    await Queue(homes[next(reversed(homes))], backend=backend).enqueue("hopeless", 0)
    for node, name in homes.items():
        assert node.call("CLUSTER", "COUNTKEYSINSLOT", slot_of(name)) > 0
    assert set(homes.values()) <= set(await backend.queues())


async def test_a_script_waits_for_a_slot_that_is_on_its_way(
    empty_nodes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On either node it would find half of its queue, and write to it."""
    target = other_node(empty_nodes)
    async with connect(empty_nodes.user_url, fallback="never", deadline=0.1) as backend:
        await backend.enqueue(QUEUE, [job("before")])
        source = empty_nodes.set_out(SLOT, target)
        before = source.call("CLUSTER", "COUNTKEYSINSLOT", SLOT)
        monkeypatch.setattr("jobqueue.backends.redis.routes._MOTION_SECONDS", 0.1)
        with pytest.raises(BackendUnavailable, match="on its way"):
            await backend.enqueue(QUEUE, [job("between")])
        assert source.call("CLUSTER", "COUNTKEYSINSLOT", SLOT) == before
        assert target.call("CLUSTER", "COUNTKEYSINSLOT", SLOT) == 0
        monkeypatch.setattr("jobqueue.backends.redis.routes._MOTION_SECONDS", SOON)
        waiting = asyncio.create_task(backend.enqueue(QUEUE, [job("after")]))
        keys = source.call("CLUSTER", "GETKEYSINSLOT", SLOT, 100)
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        empty_nodes.arrive(SLOT, target)
        assert (await waiting)[0].created
        waiting_ids = [record.id for record in await backend.find(QUEUE, JobState.WAITING)]
        assert waiting_ids == ["before", "after"]


async def test_a_plain_command_finds_its_key_on_either_node(empty_nodes: Cluster, backend: ClusterBackend) -> None:
    await backend.enqueue(QUEUE, [job("a")])
    (lease,) = await claim(backend)
    await backend.annotate(QUEUE, "a", lease.token or 0, LogLines((b'"line"',)))
    await backend.enqueue(QUEUE, [job("b")])
    target = other_node(empty_nodes)
    source = empty_nodes.set_out(SLOT, target)
    assert await backend.logs(QUEUE, "a") == [b'"line"']
    keys = source.call("CLUSTER", "GETKEYSINSLOT", SLOT, 100)
    source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
    assert await backend.logs(QUEUE, "a") == [b'"line"']
    assert await backend.wait(QUEUE, SOON), "the marker is there already"
    empty_nodes.arrive(SLOT, target)
    assert await backend.logs(QUEUE, "a") == [b'"line"']


Waiter = Callable[[ClusterBackend], Awaitable[Any]]


async def _for_work(backend: ClusterBackend) -> Any:
    return await backend.wait(QUEUE, SOON)


async def _for_orders(backend: ClusterBackend) -> Any:
    return await backend.orders(QUEUE, "w", SOON)


async def _for_events(backend: ClusterBackend) -> Any:
    return (await backend.events(QUEUE, "0", SOON)).events


@pytest.mark.parametrize("wait", [_for_work, _for_orders, _for_events])
@pytest.mark.parametrize("at_once", [False, True], ids=["key by key", "at once"])
async def test_whoever_waits_follows_the_slot(
    empty_nodes: Cluster, backend: ClusterBackend, wait: Waiter, at_once: bool
) -> None:
    source, target = empty_nodes.owner(SLOT), other_node(empty_nodes)
    waiting = asyncio.ensure_future(wait(backend))
    await eventually(lambda: blocked(source) == 1)
    await asyncio.to_thread(empty_nodes.move_at_once if at_once else empty_nodes.move, SLOT, target)
    await eventually(lambda: blocked(target) == 1)
    async with connect(empty_nodes.user_url, fallback="never") as another:
        await another.enqueue(QUEUE, [job("a")])
        await claim(another)
        await another.amend(QUEUE, "a", Cancel("no more"))
    began = time.monotonic()
    assert await asyncio.wait_for(waiting, SOON)
    assert time.monotonic() - began < SOON / 2


async def test_an_idle_worker_outlives_a_failover(empty_nodes: Cluster, backend: ClusterBackend) -> None:
    registry = Registry()

    @registry.processor("double")
    async def double(job: Job[int]) -> int:
        return 2 * job.data

    queue = Queue(QUEUE, backend=backend)
    async with Worker(queue, registry=registry):
        primary = empty_nodes.owner(SLOT)
        await eventually(lambda: blocked(primary) >= 2)
        replica = empty_nodes.replica_of(primary)
        replica.call("CLUSTER", "FAILOVER")
        await eventually(lambda: empty_nodes.owner(SLOT) is replica)
        assert await (await queue.enqueue("double", 21)).result(timeout=SOON) == 42
        await eventually(lambda: blocked(replica) >= 2)
    await asyncio.to_thread(empty_nodes.until_whole)


async def test_the_lease_keeper_s_handle_finds_its_way_by_itself(empty_nodes: Cluster, backend: ClusterBackend) -> None:
    await backend.enqueue(QUEUE, [job("a")])
    (lease,) = await claim(backend)

    async def keep() -> frozenset[str]:
        detached = backend.detached()
        assert detached is not None
        extension = await detached.extend(QUEUE, "w", [("a", lease.token or 0), ("b", 1)], 15_000)
        await detached.close()
        return extension.lost

    assert await asyncio.to_thread(lambda: asyncio.run(keep())) == {"b"}


async def test_one_living_node_of_the_url_is_enough(empty_nodes: Cluster) -> None:
    nobody = f"127.0.0.1:{_nobody_s_port()}"
    url = f"redis+cluster://{nobody},127.0.0.1:{empty_nodes.nodes[-1].port}"
    async with connect(url, fallback="never") as backend:
        await backend.enqueue(QUEUE, [job("a")])
    with pytest.raises(BackendUnavailable):
        await connect(f"redis+cluster://{nobody}", fallback="never", deadline=0.5)


async def test_a_server_that_is_no_node_says_so() -> None:
    port = _nobody_s_port()
    with (
        server(valkey_binary(), options=("--port", str(port), "--bind", "127.0.0.1")),
        pytest.raises(ConfigurationError, match="redis://"),
    ):
        await connect(f"redis+cluster://127.0.0.1:{port}", fallback="never")


async def test_a_cluster_that_was_not_formed_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path, _nobody_s_port(), _nobody_s_port(), ("--cluster-node-timeout", "15000"))
    try:
        node.start()
        with pytest.raises(BackendUnavailable, match="formed"):
            await connect(f"redis+cluster://127.0.0.1:{node.port}", fallback="never", deadline=0.5)
    finally:
        node.end()


async def test_a_node_is_no_server_of_its_own(empty_nodes: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """Connected to by redis://, it serves its own slots and sends one elsewhere for the others'."""
    caplog.set_level(logging.INFO, logger="jobqueue")
    node = other_node(empty_nodes)
    async with connect(f"redis://127.0.0.1:{node.port}", fallback="never") as backend:
        with pytest.raises(BackendError, match=r"redis\+cluster://"):
            await backend.get(QUEUE, "a")
    risks = [vars(record)["setting"] for record in caplog.records if record.message == "backend.risk"]
    assert "cluster-enabled yes" in risks
    caplog.clear()
    async with connect(empty_nodes.user_url, fallback="never"):
        risks = [vars(record)["setting"] for record in caplog.records if record.message == "backend.risk"]
        assert "cluster-enabled yes" not in risks


def _nobody_s_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
