"""How worker processes of a fault run can be odd: jobs with bad manners, clocks that are wrong, and what they tell.

What a process is to do besides is in its environment, because the same program runs for every fault. ``CLOCK`` names a
file that says by how many seconds its wall clock is wrong, ``VITALS`` one into which it writes every second how much it
holds, ``KEEP`` how many completed jobs the queue is to remember; with ``NOVEL`` it knows a job type more. Jobs of type
``odd`` are told in a few words what to do; a second run of the same job is over at once, so that it can be seen to have
been handed on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobqueue
from jobqueue import Job, JobDefaults, Keep, Registry
from jobqueue.running import CURRENT
from tests.faults.ledger import Ledger

CLOCK, VITALS, KEEP, NOVEL = "FAULTS_CLOCK", "FAULTS_VITALS", "FAULTS_KEEP", "FAULTS_NOVEL"
_VITALS_EVERY = 1.0


def take_up(registry: Registry, ledger: Ledger, folder: Path) -> None:
    """Register the odd job types, wear what the environment says, and write warnings down in ``folder``."""
    if clock := os.environ.get(CLOCK):
        _wear_clock(Path(clock))
    with (folder / "homes").open("a") as homes:
        homes.write(f"{os.getpid()} {jobqueue.__file__}\n")
    listener = logging.getLogger("jobqueue")
    listener.setLevel(logging.WARNING)
    listener.addHandler(_Told(folder, ledger))

    @registry.processor("odd")
    async def odd(job: Job[str]) -> int:
        manner, seconds = job.data.split()
        attempt = CURRENT.get()
        assert attempt is not None
        ledger.write("token", str(attempt.token))
        ledger.write("started", job.id)
        if _is_first(folder, job.id):
            await _behave(ledger, job.id, manner, float(seconds))
        ledger.write("ended", job.id)
        return os.getpid()

    if NOVEL in os.environ:

        @registry.processor("novel")
        async def novel(job: Job[int]) -> int:
            ledger.write("started", job.id)
            ledger.write("ended", job.id)
            return job.data


def defaults() -> JobDefaults:
    """Of the queue: all completed jobs are kept, for they are counted in the end, or as many as was asked for."""
    return JobDefaults(keep=Keep(completed=int(os.environ[KEEP]) if KEEP in os.environ else None))


async def _behave(ledger: Ledger, job_id: str, manner: str, seconds: float) -> None:
    match manner:
        case "wait":
            await asyncio.sleep(seconds)
        case "long":
            try:
                await asyncio.sleep(seconds)
            except asyncio.CancelledError:
                ledger.write("cancelled", job_id)
                raise
        case "stubborn":
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                try:
                    await asyncio.sleep(0.05)
                except asyncio.CancelledError:
                    # It will not hear of it; but it lets others have their turn.
                    time.sleep(0.001)  # noqa: ASYNC251
        case "block":
            time.sleep(seconds)  # noqa: ASYNC251  # that is what is wrong with it
        case "hog":
            # Longer than the worker keeps leases for a loop that does not answer: what it had will run elsewhere.
            ledger.write("disturbed", process=os.getpid())
            time.sleep(seconds)  # noqa: ASYNC251
            ledger.write("disturbed", process=os.getpid())
        case _:
            raise ValueError(f"no such manner: {manner}")


def homes(folder: Path) -> dict[int, str]:
    """Where each process of a run has the library from."""
    return {
        int(process): home
        for process, home in (line.split(" ", 1) for line in (folder / "homes").read_text().splitlines())
    }


def _is_first(folder: Path, job_id: str) -> bool:
    try:
        (folder / f"run-{job_id}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


# Clocks.


def _wear_clock(path: Path) -> None:
    """From here on this process's wall clock is wrong by what ``path`` says at that moment; intervals are right, as
    they are where an operator sets the clock.
    """

    def wrong(real: Callable[[], Any], unit: int) -> Callable[[], Any]:
        return lambda: real() + type(real())(float(path.read_text(encoding="ascii")) * unit)

    time.time = wrong(time.time, 1)
    time.time_ns = wrong(time.time_ns, 10**9)


# What they tell.


@dataclass(frozen=True, slots=True)
class Line:
    """A warning of a worker: the event's name, which process said so and when (monotonic), and its fields."""

    event: str
    process: int
    at: float
    fields: dict[str, Any]


class _Told(logging.Handler):
    """Writes the library's warnings into one file for all processes, a line a write."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger
        self._file = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._plain = set(vars(logging.makeLogRecord({})))

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in vars(record).items() if name not in self._plain}
        line = [record.getMessage(), os.getpid(), time.monotonic(), fields]
        os.write(self._file, (json.dumps(line, default=str) + "\n").encode())
        if record.getMessage() == "job.recovered":
            self._ledger.write("recovered", fields["job_id"])


def told(folder: Path, event: str) -> list[Line]:
    """What the workers of a run have said under this name."""
    path = folder / "told"
    # The last one may be on its way into the file.
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
    return [line for line in (Line(*json.loads(each)) for each in lines) if line.event == event]


# What they hold.


@dataclass(frozen=True, slots=True)
class Vitals:
    """What a process held at a moment (monotonic): resident memory in kB, open files, tasks of its event loop."""

    process: int
    at: float
    memory: int
    files: int
    tasks: int


def vitals() -> Vitals:
    """Of this process, now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return Vitals(
        process=os.getpid(),
        at=time.monotonic(),
        memory=pages * os.sysconf("SC_PAGE_SIZE") // 1024,
        files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        tasks=len(asyncio.all_tasks()),
    )


async def write_vitals() -> None:
    """Write them down every second, if the environment asks for it."""
    if VITALS not in os.environ:
        return
    file = os.open(os.environ[VITALS], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    while True:
        seen = vitals()
        os.write(file, f"{seen.process} {seen.at} {seen.memory} {seen.files} {seen.tasks}\n".encode())
        await asyncio.sleep(_VITALS_EVERY)


def read_vitals(path: Path) -> list[Vitals]:
    """All that was written."""
    found: list[Vitals] = []
    for line in path.read_text(encoding="ascii").splitlines():
        process, at, memory, files, tasks = line.split()
        found.append(Vitals(int(process), float(at), int(memory), int(files), int(tasks)))
    return found
