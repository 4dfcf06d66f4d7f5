"""What every part of the Redis backend stands on: its calls, its names, its clock."""

from __future__ import annotations

from jobqueue.backends.redis import keys
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.reach import Lately
from jobqueue.clock import Clock
from jobqueue.errors import BackendFull

_ANNOUNCE_EVERY = 60.0


class RedisPart:
    """The base of the parts, which are put together in ``backend.py``."""

    def __init__(self, calls: Calls, namespace: str, clock: Clock) -> None:
        self._calls = calls
        self._namespace = namespace
        self._clock = clock
        self._announced: dict[str, float] = {}
        self._outboxes: dict[str, str] = {}
        self._lately_away: Lately = {}

    def _prefix(self, queue: str) -> str:
        return keys.prefix(self._namespace, queue)

    def _now(self) -> str:
        return str(self._clock.now_ms()) if self._clock.virtual else "0"

    def _is_announced(self, queue: str) -> bool:
        """Whether the queue was entered lately: someone may have obliterated it meanwhile."""
        since = self._announced.get(queue)
        return since is not None and self._clock.monotonic() - since < _ANNOUNCE_EVERY

    async def _announce(self, queue: str) -> None:
        """Enter the queue in the list of queues, now and then again."""
        if self._is_announced(queue):
            return
        now = self._clock.monotonic()
        try:
            await self._calls.repeat(lambda _: self._calls.command("SADD", keys.queues(self._namespace), queue))
        except BackendFull:
            # Workers drain a full server; an enqueue will be refused by its own script.
            return
        self._announced[queue] = now
