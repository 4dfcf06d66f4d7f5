"""How a script is called: by hash, loaded where the server does not know it, repeated where that is safe.

A repeat says that it is one. Scripts that write remember or recognise what their first try did (see ``calls``
in keys.py), so that a call whose reply was lost takes effect once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from jobqueue.backends.redis.codec import Word
from jobqueue.backends.redis.connection import Line, NoScript, Switchboard
from jobqueue.backends.redis.forking import watch
from jobqueue.backends.redis.scripts import script
from jobqueue.errors import BackendClosed, BackendUnavailable

ReplyT = TypeVar("ReplyT")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


class Calls:
    """Runs scripts over a switchboard, within a deadline in seconds."""

    def __init__(self, switchboard: Switchboard, deadline: float) -> None:
        self._switchboard = switchboard
        self._deadline = deadline
        self.closed = False
        self.begin_anew()
        watch(self)

    def begin_anew(self) -> None:
        """At first, and after a fork: nobody else calls under these names."""
        self._identity = secrets.token_hex(6)
        self._idle_channels: list[str] = []
        self._channels = 0
        self._sequence = 0

    async def run(self, name: str, prefix: str, *words: Word) -> Any:
        """Run a script once. After BackendUnavailable it may have taken effect."""
        self.check_open()
        line = await self._switchboard.take()
        try:
            return await _evaluate(line, name, prefix, words)
        finally:
            self._switchboard.give_back(line)

    async def command(self, *words: Word) -> Any:
        """Send one plain command once."""
        self.check_open()
        return await self._switchboard.call(*words)

    async def repeat(self, call: Callable[[bool], Awaitable[ReplyT]]) -> ReplyT:
        """Make ``call`` (told whether it is a repeat) until it is answered or the deadline has passed."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._deadline
        pause, repeated = _FIRST_PAUSE, False
        while True:
            try:
                return await call(repeated)
            except BackendUnavailable:
                if self.closed or loop.time() + pause >= give_up:
                    raise
            await asyncio.sleep(pause)
            pause, repeated = min(2 * pause, _LONGEST_PAUSE), True

    async def read(self, name: str, prefix: str, *words: Word) -> Any:
        """Run a script that only reads, repeating it as needed."""
        return await self.repeat(lambda _: self.run(name, prefix, *words))

    async def write(self, name: str, prefix: str, caller_words: tuple[Word, ...], *words: Word) -> Any:
        """Run a script that takes caller, sequence and repeated after ``caller_words``, so that a repeat is harmless.

        A caller has one call under way, so each one under way here gets a channel of its own.
        """
        channel = self._idle_channels.pop() if self._idle_channels else self._new_channel()
        self._sequence += 1
        sequence = self._sequence
        try:
            return await self.repeat(
                lambda repeated: self.run(name, prefix, *caller_words, channel, sequence, int(repeated), *words)
            )
        finally:
            self._idle_channels.append(channel)

    def _new_channel(self) -> str:
        self._channels += 1
        return f"{self._identity}/{self._channels}"

    def check_open(self) -> None:
        """Raise BackendClosed after close()."""
        if self.closed:
            raise BackendClosed


async def _evaluate(line: Line, name: str, prefix: str, words: tuple[Word, ...]) -> Any:
    lua = script(name)
    try:
        return await line.call("EVALSHA", lua.sha, 1, prefix, *words)
    except NoScript:
        await line.call("SCRIPT", "LOAD", lua.source)
        return await line.call("EVALSHA", lua.sha, 1, prefix, *words)
