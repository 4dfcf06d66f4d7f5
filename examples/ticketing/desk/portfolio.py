"""A landlord joins and brings everything that is open, in one go; the small ones come right after.

Without turns they would wait until all of it is done. With a group for each landlord they are next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import anyio

from examples.ticketing.desk.case import Case
from examples.ticketing.desk.entrance import ServiceEntrance
from examples.ticketing.desk.generator import generate_requests
from examples.ticketing.service import JobsService
from examples.ticketing.steps import TicketCreated

OWNER = "Northgate Portfolio"
SIZE = 300
LATECOMERS = 10


@dataclass(frozen=True, slots=True)
class Portfolio:
    """The tickets of the big landlord, and those of small ones that are reported a moment later."""

    big: tuple[TicketCreated, ...]
    small: tuple[TicketCreated, ...]

    @classmethod
    def made_up(cls, seed: int) -> Portfolio:
        # Seeds of their own: the numbers of their tickets are nobody else's.
        big = [replace(one, owner=OWNER, district="1") for one in generate_requests(SIZE, seed + 1)]
        small = generate_requests(LATECOMERS, seed + 2)
        return cls(
            big=tuple(TicketCreated(ticket=Case(request).ticket) for request in big),
            small=tuple(TicketCreated(ticket=Case(request).ticket) for request in small),
        )

    @property
    def steps(self) -> tuple[TicketCreated, ...]:
        return self.big + self.small

    async def hand_in(self, jobs: JobsService) -> None:
        """Returns when the small ones' jobs are done."""
        await jobs.enqueue_tickets_created(self.big)
        async with anyio.create_task_group() as latecomers:
            for step in self.small:
                latecomers.start_soon(ServiceEntrance(jobs).take, step)
