"""F15: the server's clock is set, back and forth, by several leases.

Where libfaketime is installed (Debian: ``apt-get install faketime``) the server's own clock is set, from outside, while
it runs. Elsewhere workers and producers hand every script the same wrong time in the argument that tests of virtual
time use: the scripts see the same step, the server's blocking calls do not.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults.parts import DurableServer
from tests.faults.scene import Scene
from tests.faults.shift import SHIFT, ShiftedClock

_LEASES = 4
_LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib*/faketime/libfaketimeMT.so.1")


class AdjustedServer(DurableServer):
    """Its clock can be set."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._shift = folder / "shift"
        library = next((found for place in _LIBRARIES for found in Path("/usr").glob(place)), None)
        self.by_itself = library is not None
        if library:
            self.environment = {
                "LD_PRELOAD": str(library),
                "FAKETIME_TIMESTAMP_FILE": str(self._shift),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
        else:
            self.clock = ShiftedClock(self._shift)
            self.worker_environment = {SHIFT: str(self._shift)}
        self.adjust(0)

    def adjust(self, seconds: float) -> None:
        """So far from the true time it is to be."""
        fresh = self._shift.with_suffix(".new")
        fresh.write_text(f"{seconds:+.3f}", encoding="ascii")
        fresh.rename(self._shift)


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
