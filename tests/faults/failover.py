"""F19: a replica that lags behind is promoted while jobs are written, and the old primary comes back as a replica."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from jobqueue import Queue
from tests.faults.ledger import Entry
from tests.faults.replicas import ReplicatedServers
from tests.faults.scene import Scene

LAG = 0.5
"""Seconds for which the replica has heard nothing when the primary goes."""
_MOST_RECOVERY = 10.0
"""Seconds from the promotion to the next acknowledgement, on a machine that is busy with other things."""

_WINDOWS = "lag begins", "primary gone"


async def failovers(scene: Scene) -> int:
    """F19: SIGKILL or SIGSTOP the primary while its replica lags, let that be promoted, bring the old one back."""
    servers = scene.server
    assert isinstance(servers, ReplicatedServers)
    for number in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        scene.figures[f"{_WINDOWS[0]} {number}"] = time.monotonic()
        await asyncio.to_thread(servers.hold_back)
        await asyncio.sleep(LAG)
        # First one that is gone, then one that hangs and does not hang up.
        (servers.primary.stop if number % 2 else servers.primary.kill)()
        scene.figures[f"{_WINDOWS[1]} {number}"] = gone = time.monotonic()
        servers.let_go()
        promoted = await asyncio.to_thread(servers.promoted)
        scene.figures[f"promoted after {number}"] = promoted - gone
        scene.figures[f"promoted at {number}"] = promoted
        # One that wakes takes itself for the primary, for some seconds more.
        await asyncio.sleep(2)
        await asyncio.to_thread(servers.bring_back)
    return scene.plan.times


async def what_a_failover_lost(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Only what was acknowledged while the replica lagged may be gone; workers and producers went on by themselves."""
    figures = scene.figures
    acknowledged = [entry for entry in found if entry.deed == "acknowledged"]
    for number in range(scene.plan.times):
        began, gone = (figures.pop(f"{name} {number}") for name in _WINDOWS)
        promoted = figures.pop(f"promoted at {number}")
        # A line is written a moment after the reply, and replication has a moment of its own.
        scene.mortal |= {entry.job for entry in acknowledged if began - 0.25 <= entry.at <= gone + 0.25}
        for deed, who in (("acknowledged", "producers"), ("ended", "workers")):
            back = next((entry.at - promoted for entry in found if entry.deed == deed and entry.at > promoted), None)
            if back is None or back > _MOST_RECOVERY:
                scene.complaints.append(f"after failover {number} the {who} were back after {back} s")
            else:
                figures[f"{who} back after {number}"] = back
    figures["acknowledged while the replica lagged"] = len(scene.mortal)
