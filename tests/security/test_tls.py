"""TLS against a server that speaks nothing else: who is trusted, who is not, and what is said about it.

That everything works over TLS is shown by the contract suite, which has a leg of its own (``redis-tls``). The Valkey
of the wheel is built without TLS, so these tests need redis-server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest
from redis.asyncio.connection import AbstractConnection

from jobqueue import (
    AccessDenied,
    BackendUnavailable,
    ConfigurationError,
    Job,
    Queue,
    Registry,
    Worker,
    WrongServer,
    connect,
)
from jobqueue.backends.redis.wire import DirectWire, Wire, wire_of
from tests.faults.parts import free_port
from tests.faults.replicas import listens, until
from tests.servers import redis_or_skip
from tests.tls import Certificates, tls_server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates.made_in(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def url(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """Of a server with a certificate for 127.0.0.1."""
    with tls_server(redis_or_skip(), tmp_path_factory.mktemp("tls"), certificates) as found:
        yield found


async def test_a_server_that_is_trusted(url: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    wires: list[object] = []

    def watched(connection: AbstractConnection) -> Wire:
        wires.append(wire := wire_of(connection))
        return wire

    monkeypatch.setattr("jobqueue.backends.redis.connection.wire_of", watched)
    registry = Registry()

    @registry.processor("double")
    async def double(job: Job[str]) -> str:
        return job.data * 2

    async with connect(f"{url}?{certificates.url_options()}", fallback="never") as backend:
        queue = Queue("tls", backend=backend)
        async with Worker(queue, registry=registry):
            jobs = await asyncio.gather(*(queue.enqueue("double", "x" * 50_000 + str(number)) for number in range(20)))
            assert await jobs[7].result(timeout=10) == ("x" * 50_000 + "7") * 2
    assert {type(wire) for wire in wires} == {DirectWire}, "calls went through the client's slower reader"


@pytest.mark.parametrize("fallback", ["memory", "never"])
async def test_an_unknown_authority_is_refused_and_no_reason_to_fall_back(url: str, fallback: str) -> None:
    with pytest.raises(WrongServer, match="ssl_ca_certs") as caught:
        await connect(url, fallback=fallback)  # pyright: ignore[reportArgumentType]
    assert isinstance(caught.value, ConfigurationError)


async def test_the_wrong_authority_is_refused(url: str, certificates: Certificates) -> None:
    with pytest.raises(WrongServer, match="ssl_ca_certs"):
        await connect(f"{url}?ssl_ca_certs={certificates.stranger}")


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    others = Certificates.made_in(tmp_path, name="redis.example")
    with tls_server(redis_or_skip(), tmp_path, others) as url:
        with pytest.raises(WrongServer, match="host name"):
            await connect(f"{url}?{others.url_options()}")
        async with connect(f"{url}?{others.url_options(ssl_check_hostname='false')}", fallback="never"):
            pass
        # Whoever says so does without.
        async with connect(f"{url}?ssl_cert_reqs=none", fallback="never"):
            pass


async def test_client_certificates(certificates: Certificates, tmp_path: Path) -> None:
    with tls_server(redis_or_skip(), tmp_path, certificates, clients="yes") as url:
        with pytest.raises(AccessDenied, match="ssl_certfile"):
            await connect(f"{url}?{certificates.url_options()}")
        async with connect(f"{url}?{certificates.url_options(client=True)}", fallback="never") as backend:
            await Queue("tls", backend=backend).enqueue("any", 1)


async def test_a_refusal_that_is_lost_on_the_way_is_no_reason_to_fall_back(
    certificates: Certificates, tmp_path: Path
) -> None:
    """A server that hangs up on an unread question resets the connection, and its reason may be lost with it."""
    with tls_server(redis_or_skip(), tmp_path, certificates, clients="yes") as url:
        async with Relay(int(url.rpartition(":")[2].partition("/")[0])) as relay:
            with pytest.raises(AccessDenied, match="ssl_certfile"):
                await connect(f"rediss://127.0.0.1:{relay.port}/0?{certificates.url_options()}")


class Relay:
    """Passes on the handshake, and then resets whoever asks something; who keeps silent hears the server out."""

    def __init__(self, server: int) -> None:
        self._server = server
        self.port = 0
        self._relaying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Relay:
        self._listening = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listening.close()
        for task in self._relaying:
            task.cancel()
        await asyncio.gather(*self._relaying, return_exceptions=True)

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._relaying.add(asyncio.create_task(self._relay(client, to_client)))

    async def _relay(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        server, to_server = await asyncio.open_connection("127.0.0.1", self._server)
        try:
            to_server.write(await client.read(65536))
            to_client.write(await server.read(65536))
            # The server resets this connection too: what it says must be waited for before it is said, or it is lost.
            verdict = asyncio.create_task(server.read(65536))
            await asyncio.sleep(0)
            # The end of the client's handshake. What the server says now, it says about the certificate.
            to_server.write(await client.read(65536))
            try:
                async with asyncio.timeout(0.2):
                    if await client.read(65536):
                        to_client.transport.abort()
            except TimeoutError:
                to_client.write(await verdict)
            verdict.cancel()
            await asyncio.gather(verdict, return_exceptions=True)
        finally:
            to_client.close()
            to_server.close()


async def test_sentinels_and_their_servers_over_tls(url: str, certificates: Certificates, tmp_path: Path) -> None:
    primary = int(url.rpartition(":")[2].partition("/")[0])
    port = free_port()
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(f"sentinel monitor jobs 127.0.0.1 {primary} 1\n", encoding="ascii")
    options = ("--port", "0", "--tls-port", str(port), "--tls-replication", "yes", "--bind", "127.0.0.1")
    command = (redis_or_skip(), str(configuration), "--sentinel", *options, *certificates.server_options())
    sentinel = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL)
    try:
        await asyncio.to_thread(until, lambda: listens(port))
        address = f"rediss+sentinel://127.0.0.1:{port}/jobs"
        async with connect(f"{address}?{certificates.url_options()}", fallback="never") as backend:
            await Queue("tls", backend=backend).enqueue("any", 1)
        with pytest.raises(WrongServer, match="ssl_ca_certs"):
            await connect(address)
    finally:
        sentinel.kill()
        await sentinel.wait()


async def test_a_server_that_answers_without_tls_is_refused() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"-ERR what was that?\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(WrongServer, match="redis://"):
            await connect(f"rediss://127.0.0.1:{port}/0")


async def test_a_server_without_tls_that_keeps_silent_is_given_up(valkey_tcp_url: str) -> None:
    """It waits for the end of what it takes for a command, so that nothing tells it from one that hangs."""
    with pytest.raises(BackendUnavailable, match="TLS"):
        await connect(valkey_tcp_url.replace("redis://", "rediss://"), fallback="never", deadline=0.5)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs"),
        ("ssl_certfile=/nowhere/client.pem&ssl_keyfile=/nowhere/client.pem", "ssl_certfile"),
        ("ssl_cert_reqs=sometimes", "sometimes"),
        ("ssl_ca_cert=x", "ssl_ca_cert"),
    ],
)
async def test_what_cannot_work_is_said_before_anybody_is_called(query: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        await connect(f"rediss://127.0.0.1:1/0?{query}")
