"""F15: the server's clock is set, back and forth, by several leases.

Where libfaketime is installed the server's own clock is set, from outside, while
it runs. Elsewhere workers and producers hand every script the same wrong time in the argument that tests of virtual
time use: the scripts see the same step, the server's blocking calls do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tests.faults.crew import Outfit
from tests.faults.parts import DurableServer
from tests.faults.scene import Plan, Scene
from tests.faults.shift import SHIFT, ShiftedClock, faketime, set_clock

_LEASES = 4
_FILE = "shift"
"""In the run's folder: how far the clock is off."""


class AdjustedServer(DurableServer):
    """Its clock can be set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._shift = folder / _FILE
        own = faketime(self._shift)
        self.by_itself = own is not None
        if own is not None:
            self.environment = own
        else:
            self.clock = ShiftedClock(self._shift)
        self.adjust(0)

    def adjust(self, seconds: float) -> None:
        """So far from the true time it is to be."""
        set_clock(self._shift, seconds)


def told_the_time(_: Plan, folder: Path) -> Sequence[Outfit]:
    """Workers that tell the server what time it is, where nothing else can."""
    path = folder / _FILE
    return [Outfit() if faketime(path) else Outfit({SHIFT: str(path)})]


async def adjusted_clock(scene: Scene) -> int:
    """F15: the server's clock steps forward and back by four leases; a worker is killed just before each step back."""
    server, plan = scene.server, scene.plan
    assert isinstance(server, AdjustedServer)
    scene.figures["a server clock of its own"] = float(server.by_itself)
    for _ in range(plan.times):
        for shift in (_LEASES * plan.lease, 0):
            await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * plan.every)
            if not shift:
                # Its jobs' leases end in a future that has just moved away: they are late, and no later than that.
                scene.workers.kill(scene.chance.randrange(len(scene.workers.processes)))
            server.adjust(shift)
            scene.count("seconds stepped", _LEASES * plan.lease)
    return plan.times
