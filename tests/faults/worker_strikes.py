"""Faults of workers: no fault at all, stops that jobs resist, blocked event loops, wrong clocks."""

from __future__ import annotations

import asyncio
import ctypes.util
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import redis.asyncio

from jobqueue import Job, Queue, connect
from jobqueue.backends.redis import keys
from jobqueue.worker.leases import BLOCKED_LEASES
from tests.faults.ledger import Entry, entries
from tests.faults.manners import CLOCK, told
from tests.faults.parts import Outfit
from tests.faults.scene import Plan, Scene
from tests.faults.strikes import Fault
from tests.faults.worker_process import QUEUE, SLOTS

PICKUP, HURRY, WARNED = 1.0, 1.0, 1.0
"""Seconds: from a release to the next start; from a second signal to the end; from the end of a block to a warning."""

_TABLE_ROW = re.compile(r"^\| (``.+?) +\| ", re.MULTILINE)
_DECLARED = [
    re.compile(re.sub(r"<\w+>", "[^{}]+", name) + r"\Z")
    for row in _TABLE_ROW.findall(keys.__doc__ or "")
    for name in re.findall(r"``([^`]+)``", row)
]
_UNFINISHED = {
    *("waiting", "delayed", "active", "blocked", "leases"),
    *("cancelling", "expiring", "outbox", "seen", "workers"),
}
_EXPIRING = ("stats:", "orders:")


async def pause(scene: Scene) -> None:
    """Between two strikes."""
    await asyncio.sleep(scene.chance.uniform(0.5, 1.5) * scene.plan.every)


async def odd_jobs(scene: Scene, prefix: str, manner: str, count: int) -> list[str]:
    """Enqueue jobs that behave like this; returns their ids."""
    ids = [f"{prefix}-{number}" for number in range(count)]
    scene.attempted.update(ids)
    # Not through the proxy: opening a backend does not try again, by design, and what drops replies may be on.
    async with connect(scene.server.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for job_id in ids:
            await queue.enqueue("odd", manner, job_id=job_id)
            scene.ledger.write("acknowledged", job_id)
    return ids


def seen(scene: Scene) -> list[Entry]:
    """The ledger so far."""
    return entries(scene.workers.path)


async def started(scene: Scene, ids: Sequence[str], times: int = 1) -> list[Entry]:
    """The last start of each of these, once each has started so often."""
    deadline = time.monotonic() + 60
    while True:
        starts = [entry for entry in seen(scene) if entry.deed == "started" and entry.job in ids]
        by_job = {job_id: [entry for entry in starts if entry.job == job_id] for job_id in ids}
        if all(len(of_job) >= times for of_job in by_job.values()):
            return [of_job[-1] for of_job in by_job.values()]
        if time.monotonic() > deadline:
            raise TimeoutError(f"not started: {[job_id for job_id, of in by_job.items() if len(of) < times]}")
        await asyncio.sleep(0.02)


# F1


async def nothing_at_all(_: Scene) -> int:
    """F1: no fault, so that the arithmetic itself is tested: every job starts once, and no key is left over."""
    return 0


async def all_ran_once_and_left_nothing(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Each job started once; what is stored is what the list of keys says, and belongs to finished jobs."""
    starts = [entry.job for entry in found if entry.deed == "started"]
    if sorted(starts) != sorted(scene.attempted):
        scene.complaints.append(f"{len(starts)} starts of {len(scene.attempted)} jobs")
    counts = await queue.counts()
    finished = counts.completed + counts.failed + counts.cancelled
    async with redis.asyncio.Redis.from_url(scene.server.url) as client:  # pyright: ignore[reportUnknownMemberType]
        found_keys = cast("list[bytes]", await client.keys())  # pyright: ignore[reportUnknownMemberType]
        stored = [key.decode() for key in found_keys]
        prefix = keys.prefix("jobqueue", QUEUE)
        own = [key.removeprefix(prefix) for key in stored if key.startswith(prefix)]
        strangers = {key for key in stored if not key.startswith(prefix)} - {keys.queues("jobqueue")}
        strangers |= {key for key in own if not any(pattern.match(key) for pattern in _DECLARED)}
        if strangers:
            scene.complaints.append(f"keys that nobody declared: {sorted(strangers)[:10]}")
        if left := sorted(set(own) & _UNFINISHED):
            scene.complaints.append(f"nothing is left to do, but there are {left}")
        if (records := sum(key.startswith("job:") for key in own)) != finished:
            scene.complaints.append(f"{records} records of {finished} finished jobs")
        for key in own:
            if not key.startswith(("job:", "end:", *_EXPIRING)) and await client.pttl(prefix + key) != -1:
                scene.complaints.append(f"{key} has a time to live")
    scene.notes.append(f"{len(stored)} keys of {finished} finished jobs, all declared")


# F11


async def resisted_stops(scene: Scene) -> int:
    """F11: SIGTERM while jobs run that outlast the grace period, with and without a second signal, and while one
    swallows its cancellation.
    """
    pickups: list[float] = []
    exits: list[float] = []
    for number in range(scene.plan.times):
        await pause(scene)
        await scene.workers.all_ready()
        twice, stubborn = number % 2 == 1, number % 4 in {0, 3}
        long = await odd_jobs(scene, f"long-{number}", f"long {3 * scene.plan.grace + 4}", SLOTS // 2)
        deaf = await odd_jobs(scene, f"deaf-{number}", "stubborn 60", 1) if stubborn else []
        last = (await started(scene, deaf or long))[-1]
        place = next(at for at, each in enumerate(scene.workers.processes) if each.pid == last.process)
        leaver = scene.workers.processes[place]
        theirs = [entry.job for entry in await started(scene, [*long, *deaf]) if entry.process == leaver.pid]
        scene.workers.processes.remove(leaver)
        began = _told_to_stop(scene, leaver)
        if twice:
            await asyncio.sleep(0.2)
        elif stubborn:
            await _reported(scene, leaver.pid)
        if twice or stubborn:
            began = _told_to_stop(scene, leaver)
        limit = (HURRY if twice or stubborn else scene.plan.grace + 1) * scene.plan.slack
        took = await _ended(leaver, began, scene, limit)
        exits.append(took)
        allowed = {0, -signal.SIGTERM} if stubborn else {0}
        if leaver.returncode not in allowed:
            scene.complaints.append(f"a worker that was told to stop ended with {leaver.returncode}")
        scene.workers.add()
        await started(scene, theirs, times=2)
        pickups += _pickups(scene, [job_id for job_id in theirs if job_id not in deaf])
    late = [seconds for seconds in pickups if seconds > PICKUP * scene.plan.slack]
    if late:
        scene.complaints.append(f"released jobs started again only after {max(late):.1f} s")
    scene.notes.append(f"{len(pickups)} released jobs, started elsewhere after {max(pickups, default=0):.2f} s at most")
    scene.notes.append(f"last exits after the signal that counts: {max(exits):.2f} s at most")
    return scene.plan.times


def _told_to_stop(scene: Scene, leaver: subprocess.Popen[bytes]) -> float:
    """SIGTERM; when (monotonic)."""
    # Whoever resists, or is handed back, starts elsewhere for this reason.
    scene.ledger.write("disturbed", process=leaver.pid)
    began = time.monotonic()
    leaver.send_signal(signal.SIGTERM)
    scene.ledger.write("disturbed", process=leaver.pid)
    return began


async def _reported(scene: Scene, process: int) -> None:
    deadline = time.monotonic() + 30
    while not any(line.process == process for line in told(scene.workers.folder, "job.stubborn")):
        if time.monotonic() > deadline:
            scene.complaints.append("nobody was told of a stubborn job")
            return
        await asyncio.sleep(0.02)


async def _ended(leaver: subprocess.Popen[bytes], began: float, scene: Scene, limit: float) -> float:
    try:
        await asyncio.to_thread(leaver.wait, 30)
    except subprocess.TimeoutExpired:
        leaver.kill()
        leaver.wait()
    took = time.monotonic() - began
    if took > limit:
        scene.complaints.append(f"a worker took {took:.1f} s to end, {limit:.1f} s are allowed")
    return took


def _pickups(scene: Scene, ids: Sequence[str]) -> list[float]:
    """From each cancellation to the job's next start."""
    found: list[float] = []
    log = seen(scene)
    for job_id in ids:
        cancelled = [entry.at for entry in log if entry.deed == "cancelled" and entry.job == job_id]
        if not cancelled:
            scene.complaints.append(f"{job_id} was never cancelled")
            continue
        found += [
            min(
                entry.at for entry in log if entry.deed == "started" and entry.job == job_id and entry.at > cancelled[0]
            )
            - cancelled[0]
        ]
    return found


async def no_attempt_was_spent(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Whoever was handed back, or left to a lease, is in its first attempt; only the latter has lost a worker."""
    for job in await _odd(queue, found):
        if job.attempt != 1:
            scene.complaints.append(f"{job.id} is in attempt {job.attempt}")
        if job.stalls and not job.id.startswith("deaf"):
            scene.complaints.append(f"{job.id} was not handed back: it lost {job.stalls} workers")


async def _odd(queue: Queue, found: Sequence[Entry]) -> list[Job[str, int]]:
    ids = {entry.job for entry in found if entry.deed == "started" and not entry.job.startswith(("job-", "more-"))}
    return [job for job_id in sorted(ids) if (job := await queue.get(job_id)) is not None]


# F13


async def blocked_loops(scene: Scene) -> int:
    """F13: jobs block their worker's event loop, for twice a lease; every fourth time, and the last, for longer than a
    worker keeps leases for a loop that does not answer.
    """
    lease = scene.plan.lease
    for number in range(scene.plan.times):
        await pause(scene)
        # Neighbours that are held while the loop is blocked.
        held = await odd_jobs(scene, f"held-{number}", f"wait {lease / 2}", SLOTS)
        if number % 4 == 3 or number == scene.plan.times - 1:
            blocking = await odd_jobs(scene, f"hog-{number}", f"hog {(BLOCKED_LEASES + 2) * lease}", 1)
        else:
            blocking = await odd_jobs(scene, f"block-{number}", f"block {2 * lease}", 1)
        await started(scene, [*held, *blocking])
    return scene.plan.times


async def blocks_are_told_of_and_results_fenced(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """Each block was in a warning that names its type; of each job's runs, the last one's result is stored."""
    warnings = told(scene.workers.folder, "worker.blocked")
    ends = {(entry.job, entry.process): entry.at for entry in found if entry.deed == "ended"}
    delays: list[float] = []
    for job in await _odd(queue, found):
        runs = [entry for entry in found if entry.deed == "started" and entry.job == job.id]
        if job.result_value != runs[-1].process:
            scene.complaints.append(
                f"{job.id}: the result is {job.result_value}'s, the last run was {runs[-1].process}'s"
            )
        if not job.id.startswith(("block", "hog")):
            continue
        end = ends[job.id, runs[0].process]
        naming = [
            line
            for line in warnings
            if line.process == runs[0].process
            and runs[0].at < line.at < end + WARNED * scene.plan.slack
            and (line.fields.get("job_id"), line.fields.get("type")) == (job.id, "odd")
        ]
        if not naming:
            scene.complaints.append(f"no warning names {job.id}: {[line.fields for line in warnings]}")
        else:
            delays.append(naming[0].at - end)
        if job.id.startswith("hog") and len(runs) < 2:
            scene.complaints.append(f"{job.id} blocked its loop beyond the bound, and was not given to another")
    if delays:
        scene.notes.append(f"{len(delays)} blocks, each named {-max(delays):.1f} s or more before its end")


# F14


def wrong_clocks(_: Plan, folder: Path) -> Sequence[Outfit]:
    """One clock an hour slow, one an hour fast, one that will jump; by libfaketime where the machine has it."""
    outfits: list[Outfit] = []
    for number, seconds in enumerate((-3600, 3600, 0)):
        path = folder / f"clock-{number}"
        set_clock(path, seconds)
        library = _faketime()
        environment = {CLOCK: str(path)}
        if library is not None:
            environment = {
                "LD_PRELOAD": library,
                "FAKETIME_TIMESTAMP_FILE": str(path),
                "FAKETIME_NO_CACHE": "1",
                # Nobody who sets a clock changes how long a second takes.
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
            }
        outfits.append(Outfit(environment))
    return outfits


def set_clock(path: Path, seconds: float) -> None:
    """From now on whoever wears this clock is wrong by so much."""
    fresh = path.with_suffix(".new")
    fresh.write_text(f"{seconds:+}", encoding="ascii")
    fresh.replace(path)


def _faketime() -> str | None:
    places = [
        *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
        *Path("/usr/local/lib").glob("faketime/*MT.so.1"),
    ]
    return str(places[0]) if places else ctypes.util.find_library("faketimeMT")


async def wrong_clocked_workers(scene: Scene) -> int:
    """F14: workers whose clocks are an hour slow, an hour fast, and jump by ten minutes; jobs that are due later."""
    due: dict[str, datetime] = {}
    async with connect(scene.url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend)
        for number in range(scene.plan.times):
            await pause(scene)
            set_clock(scene.workers.folder / "clock-2", scene.chance.uniform(-600, 600))
            for place in range(20):
                job_id = f"due-{number}-{place}"
                delay = scene.chance.uniform(0.1, 2)
                scene.attempted.add(job_id)
                if place % 2:
                    job = await queue.enqueue("odd", "wait 0", job_id=job_id, delay=delay)
                else:
                    moment = datetime.now(UTC) + timedelta(seconds=delay)
                    job = await queue.enqueue("odd", "wait 0", job_id=job_id, run_at=moment)
                scene.ledger.write("acknowledged", job_id)
                due[job_id] = job.run_at or datetime.now(UTC)
    _due[scene.ledger] = due
    scene.notes.append("clocks by libfaketime" if _faketime() else "clocks by the worker's own time module")
    return scene.plan.times


_due: dict[object, dict[str, datetime]] = {}


async def none_started_early(scene: Scene, queue: Queue, found: Sequence[Entry]) -> None:
    """By the server's clock and by a right one; nobody's lease was taken for run out; none is very late."""
    due = _due.pop(scene.ledger)
    now, monotonic = datetime.now(UTC), time.monotonic()
    late: list[float] = []
    for entry in found:
        if entry.deed == "started" and entry.job in due:
            at = now - timedelta(seconds=monotonic - entry.at)
            late.append((at - due[entry.job]).total_seconds())
    for job_id, moment in due.items():
        job = await queue.get(job_id)
        if job is None or job.started_at is None or job.started_at < moment:
            scene.complaints.append(f"{job_id} was due at {moment} and started at {job and job.started_at}")
        elif job.stalls:
            scene.complaints.append(f"{job_id} lost {job.stalls} workers, though none was lost")
    late.sort()
    # A millisecond: the server's clock is cut to whole ones, ours is not.
    if late[0] < -0.001:
        scene.complaints.append(f"a job began {-late[0]:.3f} s early")
    p99 = late[int(0.99 * (len(late) - 1))]
    if p99 > scene.plan.slack:
        scene.complaints.append(f"jobs began {p99:.1f} s late (p99)")
    scene.notes.append(f"{len(late)} delayed jobs, {late[0] * 1000:.1f} ms late at least, {p99 * 1000:.0f} ms at p99")


FAULTS: dict[str, Fault] = {
    "F1": Fault(nothing_at_all, inspect=all_ran_once_and_left_nothing),
    "F11": Fault(resisted_stops, inspect=no_attempt_was_spent),
    "F13": Fault(blocked_loops, inspect=blocks_are_told_of_and_results_fenced),
    "F14": Fault(wrong_clocked_workers, dress=wrong_clocks, inspect=none_started_early),
}
LONG: dict[str, Plan] = {
    "F1": Plan(jobs=100_000, times=0, seed=0, longest=0.001),
    "F11": Plan(jobs=2_000, times=24, seed=0, lease=5, grace=2),
    "F13": Plan(jobs=2_000, times=20, seed=0, lease=2),
    "F14": Plan(jobs=5_000, times=100, seed=0, lease=5),
}
QUICK: dict[str, Plan] = {
    "F1": Plan(jobs=1000, times=0, seed=0, lease=5),
    "F11": Plan(jobs=200, times=2, seed=0, lease=3, grace=1, slack=10),
    "F13": Plan(jobs=200, times=2, seed=0, lease=1.5, slack=10),
    "F14": Plan(jobs=200, times=4, seed=0, lease=5, slack=20),
}
