"""The user of the shipped ACL file: it may do what the library does, and nothing else.

That everything the library does works under it is shown by the contract suite and the worker's tests, which run on
such servers too (``valkey-acl``, ``redis-acl`` in tests/conftest.py).
"""

from __future__ import annotations

import ast
import re
from collections.abc import AsyncGenerator
from importlib.resources import files
from typing import Any, cast

import pytest
import redis.asyncio
from redis.exceptions import NoPermissionError, ResponseError

from jobqueue import AccessDenied, Queue, connect
from jobqueue.backends.redis.scripts import names, script
from tests.servers import ACL_RULE, GuardedServer

FORBIDDEN: tuple[tuple[str | int, ...], ...] = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SCAN", 0),
    ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "dir", "/tmp"),
    ("BGREWRITEAOF",),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "NO", "ONE"),
    ("MODULE", "LIST"),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "mallory", "on", "nopass", "+@all", "~*"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MONITOR",),
    ("EVAL", "return 1", 0),
    ("FUNCTION", "LIST"),
    ("SCRIPT", "FLUSH"),
    ("SWAPDB", 0, 1),
    ("CLUSTER", "NODES"),
    ("CLUSTER", "RESET"),
    ("DUMP", "jobqueue:queues"),
    ("MIGRATE", "127.0.0.1", 1, "jobqueue:queues", 0, 1),
    ("PUBLISH", "news", "x"),
    ("SUBSCRIBE", "news"),
)
OUTSIDE: tuple[tuple[str | int, ...], ...] = (
    ("HGETALL", "session:1"),
    ("HSET", "session:1", "user", "mallory"),
    ("DEL", "session:1"),
    ("SADD", "jobqueue", "x"),
    ("XREAD", "STREAMS", "other:{tickets}:events", 0),
)


@pytest.fixture(params=["valkey", "redis"])
def guarded(request: pytest.FixtureRequest) -> GuardedServer:
    found: GuardedServer = request.getfixturevalue(f"guarded_{request.param}")
    return found


@pytest.fixture
async def user(guarded: GuardedServer) -> AsyncGenerator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(guarded.user_url) as client:  # pyright: ignore[reportUnknownMemberType]
        yield client


async def _call(client: redis.asyncio.Redis, *words: str | int) -> Any:
    return cast("Any", await client.execute_command(*words))  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize("words", FORBIDDEN, ids=lambda words: " ".join(map(str, words[:2])))
async def test_other_commands_are_refused(user: redis.asyncio.Redis, words: tuple[str | int, ...]) -> None:
    with pytest.raises(NoPermissionError):
        await _call(user, *words)


@pytest.mark.parametrize("words", OUTSIDE, ids=lambda words: " ".join(map(str, words[:2])))
async def test_other_keys_are_refused(user: redis.asyncio.Redis, words: tuple[str | int, ...]) -> None:
    with pytest.raises(NoPermissionError):
        await _call(user, *words)


async def test_a_script_can_do_no_more_than_its_caller(user: redis.asyncio.Redis) -> None:
    for body in ("return redis.call('HGETALL', 'session:1')", "return redis.call('FLUSHALL')"):
        sha = await _call(user, "SCRIPT", "LOAD", body)
        with pytest.raises(ResponseError, match=r"permission|can't run|can't access"):
            await _call(user, "EVALSHA", sha, 0)


async def test_another_namespace_is_refused_in_words_of_ours(guarded: GuardedServer) -> None:
    async with connect(guarded.user_url, fallback="never", namespace="other") as backend:
        with pytest.raises(AccessDenied, match="permissions"):
            await Queue("tickets", backend=backend).enqueue("ticket.created", {})


async def test_nobody_gets_in_without_a_password(guarded: GuardedServer) -> None:
    path = guarded.user_url.partition("@")[2]
    for url in (f"unix://{path}", f"unix://jobqueue:@{path}", f"unix://jobqueue:guess@{path}"):
        with pytest.raises(AccessDenied):
            await connect(url, fallback="never")


async def test_the_rule_alone_lets_nobody_in(guarded: GuardedServer) -> None:
    """Deployed as it is, without a password, it is closed."""
    name, *rules = ACL_RULE.split()[1:]
    async with redis.asyncio.Redis.from_url(guarded.admin_url) as admin:  # pyright: ignore[reportUnknownMemberType]
        await _call(admin, "ACL", "SETUSER", f"bare-{name}", "reset", *rules)
        path = guarded.user_url.partition("@")[2]
        for password in ("", "x"):
            with pytest.raises(AccessDenied):
                await connect(f"unix://bare-{name}:{password}@{path}", fallback="never")
        await _call(admin, "ACL", "DELUSER", f"bare-{name}")


async def test_the_rule_grants_what_the_library_calls_and_nothing_else(valkey_url: str) -> None:
    """Read from the source, so that a command that comes or goes has to be written into the rule, or out of it."""
    async with redis.asyncio.Redis.from_url(valkey_url) as admin:  # pyright: ignore[reportUnknownMemberType]
        known = {name.decode() for name in cast("list[bytes]", await admin.command_list())}
    quoted = {word.lower() for name in names() for word in re.findall(r"'([A-Z]+)'", script(name).source)}
    for module in files("jobqueue.backends.redis").iterdir():
        if module.name.endswith(".py"):
            tree = ast.parse(module.read_text(encoding="utf-8"))
            quoted |= {
                node.value.lower()
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isupper()
            }
    # KEYS stands in every script's head, READONLY among the errors: neither is called.
    used = (quoted & known) - {"keys", "readonly", "script", "cluster"} | {"script|load", "cluster|slots"}
    granted = {word.removeprefix("+") for word in ACL_RULE.split() if word.startswith("+")}
    # SELECT is the client's own, for a URL that names a database.
    assert granted - {"select"} == used
