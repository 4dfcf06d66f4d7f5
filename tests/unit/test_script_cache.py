"""A server may forget its scripts at any moment, also between the loading of one and the call that needed it."""

from __future__ import annotations

from typing import Any

import fakeredis
import pytest

from jobqueue import BackendUnavailable, Queue
from jobqueue.backends import RedisBackend
from jobqueue.backends.redis.connection import Line, NoScript


class Forgetful:
    """Forgets each script so many times after it was loaded."""

    def __init__(self, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = times
        real = Line.call

        async def call(line: Line, *words: Any, seconds: float = 5.0) -> Any:
            if words[0] == "EVALSHA" and self.left:
                self.left -= 1
                raise NoScript
            return await real(line, *words, seconds=seconds)

        monkeypatch.setattr(Line, "call", call)


async def test_a_script_that_is_forgotten_again_at_once_is_loaded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer()) as client:
        backend = RedisBackend(client)
        await backend.open()
        forgetful = Forgetful(3, monkeypatch)
        await Queue("tickets", backend=backend).enqueue("n", 1)
        assert forgetful.left == 0
        await backend.close()


async def test_a_server_that_keeps_no_script_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer()) as client:
        backend = RedisBackend(client, deadline=0.2)
        await backend.open()
        Forgetful(10**9, monkeypatch)
        with pytest.raises(BackendUnavailable, match="forgets scripts"):
            await Queue("tickets", backend=backend).enqueue("n", 1)
        await backend.close()
