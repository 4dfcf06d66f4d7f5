"""URLs of sentinels: what they say, and what is said about those that cannot work."""

from __future__ import annotations

import pytest

from jobqueue import ConfigurationError, connect
from jobqueue.backends.redis.clients import client_for
from jobqueue.backends.redis.sentinels import PrimaryConnection, PrimaryTLSConnection, Sentinels


def _read(url: str) -> tuple[PrimaryConnection, Sentinels]:
    connection = client_for(url, connect_timeout=5).connection_pool.make_connection()
    assert isinstance(connection, PrimaryConnection)
    return connection, connection.sentinels


def test_everything_a_url_can_say() -> None:
    connection, sentinels = _read(
        "redis+sentinel://app:p%40ss%2Fword@one.example:26380,two.example,[::1]:26381/my%20jobs/3"
        "?sentinel_username=watch&sentinel_password=s%26cret&socket_timeout=7"
    )
    assert (connection.username, connection.password, connection.db) == ("app", "p@ss/word", 3)
    assert connection.socket_timeout == 7
    assert sentinels.addresses == [("one.example", 26380), ("two.example", 26379), ("::1", 26381)]
    assert sentinels.service == "my jobs"
    asked = sentinels.reach("one.example", 26380)
    assert (asked.username, asked.password) == ("watch", "s&cret")


def test_the_servers_credentials_are_not_told_to_the_sentinels() -> None:
    _, sentinels = _read("redis+sentinel://app:secret@one/jobs")
    asked = sentinels.reach("one", 26379)
    assert (asked.username, asked.password) == (None, None)


@pytest.mark.parametrize(("query", "tls"), [("", True), ("?sentinel_ssl=false", False)])
def test_sentinels_speak_tls_where_their_servers_do(query: str, tls: bool) -> None:
    connection, sentinels = _read(f"rediss+sentinel://one/jobs{query}")
    assert isinstance(connection, PrimaryTLSConnection)
    assert connection.check_hostname
    assert hasattr(sentinels.reach("one", 26379), "ssl_context") == tls


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://user:canary@one:26379", "names no service"),
        ("redis+sentinel://user:canary@one:26379/", "names no service"),
        ("redis+sentinel://user:canary@/jobs", "names no sentinel"),
        ("redis+sentinel://user:canary@one:x/jobs", "host and port"),
        ("redis+sentinel://user:canary@one:0/jobs", "host and port"),
        ("redis+sentinel://user:canary@one:70000/jobs", "host and port"),
        ("redis+sentinel://user:canary@[::1/jobs", "host and port"),
        ("redis+sentinel://user:canary@one/jobs/zero", "number of a database"),
        ("redis+sentinel://user:can/ary/canary@one/jobs/0", "."),
        ("redis+sentinel://user:canary@one/jobs?sentinal_password=canary", "sentinal_password"),
        ("redis+sentinel://user:canary@one/jobs?socket_timeout=canary", "socket_timeout"),
        ("redis+sentinel://user:canary@one/jobs?sentinel_ssl=canary", "sentinel_ssl"),
        ("redis://user:can/ary:canary@one/0", "special characters"),
        ("redis://user:canary@one/zero", "number of a database"),
        ("redis://user:canary@one/0?wrong=canary", "wrong"),
    ],
)
async def test_a_url_that_cannot_work_is_refused_without_its_secrets(url: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as caught:
        await connect(url)
    assert "canary" not in str(caught.value)
