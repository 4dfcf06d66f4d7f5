"""F31, F32: a slot moves, a primary goes, while jobs run on a cluster of six nodes."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

from jobqueue.backends.redis import keys
from jobqueue.backends.redis.slots import slot_of as slot_of_key
from tests.cluster import Cluster, slot_of, until
from tests.faults.failover import PROMOTED
from tests.faults.parts import DurableServer
from tests.faults.scene import Scene
from tests.faults.worker_process import QUEUE

SLOT = slot_of(QUEUE)
LIST = slot_of_key(keys.queues("jobqueue"))
"""Where the list of queues is: no queue's slot."""
LAG = 0.5
"""Seconds for which the replica has heard nothing, in every third strike."""
_WINDOW = 1.0
"""Seconds before a primary goes in which it may have acknowledged what a replica that keeps up has not heard of yet."""


class ClusteredServers(DurableServer):
    """Six nodes that are patient: none is failed because the machine is busy."""

    timeout = 15.0

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.cluster = Cluster(self.folder, timeout=self.timeout)
        self.url = self.cluster.url

    @property
    def plain_url(self) -> str:
        """The node that has the queue."""
        return f"redis://127.0.0.1:{self.cluster.owner(SLOT).port}/0"

    def start(self) -> None:
        """Form the cluster."""
        self.cluster.start()

    def kill(self) -> None:
        """SIGKILL all of them."""
        self.cluster.kill()


class HastyServers(ClusteredServers):
    """Six nodes that take each other for gone after a short silence."""

    timeout = 3.0


async def moved_slots(scene: Scene) -> int:
    """F31: move the queue's slot to another node, key by key or at once, and the list of queues with it."""
    cluster = _cluster(scene)

    def pause() -> None:
        time.sleep(scene.chance.uniform(0, 0.004))

    for number in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        for slot in (SLOT, LIST):
            owner = await asyncio.to_thread(cluster.owner, slot)
            others = [node for node in await asyncio.to_thread(cluster.primaries) if node is not owner]
            target = scene.chance.choice(others)
            began = time.monotonic()
            if number % 2:
                await asyncio.to_thread(cluster.move_at_once, slot, target)
                name = "seconds of the longest move at once"
            else:
                moved = await asyncio.to_thread(cluster.move, slot, target, pause=pause)
                scene.figures["keys moved"] = scene.figures.get("keys moved", 0) + moved
                name = "seconds of the longest move by key"
            scene.figures[name] = max(scene.figures.get(name, 0), time.monotonic() - began)
    if not scene.figures.get("keys moved"):
        scene.complaints.append("no key was moved: the slot had no jobs")
    return scene.plan.times


async def killed_primaries(scene: Scene) -> int:
    """F32: SIGKILL (or SIGSTOP) the node that has the queue, let its replica be promoted, bring the old one back."""
    cluster = _cluster(scene)
    for number in range(scene.plan.times):
        await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)
        victim = await asyncio.to_thread(cluster.owner, SLOT)
        replica = await asyncio.to_thread(cluster.replica_of, victim)
        began = time.monotonic() - _WINDOW
        if number % 3 == 1:
            began = time.monotonic() - 0.25
            replica.strike(signal.SIGSTOP)
            # What is on its way would be read later: the connection must go, and a stopped process opens no other.
            victim.call("CLIENT", "KILL", "TYPE", "replica")
            await asyncio.sleep(LAG)
        # First one that is gone, then one that hangs and does not hang up.
        victim.strike(signal.SIGSTOP if number % 2 else signal.SIGKILL)
        gone = time.monotonic()
        scene.doubtful.append((began, gone))
        replica.bring_back()
        await asyncio.to_thread(until, lambda victim=victim: cluster.owner(SLOT) is not victim)
        scene.figures[f"{PROMOTED} {number}"] = promoted = time.monotonic()
        scene.figures[f"promoted after {number}"] = promoted - gone
        await asyncio.sleep(1)
        woken = time.monotonic()
        await asyncio.to_thread(victim.bring_back)
        if number % 2:
            # It answers what it was asked before it hung, and has not heard yet that it is no primary any more.
            await asyncio.to_thread(until, lambda victim=victim: victim.facts("replication")["role"] == "slave")
            scene.doubtful.append((woken, time.monotonic()))
        await asyncio.to_thread(cluster.until_whole)
    return scene.plan.times


def _cluster(scene: Scene) -> Cluster:
    assert isinstance(scene.server, ClusteredServers)
    return scene.server.cluster
