"""How a script is called: by hash, loaded where the server does not know it, repeated where that is safe.

Scripts that write remember what each call came to (see ``calls`` in keys.py), so that a call whose reply was lost takes
effect once, and its repeat is told the same.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from jobqueue.backends.redis.codec import Word
from jobqueue.backends.redis.connection import GivenUp, Line, Lines, NoScript, NotDone
from jobqueue.backends.redis.forking import watch
from jobqueue.backends.redis.scripts import script
from jobqueue.errors import BackendClosed, BackendUnavailable

ReplyT = TypeVar("ReplyT")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_BLOCK_MARGIN = 5.0
_MOST_LOADS = 5
"""How often a script is loaded for one call: another client may flush all scripts between the loading and the call."""
_UNKNOWN = (
    "the connection was lost, and a copy of this process has called since: whether this call took effect is not known"
)


_TRIED_ONCE: ContextVar[bool] = ContextVar("_TRIED_ONCE", default=False)


@contextmanager
def tried_once() -> Generator[None]:
    """No call in this block is repeated."""
    token = _TRIED_ONCE.set(True)
    try:
        yield
    finally:
        _TRIED_ONCE.reset(token)


class Calls:
    """Runs scripts over lines, within a deadline in seconds."""

    def __init__(self, lines: Lines, deadline: float) -> None:
        self._lines = lines
        self._deadline = deadline
        self.closed = False
        self._sequence = 0
        self.begin_anew()
        watch(self)

    def begin_anew(self) -> None:
        """At first, and after a fork: nobody else calls under these names."""
        self._identity = secrets.token_hex(6)
        self._idle_channels: list[str] = []
        self._channels = 0

    async def run(self, name: str, prefix: str, *words: Word) -> Any:
        """Run a script once. After BackendUnavailable it may have taken effect."""
        self.check_open()
        return await self._lines.carry(prefix, lambda line: _evaluate(line, name, prefix, words), whole=True)

    async def command(self, *words: Word) -> Any:
        """Send one plain command once. If it names a key, that comes second."""
        self.check_open()
        key = str(words[1]) if len(words) > 1 else None
        return await self._lines.carry(key, lambda line: line.call(*words))

    async def block(self, key: str, seconds: float, words: Callable[[float], Sequence[Word | float]]) -> Any:
        """Send a command that waits for ``key`` up to ``seconds``: ``words`` makes it of how long it is to wait.

        It has a line of its own, and the server's own timeout ends it, so that no call is ever cut short.
        """
        self.check_open()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds

        def wait(line: Line) -> Awaitable[Any]:
            left = max(0.001, until - loop.time())
            return line.call(*words(left), seconds=left + _BLOCK_MARGIN)

        return await self._lines.hold(key, wait)

    async def block_and_run(
        self, key: str, seconds: float, words: Callable[[float], Sequence[Word | float]], name: str, prefix: str,
        *script_words: Word,
    ) -> Any:  # fmt: skip
        """As ``block``, and then run a script, whether or not ``key`` came; the server needs not be asked again for it.

        After BackendUnavailable, or when cancelled, the script may have taken effect, and may even later.
        """
        self.check_open()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        call = ("EVALSHA", script(name).sha, 1, prefix, *script_words)

        def wait(line: Line) -> Awaitable[Any]:
            left = max(0.001, until - loop.time())
            return line.call_behind(words(left), call, seconds=left + _BLOCK_MARGIN)

        try:
            return await self._lines.hold(key, wait)
        except NotDone:
            return await self.run(name, prefix, *script_words)

    async def close(self) -> None:
        """No more calls: those under way end as if the server had gone."""
        self.closed = True
        await self._lines.close()

    async def repeat(
        self,
        call: Callable[[bool], Awaitable[ReplyT]],
        *,
        hopeless: Callable[[BackendUnavailable], bool] = lambda _: False,
    ) -> ReplyT:
        """Make ``call`` (told whether it is a repeat) until it is answered, or fails in a ``hopeless`` way, or the
        deadline has passed.
        """
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._deadline
        pause, repeated = _FIRST_PAUSE, False
        while True:
            try:
                return await call(repeated)
            except BackendUnavailable as error:
                if self.closed or hopeless(error) or _TRIED_ONCE.get() or loop.time() + pause >= give_up:
                    raise
            # Not all at the same moment: a server that has just come back would be run over by those it had lost.
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause, repeated = min(2 * pause, _LONGEST_PAUSE), True

    async def read(self, name: str, prefix: str, *words: Word) -> Any:
        """Run a script that only reads, or that comes to the same however often it is run, repeating it as needed."""
        return await self.repeat(lambda _: self.run(name, prefix, *words))

    async def write(self, name: str, prefix: str, now: str, *words: Word, shortcut: tuple[Word, ...] = ()) -> Any:
        """Run a script that takes caller and sequence after ``now``, and remembers what it answers to them: so it takes
        effect once however often it is called, and should its first try come after a repeat.

        A caller has one call under way, so each one under way here gets a channel of its own. ``shortcut`` is a script
        (its name, then its words after caller and sequence) to try first: it does the same, or nothing, which it says
        by an empty answer.
        """
        channel = self._idle_channels.pop() if self._idle_channels else self._new_channel()
        sequence = self._next_sequence()

        once_more = False

        async def attempt(repeated: bool) -> Any:
            nonlocal once_more
            once_more = repeated
            if shortcut and not repeated:
                answer = await self.run(str(shortcut[0]), prefix, now, channel, sequence, *shortcut[1:])
                if answer:
                    return answer
            return await self.run(name, prefix, now, channel, sequence, *words)

        try:
            return await self.repeat(attempt)
        except GivenUp:
            # A copy of this process has gone on under its names: from here on it has names of its own.
            self.begin_anew()
            if once_more:
                raise BackendUnavailable(_UNKNOWN) from None
            channel, sequence = self._new_channel(), self._next_sequence()
            return await self.repeat(attempt)
        finally:
            if channel.startswith(self._identity):
                self._idle_channels.append(channel)

    def _next_sequence(self) -> str:
        # A copy of this process (a snapshot that is started twice) has the same channel and number, at another moment.
        self._sequence += 1
        return f"{sequence_word(self._sequence)}{time.time_ns() // 100 % 1_000_000:06}"

    def _new_channel(self) -> str:
        self._channels += 1
        return f"{self._identity}/{self._channels}"

    def check_open(self) -> None:
        """Raise BackendClosed after close()."""
        if self.closed:
            raise BackendClosed


def sequence_word(sequence: int) -> str:
    """Of one length, so that scripts compare them as texts."""
    return f"{sequence:012}"


async def _evaluate(line: Line, name: str, prefix: str, words: tuple[Word, ...]) -> Any:
    lua = script(name)
    for _ in range(_MOST_LOADS):
        try:
            return await line.call("EVALSHA", lua.sha, 1, prefix, *words)
        except NoScript:
            # It has not run, so running it again is safe.
            await line.call("SCRIPT", "LOAD", lua.source)
    try:
        return await line.call("EVALSHA", lua.sha, 1, prefix, *words)
    except NoScript as error:
        raise BackendUnavailable("the server forgets scripts as fast as they are loaded") from error
