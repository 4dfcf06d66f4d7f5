"""Which queues are out of reach, as one delivery and those before it have found: with their nodes they come and go."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from time import monotonic

from jobqueue.backends.redis.calls import tried_once
from jobqueue.errors import BackendUnavailable

_REST = 2.0
_REMEMBERED = 10.0

Lately = dict[str, tuple[float, str]]
"""When a queue was last found out of reach, in seconds of this process's own clock, and what was said of it."""


class Reach:
    """Whoever is away is asked once in a delivery, and once somebody is, others are tried once: that costs each of
    them some seconds. ``lately`` is shared by all deliveries of a backend; one that can wait (``patient``) lets whoever
    is away rest for two seconds, so that what goes elsewhere gets on meanwhile.
    """

    def __init__(self, lately: Lately, *, patient: bool) -> None:
        now = monotonic()
        for queue in [queue for queue, (since, _) in lately.items() if now - since > _REMEMBERED]:
            del lately[queue]
        self._lately = lately
        self._away = {queue: why for queue, (since, why) in lately.items() if patient and now - since < _REST}

    @asynccontextmanager
    async def of(self, queue: str) -> AsyncGenerator[None]:
        """Around a call to ``queue``. Raises BackendUnavailable at once if it is away."""
        if queue in self._away:
            raise BackendUnavailable(self._away[queue])
        try:
            with tried_once() if self._away or self._lately else nullcontext():
                yield
        except BackendUnavailable as error:
            self._away[queue] = str(error)
            self._lately[queue] = monotonic(), str(error)
            raise
        self._lately.pop(queue, None)
