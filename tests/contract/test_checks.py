"""What a server's settings put at risk is said when a backend is opened."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from jobqueue import ConfigurationError, connect
from jobqueue.backends import RedisBackend
from jobqueue.backends.redis.checks import facts_of, risks, too_old
from tests.servers import server, valkey_binary

SOUND = ("--appendonly", "yes")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SOUND, []),
        ((), [(logging.INFO, "appendonly no")]),
        ((*SOUND, "--maxmemory-policy", "allkeys-lru"), [(logging.INFO, "maxmemory-policy allkeys-lru")]),
        (
            (*SOUND, "--maxmemory-policy", "volatile-ttl", "--maxmemory", "100mb"),
            [(logging.WARNING, "maxmemory-policy volatile-ttl")],
        ),
        ((*SOUND, "--replicaof", "127.0.0.1 1", "--replica-serve-stale-data", "yes"), [(logging.WARNING, "replica")]),
    ],
    ids=["sound", "no append-only file", "eviction, no limit", "eviction", "replica"],
)
async def test_a_server_that_may_lose_jobs_is_named(
    options: Sequence[str], said: list[tuple[int, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="jobqueue")
    with server(valkey_binary(), options=options) as url:
        async with connect(url, fallback="never"):
            pass
    told = [record for record in caplog.records if record.message == "backend.risk"]
    assert [(record.levelno, vars(record)["setting"]) for record in told] == said
    assert all(vars(record)["advice"] for record in told)


async def test_a_user_who_may_not_ask_is_let_in(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="jobqueue")
    rule = "user default on nopass ~* &* +@all -info"
    with server(valkey_binary(), options=("--user", *rule.split()[1:])) as url:
        async with connect(url, fallback="never"):
            pass
    assert [record.message for record in caplog.records if record.message.startswith("backend.")] == [
        "backend.unchecked"
    ]


async def test_a_server_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobqueue.backends.redis.checks.OLDEST", (99, 0))
    with server(valkey_binary()) as url:
        backend = RedisBackend.from_url(url)
        with pytest.raises(ConfigurationError, match=r"6\.2"):
            await backend.open()
        await backend.close()


@pytest.mark.parametrize(
    ("version", "old"), [("6.0.16", "6.0.16"), ("5.0", "5.0"), ("6.2.0", None), ("7.2.4", None), ("10.0.1", None)]
)
def test_versions_are_compared_as_numbers(version: str, old: str | None) -> None:
    assert too_old(facts_of(f"# Server\r\nredis_version:{version}\r\n")) == old


def test_what_a_server_does_not_tell_is_not_guessed_at() -> None:
    assert too_old({}) is None
    assert risks({}) == []
