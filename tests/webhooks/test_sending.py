"""One POST: to the address that was judged, in TLS with the name that was asked for, and with an end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence

import pytest
import trustme

from jobqueue.webhooks import AddressRefused, DeliveryFailed
from jobqueue.webhooks.guard import Guard
from jobqueue.webhooks.sending import Sender
from tests.webhooks.receiver import Receiver, receiving

NAME = "books.example.com"


class Names:
    """A name service that changes its mind: each lookup gets the next answer, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Shop:
    """A receiver that speaks TLS, with a certificate for NAME; and which names it was asked for."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.asked_for: list[str | None] = []
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(NAME).configure_cert(self.server)  # pyright: ignore[reportUnknownMemberType]
        self.server.sni_callback = self._note

    def _note(self, _: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        self.asked_for.append(name)

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts its authority."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
        return context


def sender(names: Names, context: ssl.SSLContext | None = None, allow: Sequence[str] = ("127.0.0.0/8",)) -> Sender:
    """One that finds addresses by ``names``."""
    return Sender(Guard(allow, resolve=names), timeout=10, ssl_context=context)


async def test_without_tls_is_without_tls_however_it_is_spelt() -> None:
    for spelling in ("http", "Http", "HTTP"):
        with pytest.raises(AddressRefused, match="TLS"):
            await sender(Names(["93.184.216.34"])).post(f"{spelling}://{NAME}:8080/", {}, b"{}")


async def test_the_address_is_pinned_and_the_name_stays() -> None:
    shop, names = Shop(), Names(["127.0.0.1"], ["127.0.0.99"])
    async with receiving(tls=shop.server) as receiver:
        answer = await sender(names, shop.trusting()).post(
            f"https://{NAME}:{receiver.port}/hooks?a=b", {"x-a": "1"}, b"{}"
        )
    (request,) = receiver.received
    assert answer.status == 204
    assert (request.path, request.headers["host"]) == ("/hooks?a=b", f"{NAME}:{receiver.port}")
    assert (request.headers["x-a"], request.body) == ("1", b"{}")
    assert shop.asked_for == [NAME]
    assert names.asked == [NAME], "looked up once: what it means a moment later does not matter"


async def test_each_post_is_looked_up_anew(receiver: Receiver) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    posting = sender(names)
    assert (await posting.post(f"http://{NAME}:{receiver.port}/", {}, b"{}")).status == 204
    with pytest.raises(AddressRefused, match="private"):
        await posting.post(f"http://{NAME}:{receiver.port}/", {}, b"{}")
    assert len(receiver.received) == 1


async def test_certificates_of_strangers_are_refused() -> None:
    shop = Shop()
    async with receiving(tls=shop.server) as receiver:
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            await sender(Names(["127.0.0.1"])).post(f"https://{NAME}:{receiver.port}/", {}, b"{}")
    assert receiver.received == []


async def test_certificates_of_other_names_are_refused() -> None:
    shop = Shop()
    async with receiving(tls=shop.server) as receiver:
        with pytest.raises(DeliveryFailed, match=r"mismatch|not valid"):
            await sender(Names(["127.0.0.1"]), shop.trusting()).post(
                f"https://evil.example:{receiver.port}/", {}, b"{}"
            )
    assert receiver.received == []


async def test_the_next_address_is_tried_where_nobody_listens(receiver: Receiver) -> None:
    # Nobody is at 127.0.0.2: the receiver listens at 127.0.0.1 alone.
    posting = sender(Names(["127.0.0.2", "127.0.0.1"]))
    assert (await posting.post(f"http://{NAME}:{receiver.port}/", {}, b"{}")).status == 204


async def test_proxies_of_the_environment_are_not_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{receiver.port}/", {}, b"{}")).status == 204


async def test_redirects_are_answers(receiver: Receiver) -> None:
    receiver.answers = lambda _: (307, {"location": "http://169.254.169.254/latest/meta-data"})
    assert (await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{receiver.port}/", {}, b"{}")).status == 307
    assert len(receiver.received) == 1


async def test_what_asks_for_patience_is_heard(receiver: Receiver) -> None:
    receiver.answers = lambda _: (503, {"Retry-After": "120"})
    answer = await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{receiver.port}/", {}, b"{}")
    assert (answer.status, answer.retry_after) == (503, "120")


async def test_what_is_no_http_is_a_failure() -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com ESMTP\r\n" * 3)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DeliveryFailed):
        await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{port}/", {}, b"{}")
    server.close()
    with pytest.raises(DeliveryFailed, match="ConnectError"):
        await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{port}/", {}, b"{}")


async def test_an_endless_answer_is_not_read() -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"5\r\nhello\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        except OSError:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{port}/", {}, b"{}")).status == 200
    server.close()


@pytest.mark.parametrize("headers", [b"x: " + b"y" * 1_000_000, b"a: b\r\n" * 100_000])
async def test_endless_headers_are_a_failure(headers: bytes) -> None:
    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n" + headers)
            await writer.drain()
            await reader.read()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(DeliveryFailed):
        await sender(Names(["127.0.0.1"])).post(f"http://{NAME}:{port}/", {}, b"{}")
    server.close()
