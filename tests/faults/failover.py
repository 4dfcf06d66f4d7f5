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
PROMOTED = "promoted at"
"""The name of a figure, followed by the number of the failover."""


async def failovers(scene: Scene) -> int:
    """F19: SIGKILL or SIGSTOP the primary while its replica lags, let that be promoted, bring the old one back."""
    servers = scene.server
    assert isinstance(servers, ReplicatedServers)
    for number in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        began = time.monotonic()
        await asyncio.to_thread(servers.hold_back)
        await asyncio.sleep(LAG)
        # First one that is gone, then one that hangs and does not hang up.
        (servers.primary.stop if number % 2 else servers.primary.kill)()
        gone = time.monotonic()
        scene.doubtful.append((began, gone))
        servers.let_go()
        promoted = await asyncio.to_thread(servers.promoted)
        scene.figures[f"promoted after {number}"] = promoted - gone
        scene.figures[f"{PROMOTED} {number}"] = promoted
        await asyncio.sleep(2)
        woken = time.monotonic()
        await asyncio.to_thread(servers.bring_back)
        if number % 2:
            # It answers what it was asked before it hung, and takes itself for the primary until it is told.
            scene.doubtful.append((woken, time.monotonic()))
    return scene.plan.times


async def what_failovers_lost(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Only what a primary acknowledged when no replica heard of it may be gone; all went on by themselves."""
    figures = scene.figures
    acknowledged = [entry for entry in found if entry.deed == "acknowledged"]
    for began, ended in scene.doubtful:
        # A line is written a moment after the reply, and replication has a moment of its own.
        scene.mortal |= {entry.job for entry in acknowledged if began - 0.25 <= entry.at <= ended + 0.25}
    for number in range(scene.plan.times):
        promoted = figures.pop(f"{PROMOTED} {number}")
        for deed, who in (("acknowledged", "producers"), ("ended", "workers")):
            back = next((entry.at - promoted for entry in found if entry.deed == deed and entry.at > promoted), None)
            if back is None or back > _MOST_RECOVERY:
                scene.complaints.append(f"after failover {number} the {who} were back after {back} s")
            else:
                figures[f"{who} back after {number}"] = back
    figures["acknowledged where it may be gone"] = len(scene.mortal)
