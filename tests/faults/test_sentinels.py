"""A primary, a replica and three sentinels: who is found, who is believed, and what moves when the primary does."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jobqueue import AccessDenied, BackendUnavailable, Queue, WrongServer, connect
from jobqueue.backends import MemoryBackend
from jobqueue.backends.protocol import Backend
from tests.faults.parts import free_port
from tests.faults.replicas import SERVICE, Node, ReplicatedServers, until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[ReplicatedServers]:
    started = ReplicatedServers(tmp_path_factory.mktemp("replicas"))
    started.start()
    yield started
    started.kill()


async def _round_trip(backend: Backend) -> None:
    queue = Queue("sentinels", backend=backend)
    job = await queue.enqueue("any", 1)
    assert await queue.get(job.id)


async def test_the_primary_is_found(servers: ReplicatedServers) -> None:
    async with connect(servers.url, fallback="never") as backend:
        await _round_trip(backend)


async def test_a_service_that_nobody_watches_is_no_reason_to_fall_back(servers: ReplicatedServers) -> None:
    with pytest.raises(WrongServer, match="'other'"):
        await connect(servers.url.replace(f"/{SERVICE}", "/other"))


async def test_without_any_sentinel() -> None:
    url = f"redis+sentinel://user:canary@127.0.0.1:{free_port()},127.0.0.1:{free_port()}/{SERVICE}"
    began = time.monotonic()
    assert isinstance(await connect(url, deadline=30), MemoryBackend)
    assert time.monotonic() - began < 20, "there is nobody to wait for"
    with pytest.raises(BackendUnavailable, match="no sentinel answered") as caught:
        await connect(url, fallback="never", deadline=0.5)
    assert "canary" not in str(caught.value)


async def test_a_silent_sentinel_costs_a_moment(servers: ReplicatedServers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        async with connect(servers.url.replace("://", f"://{address},"), fallback="never", deadline=3) as backend:
            await asyncio.gather(*(_round_trip(backend) for _ in range(20)))


@asynccontextmanager
async def _sentinel_that_names(port: int) -> AsyncGenerator[tuple[str, list[float]]]:
    """One that is behind the times; and when it was asked."""
    asked: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            commands = data.count(b"\r\n$6\r\nCLIENT\r\n")
            writer.write(b"+OK\r\n" * commands)
            if b"SENTINEL" in data:
                asked.append(time.monotonic())
                words = (b"127.0.0.1", str(port).encode())
                writer.write(b"*2\r\n" + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def test_a_sentinel_that_is_behind_the_times_is_not_believed(servers: ReplicatedServers) -> None:
    async with _sentinel_that_names(servers.replica.port) as (address, asked):
        async with connect(servers.url.replace("://", f"://{address},"), fallback="never") as backend:
            await _round_trip(backend)
        assert len(asked) == 1, "the others are asked first from then on"


async def test_sentinels_have_passwords_of_their_own(servers: ReplicatedServers, tmp_path: Path) -> None:
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"sentinel monitor {SERVICE} 127.0.0.1 {servers.primary.port} 9\n"
        "user default off\nuser watch on >canary ~* &* +@all\n"
    )
    guarded = Node(str(configuration), "--sentinel", folder=tmp_path / "guarded")
    guarded.start(answers=False)
    try:
        url = f"redis+sentinel://127.0.0.1:{guarded.port}/{SERVICE}"
        for query in ("", "?sentinel_username=watch&sentinel_password=w0rng"):
            with pytest.raises(AccessDenied, match="sentinel_password") as caught:
                await connect(url + query)
            assert "w0rng" not in str(caught.value)
        own = "?sentinel_username=watch&sentinel_password=canary"
        async with connect(url + own, fallback="never") as backend:
            await _round_trip(backend)
    finally:
        guarded.kill()


async def test_everything_follows_a_primary_that_moves(servers: ReplicatedServers) -> None:
    """Calls, a call that blocks, and a handle in another thread, through a failover that somebody asked for."""
    async with connect(servers.url, fallback="never") as backend:
        queue = Queue("moving", backend=backend)
        apart = _Apart(backend)
        blocked = asyncio.create_task(_ending(backend))
        await queue.enqueue("any", 1)
        old = servers.primary
        await asyncio.to_thread(until, lambda: old.facts()["blocked_clients"])
        assert servers.sentinels[0].ask("SENTINEL FAILOVER", SERVICE) is not None
        moving = asyncio.create_task(asyncio.to_thread(servers.promoted))
        acknowledged: list[float] = []
        while not moving.done() or len(acknowledged) < 10:
            try:
                await queue.enqueue("any", 1)
            except BackendUnavailable:
                acknowledged.clear()
            acknowledged.append(time.monotonic())
        promoted = await moving
        gap = next(at for at in acknowledged if at > promoted) - promoted
        assert gap < 5, f"it took {gap:.1f} s to find the new primary"
        assert await blocked < promoted + 10, "a call that blocks waited for the old primary"
        assert await asyncio.to_thread(apart.count) == (await queue.counts()).waiting
        assert old is servers.replica
        await asyncio.to_thread(until, servers.whole)


async def test_a_primary_that_hangs_is_left(servers: ReplicatedServers) -> None:
    """It does not hang up, so that a call that blocks would wait for its own deadline, and would be none the wiser."""
    async with connect(servers.url, fallback="never") as backend:
        queue = Queue("hanging", backend=backend)
        await queue.enqueue("any", 1)
        blocked = asyncio.create_task(_ending(backend))
        stopped = servers.primary
        await asyncio.to_thread(until, lambda: stopped.facts()["blocked_clients"])
        stopped.stop()
        try:
            promoted = await asyncio.to_thread(servers.promoted)
            assert await blocked < promoted + 10
            assert (await queue.enqueue("any", 1, job_id="after")).id == "after"
        finally:
            stopped.wake()
        await asyncio.to_thread(until, servers.whole)
        # What was written while the old one hung, and after it woke, is where it belongs.
        assert await queue.get("after")


async def _ending(backend: Backend) -> float:
    """When a call that blocks for a minute ended."""
    try:
        await backend.wait("nobody", 60)
    except BackendUnavailable:
        return time.monotonic()
    raise AssertionError("there was nothing to wake it")


class _Apart:
    """A handle on a backend, in a thread with an event loop of its own, as a worker's leases are kept."""

    def __init__(self, backend: Backend) -> None:
        detached = backend.detached()
        assert detached is not None
        self._backend = detached
        self._ready = threading.Event()
        self._go = threading.Event()
        self._found = 0
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))
        self._thread.start()
        self._ready.wait()

    def count(self) -> int:
        """How many jobs of ``moving`` it sees."""
        self._go.set()
        self._thread.join()
        return self._found

    async def _live(self) -> None:
        queue = Queue("moving", backend=self._backend)
        await queue.counts()
        self._ready.set()
        await asyncio.to_thread(self._go.wait)
        self._found = (await queue.counts()).waiting
        await self._backend.close()
