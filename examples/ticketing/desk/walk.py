"""Takes cases through their steps: many cases at a time, each case one visit to the desk after the other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

import anyio

from examples.ticketing.desk.case import Case
from examples.ticketing.desk.entrance import Entrance
from examples.ticketing.steps import AnyStep
from jobqueue import BackendUnavailable, JobFailed


@dataclass(slots=True)
class Walk:
    """The walk and how far it has come.

    The first ``by_web`` cases go through ``web``, the others through ``service``. ``at_once`` bounds the
    ticket jobs under way, and ``road_clear`` is awaited before each new case, so that five thousand requests
    do not pile up as jobs.
    """

    cases: list[Case]
    web: Entrance
    service: Entrance
    road_clear: Callable[[], Awaitable[None]]
    by_web: int = 100
    at_once: int = 100
    cases_done: int = 0
    outages: int = 0
    stuck: list[str] = field(default_factory=list[str])

    async def run(self) -> None:
        waiting = iter(enumerate(self.cases))
        async with anyio.create_task_group() as walkers:
            for _ in range(min(self.at_once, len(self.cases))):
                walkers.start_soon(self._walker, waiting)

    async def _walker(self, waiting: Iterator[tuple[int, Case]]) -> None:
        for number, case in waiting:
            await self.road_clear()
            await self._take(case, self.web if number < self.by_web else self.service)
            self.cases_done += 1

    async def _take(self, case: Case, entrance: Entrance) -> None:
        for steps in case.visits:
            try:
                await self._insist(steps, entrance)
            except JobFailed as failure:
                # This ticket needs a person; the others go on.
                self.stuck.append(f"{case.ticket.id}: {failure}")
                return

    async def _insist(self, steps: tuple[AnyStep, ...], entrance: Entrance) -> None:
        """Through an outage as well. Each try has waited out a deadline, and a step taken twice is one job."""
        while True:
            try:
                return await entrance.take(*steps)
            except BackendUnavailable:
                self.outages += 1
