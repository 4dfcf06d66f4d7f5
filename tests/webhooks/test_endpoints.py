"""The handle on endpoints: what it takes, what it keeps, and to whom it shows secrets."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import redis.asyncio
from pydantic import SecretStr

from jobqueue import (
    BadSignature,
    InvalidInput,
    InvalidOption,
    JobNotFound,
    JobState,
    JobType,
    MissingExtra,
    Queue,
    RegistrationError,
    Registry,
    Webhook,
    WebhookNotFound,
    Worker,
)
from jobqueue.backends import Backend, RedisBackend
from jobqueue.backends.sealed import SealedBackend
from jobqueue.webhook import Definition
from jobqueue.webhooks import deliver_webhooks
from tests.codecs import CODECS
from tests.webhooks.receiver import Receiver
from tests.webhooks.waiting import ended

URL = "https://books.example.com/hooks"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_an_endpoint_is_made_changed_and_forgotten(tickets: Queue) -> None:
    webhooks = tickets.webhooks
    assert await webhooks.list() == []
    made = await webhooks.put(Webhook("books", URL, types=["invoice.*"], include=["result"]))
    assert (made.id, made.url, made.state, made.deliveries) == ("books", URL, "on", "webhooks")
    assert (made.events, made.types, made.include) == (("job.completed", "job.failed"), ("invoice.*",), ("result",))
    secret = await webhooks.secret("books")
    assert secret.startswith("whsec_")
    changed = await webhooks.put(Webhook("books", URL + "/2", events=["job.failed"]))
    assert (changed.url, changed.events, changed.types) == (URL + "/2", ("job.failed",), ())
    assert await webhooks.secret("books") == secret, "it keeps its secret"
    assert await webhooks.get("books") == changed
    assert [found.id for found in await webhooks.list()] == ["books"]
    assert await webhooks.remove("books")
    assert await webhooks.get("books") is None
    assert await Queue("other", backend=await tickets.backend()).webhooks.list() == []


async def test_to_put_what_is_there_changes_nothing(tickets: Queue, backend: Backend) -> None:
    wanted = Webhook("books", URL, secret=SECRET, types=[JobType("invoice.sent")])
    await tickets.webhooks.put(wanted)
    (before,) = await backend.find_endpoints("tickets")
    await tickets.webhooks.put(wanted)
    await tickets.webhooks.put(Webhook("books", URL, types=["invoice.sent"]))
    (after,) = await backend.find_endpoints("tickets")
    assert after.revision == before.revision
    await tickets.webhooks.pause("books")
    assert (await tickets.webhooks.put(Webhook("books", URL))).state == "paused", "only resume undoes a pause"


async def test_another_secret_replaces_those_there_are(tickets: Queue) -> None:
    await tickets.webhooks.put(Webhook("books", URL))
    await tickets.webhooks.rotate("books")
    await tickets.webhooks.put(Webhook("books", URL, secret=SecretStr(SECRET)))
    assert await tickets.webhooks.secret("books") == SECRET
    (record,) = await (await tickets.backend()).find_endpoints("tickets")
    assert len(Definition.decode(record.definition).secrets) == 1


async def test_as_many_secrets_sign_as_were_used_lately(tickets: Queue) -> None:
    await tickets.webhooks.put(Webhook("books", URL))
    for _ in range(9):
        await tickets.webhooks.rotate("books")
    (record,) = await (await tickets.backend()).find_endpoints("tickets")
    assert len(Definition.decode(record.definition).secrets) == 5


async def test_what_is_not_there_is_said_not_to_be(tickets: Queue) -> None:
    webhooks = tickets.webhooks
    for call in (webhooks.pause("no"), webhooks.resume("no"), webhooks.rotate("no"), webhooks.secret("no")):
        with pytest.raises(WebhookNotFound, match="no webhook 'no' in queue 'tickets'"):
            await call
    with pytest.raises(JobNotFound):
        await webhooks.replay("msg_none")
    assert await webhooks.deliveries("no") == []
    assert await webhooks.delivery("msg_none") is None


async def test_deliveries_do_not_go_to_the_queue_they_tell_of(backend: Backend) -> None:
    with pytest.raises(InvalidOption, match="another queue"):
        await Queue("webhooks", backend=backend).webhooks.put(Webhook("books", URL))


WRONG: list[dict[str, Any]] = [
    {"id": "Books"},
    {"id": ""},
    {"url": "ftp://books.example.com"},
    {"url": "books.example.com"},
    {"url": "https://"},
    {"url": "https://user:hunter2@books.example.com"},
    {"url": "https://user@books.example.com"},
    {"url": "https://books.example.com:0/"},
    {"url": "https://books.example.com:99999/"},
    {"url": "https://books.example.com/#part"},
    {"url": "https://books.example.com\\@10.0.0.1/"},
    {"url": "https://bücher.example/"},
    {"url": "https://books.example.com/a b"},
    {"url": "https://books.example.com/\r\nhost: x"},
    {"url": "https://books.example.com/" + "a" * 2000},
    {"url": None},
    {"secret": "hunter2"},
    {"secret": "whsec_hunter2"},
    {"secret": "whsec_" + "A" * 20},
    {"secret": "whsec_" + "A" * 200},
    {"secret": "whsec_####"},
    {"secret": b"whsec_"},
    {"events": []},
    {"events": "job.completed"},
    {"events": ["job.started"]},
    {"types": "invoice.*"},
    {"types": ["invoice*.sent"]},
    {"types": ["In Voice"]},
    {"types": [""]},
    {"types": [f"t{number}" for number in range(101)]},
    {"include": ["everything"]},
    {"include": "data"},
    {"deliveries": "Web Hooks"},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_cannot_work_is_refused_where_it_is_written(wrong: dict[str, Any]) -> None:
    make: Any = Webhook
    with pytest.raises(InvalidInput) as refused:
        make(**{"id": "books", "url": URL, **wrong})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("options", [{"limit": -1}, {"limit": 1001}, {"state": "lost"}], ids=str)
async def test_lists_are_bounded(tickets: Queue, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        await tickets.webhooks.deliveries(**options)


def test_a_registry_delivers_once() -> None:
    registry = Registry()
    deliver_webhooks(registry)
    with pytest.raises(RegistrationError):
        deliver_webhooks(registry)
    for wrong in ({"allow": "10.0.0.0/8"}, {"allow": ["here"]}, {"timeout": 0}, {"schedule": [1] * 101}):
        with pytest.raises(InvalidOption):
            deliver_webhooks(Registry(), **wrong)  # pyright: ignore[reportArgumentType]


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpcore2", None)
    monkeypatch.delitem(sys.modules, "jobqueue.webhooks.sending", raising=False)
    with pytest.raises(MissingExtra, match=r"jobqueue\[webhooks\]"):
        deliver_webhooks(Registry())


# Secrets.


async def test_secrets_are_in_no_repr(tickets: Queue, backend: Backend) -> None:
    wanted = Webhook("books", URL, secret=SECRET)
    made = await tickets.webhooks.put(wanted)
    (record,) = await backend.find_endpoints("tickets")
    definition = Definition.decode(record.definition)
    for value in (wanted, made, tickets.webhooks, record, definition, *definition.secrets):
        assert SECRET not in f"{value!r} {value!s}"


async def test_secrets_and_payloads_do_not_lie_open_behind_a_codec_that_hides(
    valkey_url: str, registry: Registry
) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)  # pyright: ignore[reportUnknownMemberType]
    await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    backend = SealedBackend(RedisBackend(client), CODECS["encrypted"])
    await backend.open()
    tickets = Queue("tickets", backend=backend)
    await tickets.webhooks.put(Webhook("books", URL, secret=SECRET, include=["data", "result"]))
    async with Worker(tickets, registry=registry):
        job = await tickets.enqueue("invoice.send", "payload-in-the-clear")
        await job.result(timeout=10)
    (delivery,) = await tickets.webhooks.deliveries()
    assert delivery.job_id == job.id
    stored = b""
    async for key in client.scan_iter("*"):  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        stored += await client.dump(key) or b""  # pyright: ignore[reportUnknownArgumentType]
    for secret in (SECRET, "books.example.com", "in-the-clear"):
        assert secret.encode() not in stored
    assert await tickets.webhooks.secret("books") == SECRET
    await backend.close()

    stranger = SealedBackend(RedisBackend(client), CODECS["signed"])
    await stranger.open()
    other = Queue("tickets", backend=stranger)
    (seen,) = await other.webhooks.list()
    assert (seen.id, seen.url) == ("books", "")
    for call in (other.webhooks.pause("books"), other.webhooks.rotate("books"), other.webhooks.secret("books")):
        with pytest.raises(BadSignature):
            await call
    await stranger.close()
    await client.aclose()


async def test_an_endpoint_that_nobody_signed_gets_nothing(
    valkey_url: str, registry: Registry, receiver: Receiver
) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)  # pyright: ignore[reportUnknownMemberType]
    await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    bare = RedisBackend(client)
    await bare.open()
    await Queue("tickets", backend=bare).webhooks.put(Webhook("thief", receiver.url, include=["data"]))
    backend = SealedBackend(bare, CODECS["signed"])
    tickets, hooks = Queue("tickets", backend=backend), Queue("webhooks", backend=backend, dead_letter=None)
    deliver_webhooks(registry, allow=["127.0.0.0/8"], schedule=[])
    async with Worker(tickets, hooks, registry=registry):
        job = await tickets.enqueue("invoice.send", 1)
        await job.result(timeout=10)
        lost = await ended(tickets, 1, JobState.FAILED)
    assert lost[0].tries == ()
    assert receiver.received == []
    await backend.close()
    await client.aclose()


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "jobqueue:{tickets}:hooks", "x"),
        ("SET", "jobqueue:{tickets}:endpoints", "x"),
        ("HSET", "jobqueue:{tickets}:hooks", "books", "nonsense"),
        ("HSET", "jobqueue:{tickets}:hooks", "books", "cfxr dre 0 ../../x *"),
        ("HSET", "jobqueue:{tickets}:hooks", "books", "cfxr dre 0 tickets *"),
        ("HSET", "jobqueue:{tickets}:hooks", "a\nb/c", "cfxr dre 0 webhooks *"),
        ("HSET", "jobqueue:{tickets}:hooks", "books", "cfxr % 0 webhooks %a*+"),
        ("HSET", "jobqueue:{tickets}:endpoints", "books", "nonsense"),
        ("HSET", "jobqueue:{tickets}:endpoints", "books", "r on 1\nc - 0 webhooks *\n\n{}"),
        ("HSET", "jobqueue:{tickets}:endpoints", "books", "r on 1\nc - 0 webhooks *\n\n" + "[" * 500),
        ("HSET", "jobqueue:{tickets}:endpoints", "books", "r maybe 99999999999999999999\n\n\n"),
        ("XADD", "jobqueue:{tickets}:outbox", "*", "kind", "notice"),
        ("XADD", "jobqueue:{tickets}:outbox", "*", "kind", "notice", "event", "completed", "hooks", "d webhooks/books"),
        ("XADD", "jobqueue:{tickets}:outbox", "*", "kind", "notice", "event", "failed", "at", "nan", "job", "\xff",
         "hooks", "dre webhooks/books\nx y/z/w", "error", "\x00", "id", "\n"),
    ],
    ids=str,
)  # fmt: skip
async def test_what_somebody_wrote_over_stops_no_worker(
    command: tuple[str, ...], valkey_url: str, registry: Registry
) -> None:
    client = redis.asyncio.Redis.from_url(valkey_url)  # pyright: ignore[reportUnknownMemberType]
    await client.flushall()  # pyright: ignore[reportUnknownMemberType]
    backend = RedisBackend(client)
    await backend.open()
    tickets, hooks = Queue("tickets", backend=backend), Queue("webhooks", backend=backend, dead_letter=None)
    await tickets.webhooks.put(Webhook("books", "https://127.0.0.1/"))
    if command[0] == "SET":
        await client.delete(command[1])
    await client.execute_command(*command)  # pyright: ignore[reportUnknownMemberType]
    deliver_webhooks(registry, schedule=[])
    async with Worker(tickets, hooks, registry=registry):
        for number in range(3):
            job = await tickets.enqueue("invoice.send", number)
            await job.result(timeout=10)
    await backend.close()
    await client.aclose()
