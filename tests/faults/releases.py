"""F26: a rolling upgrade, and the way back: workers and producers of two releases share a queue."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from jobqueue import Queue, connect
from tests.faults.crew import Outfit
from tests.faults.ledger import Entry
from tests.faults.manners import NOVEL, homes
from tests.faults.odd import started
from tests.faults.parts import ROOT
from tests.faults.scene import Plan, Scene
from tests.faults.worker_process import QUEUE

LAST_RELEASE = "5622d276a20254038ffe01436b8e66bc1ff33483"
"""A commit, until there are tags."""
MISSING = (
    f"the last release, {LAST_RELEASE[:7]}, is not in this clone's history: "
    "fetch it with: git fetch --unshallow (in a copy without history F26 cannot run)"
)


def available() -> bool:
    """Whether the last release is in this clone."""
    found = subprocess.run(
        ["git", "cat-file", "-e", f"{LAST_RELEASE}:src/jobqueue"], cwd=ROOT, capture_output=True, check=False
    )
    return found.returncode == 0


def unpack(folder: Path) -> Outfit:
    """The last release, as something to wear. Raises RuntimeError where the clone does not have it."""
    if not available():
        raise RuntimeError(MISSING)
    home = folder / "last-release"
    home.mkdir(exist_ok=True)
    archive = subprocess.run(["git", "archive", LAST_RELEASE, "src"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", home], input=archive.stdout, check=True)
    return Outfit({"PYTHONPATH": str(home / "src")})


_TODAY = Outfit({NOVEL: "yes"})


def last_release(_: Plan, folder: Path) -> Sequence[Outfit]:
    """All begin with the last release."""
    return [unpack(folder)]


async def rolling_upgrades(scene: Scene) -> int:
    """F26: workers of the last release are replaced by today's, one after the other, and back again, while producers of
    both enqueue; a job type that only today's know waits for them.
    """
    old = Outfit({"PYTHONPATH": str(scene.workers.folder / "last-release" / "src")})
    producers = [await _producer(scene, old, "past"), await _producer(scene, _TODAY, "present")]
    # Both are at work before anything is replaced.
    await started(scene, ["past-0", "present-0"])
    scene.attempted.add("novel")
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        job = await queue.enqueue("novel", 7, job_id="novel", tags=["kept"])
        scene.ledger.write("acknowledged", "novel")
        # Somebody of the last release has had it, and has given it back until later.
        while job.state != "delayed":
            await asyncio.sleep(0.02)
            await job.refresh()
        if (job.data, job.tags, job.attempt, job.stalls, job.error) != (7, ("kept",), 0, 0, None):
            scene.complaints.append(f"the last release has touched what it did not understand: {job!r}")
    for number in range(scene.plan.times):
        forth = (number // scene.plan.workers) % 2 == 0
        await _replace_one(scene, _TODAY if forth else old, number % scene.plan.workers)
    for place in range(scene.plan.workers):
        await _replace_one(scene, _TODAY, place)
    for producer in producers:
        if await producer.wait():
            scene.complaints.append(f"a producer ended with {producer.returncode}")
    return scene.plan.times


async def _producer(scene: Scene, outfit: Outfit, prefix: str) -> asyncio.subprocess.Process:
    count = scene.plan.jobs // 4
    scene.attempted.update(f"{prefix}-{number}" for number in range(count))
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.producer_process",
        scene.url, str(scene.workers.path), prefix, str(count), "1",
        cwd=ROOT, env=outfit.whole_environment,
    )  # fmt: skip


async def _replace_one(scene: Scene, outfit: Outfit, place: int) -> None:
    await scene.pause()
    await scene.workers.all_ready()
    scene.workers.dress([outfit])
    # The oldest is the first of the list, and its replacement joins at the end.
    code, _ = await asyncio.to_thread(scene.workers.terminate, 0)
    if code != 0:
        scene.complaints.append(f"a worker that was told to stop ended with {code}")


async def both_have_worked(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Jobs of both producers ran in workers of both releases, and the novel one in one of today's."""
    places = homes(scene.workers.folder)
    ran = {
        (entry.job.split("-")[0], "last-release" in places[entry.process])
        for entry in found
        if entry.deed == "ended" and entry.job.startswith(("past", "present", "novel"))
    }
    if not {("past", True), ("present", True), ("novel", False)} <= ran:
        scene.complaints.append(f"producers, and whether workers of the last release ran their jobs: {sorted(ran)}")
    old = sum("last-release" in home for home in places.values())
    scene.figures["workers of the last release"], scene.figures["workers of today's"] = old, len(places) - old
