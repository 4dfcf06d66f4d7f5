"""Certificates of an authority of the tests' own, and a Redis that speaks nothing but TLS."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import redis
import trustme

from tests.faults.parts import free_port

_START_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files: an authority, what it signed for a server and for a client; and an authority that nobody knows."""

    authority: Path
    stranger: Path
    server: Path
    client: Path

    @classmethod
    def made_in(cls, folder: Path, *, name: str = "127.0.0.1") -> Certificates:
        """New ones; the server's is for ``name``."""
        authority, stranger = trustme.CA(), trustme.CA()
        made = cls(*(folder / f"{part}.pem" for part in ("authority", "stranger", "server", "client")))
        authority.cert_pem.write_to_path(made.authority)
        stranger.cert_pem.write_to_path(made.stranger)
        authority.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(made.server)
        authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(made.client)
        return made

    def server_options(self, *, clients: str = "no") -> Sequence[str]:
        """What a server is started with; ``clients``: whether they need certificates of their own."""
        return (
            "--tls-cert-file", str(self.server), "--tls-key-file", str(self.server),
            "--tls-ca-cert-file", str(self.authority), "--tls-auth-clients", clients,
        )  # fmt: skip

    def url_options(self, *, client: bool = False, **others: str) -> str:
        """The query of a URL that trusts the authority, and shows a client's certificate where it has one."""
        own = {"ssl_certfile": str(self.client), "ssl_keyfile": str(self.client)} if client else {}
        return urlencode({"ssl_ca_certs": str(self.authority), **own, **others})


@contextmanager
def tls_server(binary: str, folder: Path, certificates: Certificates, *, clients: str = "no") -> Generator[str]:
    """A server on a TLS port of its own; gives its URL without options."""
    port = free_port()
    command = [
        binary, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        "--dir", str(folder), *certificates.server_options(clients=clients),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, certificates, process)
            yield f"rediss://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _wait_for(port: int, certificates: Certificates, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + _START_SECONDS
    with redis.Redis(
        port=port,
        ssl=True,
        ssl_check_hostname=False,
        ssl_ca_certs=str(certificates.authority),
        ssl_certfile=str(certificates.client),
        ssl_keyfile=str(certificates.client),
    ) as client:
        while True:
            try:
                client.ping()  # pyright: ignore[reportUnknownMemberType]
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
            else:
                return
