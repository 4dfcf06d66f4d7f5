"""S6: what is secret stands in no log line, however much is logged; and behind encryption nowhere on the server."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
import redis.asyncio
from pydantic import BaseModel, SecretStr

from jobqueue import (
    AccessDenied,
    BackendUnavailable,
    Codec,
    DeadLetters,
    Encrypted,
    InvalidData,
    Job,
    JobFailed,
    NewJob,
    Queue,
    Registry,
    Retry,
    Signed,
    Snooze,
    Worker,
    connect,
)
from tests.security.stored import StoredJob
from tests.servers import GuardedServer

CANARY = "c4n4ry"
KEY = b"c4n4ry-key-c4n4ry-key-c4n4ry-key"
CODECS: dict[str, Codec | None] = {
    "none": None,
    "signed": Signed(keys={"2026-11": KEY}, current="2026-11"),
    "encrypted": Encrypted(keys={"2026-11": KEY}, current="2026-11"),
}


class Login(BaseModel):
    """Data with a secret in every kind of field."""

    name: str
    password: SecretStr
    visits: int = 0


def _life(queue: Queue) -> tuple[Registry, list[NewJob]]:
    registry = Registry()

    @registry.processor("login", retry=Retry(attempts=2, delay=0))
    async def login(job: Job[Login]) -> dict[str, str]:
        await job.set_progress({"for": CANARY})
        await job.checkpoint({"for": CANARY})
        job.log(f"a line about {CANARY}", who=CANARY)
        if job.data.visits == 1:
            raise ValueError(f"no such user: {CANARY}")
        if job.data.visits == 2 and job.attempt == 1:
            raise LookupError(CANARY)
        if job.data.visits == 3 and job.checkpoint_value is None:
            raise Snooze(0.01, CANARY)
        return {"session": CANARY}

    data = {"name": CANARY, "password": CANARY}
    jobs = [NewJob("login", data | {"visits": number}) for number in range(4)]
    return registry, [*jobs, NewJob("login", {"name": CANARY, "password": 1}), NewJob("nobody", data, tags=[CANARY])]


@pytest.mark.parametrize("codec", sorted(CODECS))
async def test_no_secret_in_any_log_line(
    codec: str, guarded_valkey: GuardedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with redis.asyncio.Redis.from_url(guarded_valkey.admin_url) as admin:  # pyright: ignore[reportUnknownMemberType]
        await admin.flushall()  # pyright: ignore[reportUnknownMemberType]
        caplog.set_level(logging.DEBUG)
        async with connect(guarded_valkey.user_url, fallback="never", codec=CODECS[codec]) as backend:
            queue = Queue("tickets", backend=backend)
            registry, jobs = _life(queue)
            handles = await queue.enqueue_many(jobs)
            victim = await queue.enqueue("login", {"name": CANARY, "password": CANARY})
            await StoredJob(admin, "tickets", victim.id).put({b"data": b'{"name":' + CANARY.encode() + b"}"})
            worker = Worker(queue, registry=registry)
            async with worker:
                assert await handles[0].result(10) == {"session": CANARY}
                for failing in (handles[1], handles[4], victim):
                    with pytest.raises(JobFailed):
                        await failing.result(10)
                assert await handles[2].result(10) == await handles[3].result(10) == {"session": CANARY}
            letters = await DeadLetters(backend=backend).letters()
            assert len(letters) == 3
            with pytest.raises(InvalidData):
                await queue.enqueue("login", float("nan"))
            if codec == "encrypted":
                await StoredJob(admin, "tickets", victim.id).put({b"data": b"{}"})
                assert CANARY.encode() not in await _everything(admin)
            else:
                assert CANARY.encode() in await _everything(admin), "the search finds what is there"
    said = "\n".join(_words(record) for record in caplog.records)
    assert "job.failed" in said
    assert "job.retrying" in said
    assert CANARY not in said
    assert "user-canary" not in said, "the password in the URL"


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:c4n4ry@127.0.0.1:1/0",
        "redis://:c4n4ry@127.0.0.1:1?timeout=x",
        "rediss://:c4n4ry@127.0.0.1:1",
        "unix://:c4n4ry@/tmp/not-there.sock",
        "http://:c4n4ry@127.0.0.1",
        "redis://:c4n4ry@127.0.0.1:not-a-port",
    ],
)
async def test_no_password_of_a_url_in_what_is_said(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    error: Exception | None = None
    for fallback in ("never", "memory"):
        try:
            async with connect(url, fallback=cast("Any", fallback), deadline=0.2):
                pass
        except Exception as caught:  # noqa: BLE001  (whatever it is, it must not tell)
            error = caught
            shown: BaseException | None = caught
            while shown is not None:
                assert CANARY not in f"{shown} {shown!r}"
                shown = shown.__cause__
    assert error is not None
    assert CANARY not in "\n".join(_words(record) for record in caplog.records)


async def test_a_refused_password_is_not_said(guarded_valkey: GuardedServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = guarded_valkey.user_url.replace("user-canary", CANARY)
    with pytest.raises((AccessDenied, BackendUnavailable)) as caught:
        await connect(wrong, deadline=0.5)
    assert CANARY not in str(caught.value)
    assert CANARY not in "\n".join(_words(record) for record in caplog.records)


@pytest.mark.parametrize("codec", ["signed", "encrypted"])
async def test_the_fallback_shows_no_secret(
    codec: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It logs each job's data, the sensitive fields masked; behind encryption, not even that."""
    for name in ("REDIS_URL", "REDIS_HOST", "JOBQUEUE_FALLBACK"):
        monkeypatch.delenv(name, raising=False)
    caplog.set_level(logging.INFO)
    async with connect(codec=CODECS[codec]) as backend:
        await Queue("tickets", backend=backend).enqueue("user.joined", {"name": "Ada", "password": CANARY})
    said = "\n".join(_words(record) for record in caplog.records)
    assert "user.joined" in said
    assert CANARY not in said
    assert ("Ada" in said) == (codec == "signed")


def _words(record: logging.LogRecord) -> str:
    exception = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
    return f"{record.getMessage()} {record.__dict__} {exception} {record.stack_info}"


async def _everything(client: redis.asyncio.Redis) -> bytes:
    """All keys and all values, as one."""
    found: list[Any] = []
    for key in cast("list[bytes]", await client.keys("*")):  # pyright: ignore[reportUnknownMemberType]
        kind = cast("bytes", await client.type(key)).decode()
        words: dict[str, tuple[Any, ...]] = {
            "string": ("GET", key),
            "hash": ("HGETALL", key),
            "list": ("LRANGE", key, 0, -1),
            "set": ("SMEMBERS", key),
            "zset": ("ZRANGE", key, 0, -1),
            "stream": ("XRANGE", key, "-", "+"),
        }
        found += [key, await client.execute_command(*words[kind])]  # pyright: ignore[reportUnknownMemberType]
    return repr(found).encode()
