"""F24, the soak: ``make soak MINUTES=120``, or ``python -m tests.faults.soak --minutes 5 --seed 7 --report soak.json``.

Short jobs, hundreds a second, while one fault after the other strikes by chance: workers are killed and told to stop,
the server is killed and started again, connections are reset, replies are dropped, everything is slow. All the while
the processes write down what they hold: resident memory, open files and tasks, of the producer and of the workers that
live through it all; and the server's keys are counted. In the end every acknowledged job must have run, and nothing may
have grown with time.

How growth is judged: a straight line through the samples after the first third of the run (a warm-up), at least
``SETTLED`` seconds. Its rise over the judged time must stay below what is allowed for that time, plus what such a
sample wavers by anyhow.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis.asyncio

from jobqueue import Queue, connect
from jobqueue.backends.redis import keys
from tests.faults import manners
from tests.faults.crew import Outfit, WorkerProcesses
from tests.faults.draining import drained
from tests.faults.judge import Judgement, judge
from tests.faults.ledger import Ledger, entries
from tests.faults.parts import ROOT, DurableServer
from tests.faults.proxy import Proxy
from tests.faults.soak_producer import BATCH
from tests.faults.worker_process import QUEUE

_LOOKS = 30
"""At the server, at the least: in a short run they come more often than every second."""
_RETRY = 0.1
SETTLED = 5.0
KEPT = 1000
"""Completed jobs that the queue remembers."""
MOST_JOBS = 1_000_000
_VETERANS = 2
"""Workers that are spared, so that something lives long enough to be seen growing."""


@dataclass(frozen=True, slots=True)
class Bound:
    """How much a series may rise: ``hourly``, and by ``wavering`` however short the run."""

    hourly: float
    wavering: float


BOUNDS = {
    "memory": Bound(1024, 3 * 1024),
    "files": Bound(0, 8),
    "tasks": Bound(0, 8),
    "keys": Bound(0, 500),
}
"""Memory in kB. Files and tasks come and go with connections; keys with how many jobs wait at the moment of a look."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One series: what it began and ended with, its slope an hour, and its rise over the time that was judged."""

    what: str
    of: str
    first: float
    last: float
    most: float
    hourly: float
    rise: float
    allowed: float

    @property
    def sound(self) -> bool:
        """Whether it stayed within its bound."""
        return self.rise <= self.allowed

    def __str__(self) -> str:
        verdict = "" if self.sound else "  NOT SOUND"
        return (
            f"  {self.of + ' ' + self.what:26} {self.first:10.0f} {self.last:10.0f} {self.most:10.0f} "
            f"{self.hourly:+12.1f} {self.rise:+10.1f} {self.allowed:10.1f}{verdict}"
        )


@dataclass(frozen=True, slots=True)
class SoakReport:
    """What came of it."""

    seed: int
    minutes: float
    jobs: int
    struck: dict[str, int]
    judgement: Judgement
    growth: tuple[Growth, ...]
    complaints: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing grown."""
        found = self.judgement
        return not (found.lost or found.unexpected or self.complaints) and all(each.sound for each in self.growth)

    def __str__(self) -> str:
        verdict = "sound" if self.sound else "NOT SOUND"
        found, faults = self.judgement, ", ".join(f"{count} {name}" for name, count in self.struck.items())
        lines = [
            f"F24 seed {self.seed}: {verdict}; {self.minutes:g} minutes, {self.jobs} jobs",
            f"  {len(found.lost)} lost, {len(found.unexpected)} unexpected, {len(found.buried)} buried",
            f"  {found.repeated} repeated",
            f"  {faults}",
            f"  {'':26} {'first':>10} {'last':>10} {'most':>10} {'an hour':>12} {'rise':>10} {'allowed':>10}",
            *(str(each) for each in self.growth),
            *(f"  {complaint}" for complaint in self.complaints),
        ]
        return "\n".join(lines)


class Soak:
    """One run's parts."""

    def __init__(self, chance: random.Random, server: DurableServer, proxy: Proxy, workers: WorkerProcesses) -> None:
        self.chance, self.server, self.proxy, self.workers = chance, server, proxy, workers
        self.complaints: list[str] = []
        self.struck: dict[str, int] = {}
        self.keys: list[tuple[float, float]] = []
        self.over = asyncio.Event()

    async def strike(self, until: float, every: float) -> None:
        """One fault after the other, until then."""
        faults: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
            "workers killed": self._kill_worker,
            "workers stopped": self._stop_worker,
            "server kills": self._kill_server,
            "resets": self._reset,
            "times of dropped replies": self._drop,
            "times of latency": self._slow,
        }
        names = list(faults)
        while time.monotonic() < until:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * every)
            name = self.chance.choice(names)
            await faults[name]()
            self.struck[name] = self.struck.get(name, 0) + 1

    def _mortal(self) -> int:
        """The place of any worker but the veterans, who are the first."""
        return self.chance.randrange(_VETERANS, len(self.workers.processes))

    async def _kill_worker(self) -> None:
        await asyncio.to_thread(self.workers.kill, self._mortal())

    async def _stop_worker(self) -> None:
        await self.workers.all_ready()
        code, _ = await asyncio.to_thread(self.workers.terminate, self._mortal())
        if code != 0:
            self.complaints.append(f"a worker that was told to stop ended with {code}")

    async def _kill_server(self) -> None:
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(self.chance.uniform(0, 0.5))
        await asyncio.to_thread(self.server.start)

    async def _reset(self) -> None:
        self.proxy.reset()

    async def _drop(self) -> None:
        self.proxy.share = 0.02
        await asyncio.sleep(self.chance.uniform(0.2, 1))
        self.proxy.share = 0

    async def _slow(self) -> None:
        self.proxy.delay = self.chance.choice((0.001, 0.01, 0.05))
        await asyncio.sleep(self.chance.uniform(0.2, 2))
        self.proxy.delay = 0

    async def watch(self, every: float) -> None:
        """Look at the server every so many seconds, until it is ``over``; at once again when it is up, if it was down.

        Not until it is cancelled: under Python 3.11 redis-py can swallow that.
        """
        async with redis.asyncio.Redis.from_url(self.server.url) as client:  # pyright: ignore[reportUnknownMemberType]
            while not self.over.is_set():
                try:
                    count = float(await client.dbsize())  # pyright: ignore[reportUnknownMemberType]
                    prefix = keys.prefix("jobqueue", QUEUE)
                    unfinished = [client.zcard(prefix + state) for state in ("waiting", "active")]
                    # What waits just now is the producer's doing, and one key each.
                    self.keys.append((time.monotonic(), count - sum(await asyncio.gather(*unfinished))))
                except redis.RedisError:
                    # The server is down just now.
                    await asyncio.sleep(min(_RETRY, every))
                else:
                    await asyncio.sleep(every)


def grown(what: str, of: str, samples: Sequence[tuple[float, float]]) -> Growth | None:
    """Judge one series of (seconds, amount); None where it is too short to say anything."""
    if len(samples) < 3:
        return None
    began, ended = samples[0][0], samples[-1][0]
    warm = began + max(SETTLED, (ended - began) / 3)
    judged = [sample for sample in samples if sample[0] >= warm]
    if len(judged) < 3:
        return None
    slope = statistics.linear_regression([at for at, _ in judged], [amount for _, amount in judged]).slope
    seconds = judged[-1][0] - judged[0][0]
    bound = BOUNDS[what]
    return Growth(
        what, of,
        first=judged[0][1], last=judged[-1][1], most=max(amount for _, amount in judged),
        hourly=slope * 3600, rise=slope * seconds, allowed=bound.hourly * seconds / 3600 + bound.wavering,
    )  # fmt: skip


def _series(vitals: Sequence[manners.Vitals], of: str) -> list[Growth]:
    found = [
        grown(what, of, [(each.at, getattr(each, what)) for each in vitals]) for what in ("memory", "files", "tasks")
    ]
    return [each for each in found if each is not None]


async def soak(minutes: float, seed: int, *, every: float = 2, lease: float = 5) -> SoakReport:
    """Soak for so long; ``every`` so many seconds a fault begins."""
    chance = random.Random(seed)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="jq-soak-")))
        server = DurableServer(folder)
        await asyncio.to_thread(server.start)
        stack.callback(server.end)
        proxy = await stack.enter_async_context(Proxy(server.port, chance))
        path, vitals = folder / "ledger", folder / "vitals"
        ledger = Ledger(path)
        stack.callback(ledger.close)
        outfit = Outfit({manners.VITALS: str(vitals), manners.KEEP: str(KEPT)})
        workers = WorkerProcesses(proxy.url, ledger, path, lease=lease, longest=0.005, grace=5, outfits=[outfit])
        stack.callback(workers.end)
        for _ in range(_VETERANS + 2):
            workers.add()
        await workers.all_ready()
        veterans = [process.pid for process in workers.processes[:_VETERANS]]
        producer = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.faults.soak_producer", proxy.url, str(path), str(MOST_JOBS),
            cwd=ROOT, env=outfit.whole_environment,
        )  # fmt: skip
        run = Soak(chance, server, proxy, workers)
        watching = asyncio.create_task(run.watch(min(1.0, minutes * 60 / _LOOKS)))
        # Until it is connected the producer does not try again, by design.
        await _ready(path, producer.pid)
        await run.strike(time.monotonic() + minutes * 60, every)
        producer.terminate()
        if await producer.wait():
            run.complaints.append(f"the producer ended with {producer.returncode}")
        run.over.set()
        await watching
        await workers.all_ready()
        async with connect(server.url, fallback="never") as backend:
            queue = Queue(QUEUE, backend=backend)
            await drained(queue)
            buried = [job.id for job in await queue.jobs("failed", limit=1000)]
        gone = [process.returncode for process in workers.processes[:_VETERANS] if process.poll() is not None]
        if gone:
            run.complaints.append(f"workers that nobody touched ended with {gone}")
        codes = await asyncio.to_thread(workers.end)
        if set(codes) != {0}:
            run.complaints.append(f"workers ended with {codes}")
        found = entries(path)
        # Only the last thousand are kept, so a job's end is known from the ledger: it is written before the settlement.
        ended = {entry.job for entry in found if entry.deed == "ended"}
        jobs = sum(entry.deed == "acknowledged" for entry in found)
        attempted = {f"soak-{number}" for number in range(jobs + BATCH)}
        judgement = judge(found, ended, attempted, buried=buried, outages=True)
        seen = manners.read_vitals(vitals)
    growth = [
        *(
            each
            for number, pid in enumerate(veterans)
            for each in _series([sample for sample in seen if sample.process == pid], f"worker {number}")
        ),
        *_series([sample for sample in seen if sample.process == producer.pid], "producer"),
    ]
    stored = grown("keys", "server", run.keys)
    if stored is not None:
        growth.append(stored)
    return SoakReport(seed, minutes, jobs, run.struck, judgement, tuple(growth), tuple(run.complaints))


async def _ready(path: Path, process: int) -> None:
    # Another process writes the file: there is nothing here that could be waited on.
    while not any(entry.deed == "ready" and entry.process == process for entry in entries(path)):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="how long (10)")
    parser.add_argument("--seed", type=int, help="repeat a run's choices; drawn, and printed, without it")
    parser.add_argument("--every", type=float, default=2, help="seconds between two faults (2)")
    parser.add_argument("--report", type=Path, default=Path("soak.json"), help="where the JSON goes (soak.json)")
    given = parser.parse_args()
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    print(f"F24: {given.minutes:g} minutes, seed {seed}.", file=sys.stderr, flush=True)
    report = asyncio.run(soak(given.minutes, seed, every=given.every))
    given.report.write_text(json.dumps({**asdict(report), "sound": report.sound}, indent=2) + "\n", encoding="utf-8")
    print(report)
    if not report.sound:
        raise SystemExit("jobs were lost or invented, or something grew: see above")


if __name__ == "__main__":
    main()
