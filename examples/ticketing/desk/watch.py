"""Looks at the queues again and again, for the display and for whoever waits for them to be in some state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn

import anyio

from examples.ticketing.contracts import NOTIFICATIONS, SMS
from examples.ticketing.service import JobsService
from jobqueue import BackendUnavailable

INTERVAL = 0.25
"""Seconds between two looks. One count in constant time for each queue: no load to speak of."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue at one moment."""

    blocked: int = 0
    waiting: int = 0
    active: int = 0
    delayed: int = 0
    failed: int = 0

    @property
    def unfinished(self) -> int:
        return self.blocked + self.waiting + self.active + self.delayed


@dataclass(frozen=True, slots=True)
class View:
    """All queues at one moment: those with work by name, and the dead letters."""

    queues: Mapping[str, QueueView] = field(default_factory=dict[str, QueueView])
    letters: QueueView = QueueView()

    def __getitem__(self, queue: str) -> QueueView:
        return self.queues.get(queue, QueueView())

    @property
    def messages(self) -> int:
        """E-mails and text messages under way."""
        return self[NOTIFICATIONS].unfinished + self[SMS].unfinished

    @property
    def quiet(self) -> bool:
        """Nothing is left to do, and every failed job's letter has arrived."""
        unfinished = sum(queue.unfinished for queue in self.queues.values())
        return not unfinished and self.letters.waiting >= sum(queue.failed for queue in self.queues.values())


class Watch:
    """``run`` looks until cancelled and calls ``show`` with each view; ``until`` waits for one of some kind."""

    def __init__(self, jobs: JobsService, show: Callable[[View], None]) -> None:
        self.view = View()
        self._jobs = jobs
        self._show = show
        self._looked = anyio.Event()

    async def run(self) -> NoReturn:
        while True:
            # A backend that is away changes nothing: everybody waits for it to come back.
            with suppress(BackendUnavailable):
                self.view = await self._look()
                self._show(self.view)
                self._looked.set()
                self._looked = anyio.Event()
            await anyio.sleep(INTERVAL)

    async def until(self, wanted: Callable[[View], bool]) -> None:
        """Returns as soon as the latest view is ``wanted``: at once, if it is."""
        while not wanted(self.view):
            await self._looked.wait()

    async def look_anew(self) -> None:
        """Returns when ``view`` was taken wholly after this call: the look under way now may have begun before."""
        for _ in range(2):
            await self._looked.wait()

    async def _look(self) -> View:
        views: dict[str, QueueView] = {}
        for queue in self._jobs.queues:
            counts = await queue.counts()
            views[queue.name] = QueueView(counts.blocked, counts.waiting, counts.active, counts.delayed, counts.failed)
        letters = views.pop(self._jobs.dead_letter.name)
        return View(views, letters)
