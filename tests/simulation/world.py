"""One simulated history: processes, a faulty network, jobs of all kinds, and quiet in the end. All from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import pkgutil
import random
from collections import defaultdict
from collections.abc import Generator, Sequence
from types import ModuleType
from unittest import mock

from jobqueue import (
    GroupLimits,
    Job,
    JobDefaults,
    Keep,
    Limits,
    Queue,
    Rate,
    RateLimited,
    Registry,
    Retry,
    Snooze,
    worker,
)
from jobqueue.backends import MemoryBackend
from jobqueue.backends.operations import SetLimits
from jobqueue.errors import BackendUnavailable
from jobqueue.model.events import Event, EventType
from jobqueue.model.record import JobRecord, JobState
from jobqueue.running import CURRENT
from tests.simulation.invariants import Broken, Watch, check_end, check_rate
from tests.simulation.loop import Standstill, run_virtually
from tests.simulation.process import Process, SimulatedWorker, VirtualClock, Weather, wired

QUEUE = "simulated"
LEASE = 3.0
ATTEMPTS = 3
MAX_STALLS = 3
QUIET_SECONDS = 3600.0
"""By then everything has come to an end, or never will."""

_POISONED = ("one poisonous job", "poisonous jobs")
"""Histories in which nothing else goes wrong, so that nobody else may be buried."""
_KINDS = ("short", "long", "fails", "flaky", "snoozes", "poison")


class World:
    """Everything of one history. ``trace`` is what happened, line by line; the same seed gives the same. In a
    ``limited`` one jobs come in groups, and there are limits. ``kind`` is drawn where it is not given.
    """

    def __init__(self, seed: int, *, limited: bool = False, kind: str = "") -> None:
        self.seed = seed
        # Drawn apart, so that the histories without limits stay what they were.
        self._luck = random.Random(seed) if limited else None
        self.trace: list[str] = []
        self.chance = random.Random(seed)
        self._runs: list[tuple[str, int]] = []
        self._acknowledged: set[str] = set()
        self._kinds: dict[str, str] = {}
        self._processes: list[Process] = []
        self._workers: dict[str, SimulatedWorker] = {}
        self._born = 0
        self._kind_of_history = self.chance.choice(("mixed", "mixed", "mixed", "one poisonous job", "lost replies"))
        if random.Random(f"late answers {seed}").random() < 0.2:
            # Drawn apart for the same reason.
            self._kind_of_history = "late answers"
        elif random.Random(f"poisonous jobs {seed}").random() < 0.15:
            self._kind_of_history = "poisonous jobs"
        self._kind_of_history = kind or self._kind_of_history

    def run(self) -> None:
        """Raises Broken where something that must hold does not."""
        # The library draws pauses from the one generator of its process.
        random.seed(self.seed)
        try:
            run_virtually(self._history())
        except Standstill:
            raise Broken("everyone waits for ever") from None

    def _tell(self, line: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():9.4f} {line}")

    async def _history(self) -> None:
        with _virtual_stopwatches():
            self._backend = MemoryBackend(clock=VirtualClock())
            self._watch = Watch(self._backend, QUEUE)
            self._weather = self._drawn_weather()
            if self._luck is not None:
                await self._backend.control(QUEUE, SetLimits(_drawn_limits(self._luck)))
            await asyncio.gather(*(self._start_worker() for _ in range(self.chance.randint(1, 3))))
            watching = asyncio.create_task(self._look())
            troubles = asyncio.create_task(self._troubles())
            await self._produce()
            await troubles
            self._weather.down, self._weather.lost_requests, self._weather.lost_replies = False, 0, 0
            await self._until_all_ended()
            await asyncio.gather(*(worker.stop(grace=60) for worker in self._workers.values()))
            watching.cancel()
            await self._judge()
            for process in self._processes:
                process.over = True

    def _drawn_weather(self) -> Weather:
        weather = Weather(self.chance, latency=self.chance.choice((0.0005, 0.005, 0.05)))
        if self._kind_of_history == "late answers":
            weather.late_replies = 0.5
            return weather
        if self._kind_of_history not in _POISONED:
            weather.lost_replies = self.chance.choice((0.01, 0.05))
        if self._kind_of_history == "mixed":
            weather.lost_requests = self.chance.choice((0, 0.02))
            weather.unnoticed = self.chance.choice((0, 0.5))
            weather.late_requests = self.chance.choice((0, 0.02))
        return weather

    async def _look(self) -> None:
        while True:
            self._watch.look()
            await asyncio.sleep(0.01)

    # Workers.

    async def _start_worker(self) -> None:
        self._born += 1
        process = Process(f"p{self._born}", self._weather, speed=self.chance.choice((1.0, 1.0, 0.8, 1.25)))
        self._processes.append(process)
        queue = Queue(QUEUE, backend=wired(self._backend, process), defaults=self._defaults())
        worker = SimulatedWorker(
            queue,
            registry=self._registry(process),
            concurrency=self.chance.choice((1, 2, 5)),
            lease=LEASE,
            max_stalls=MAX_STALLS,
            clock=VirtualClock(speed=process.speed, ahead=self.chance.uniform(-3600, 3600)),
        )
        worker.process = process
        worker.id = process.name
        self._tell(f"{process.name} starts")
        await worker.start()
        self._workers[process.name] = worker

    def _defaults(self) -> JobDefaults:
        return JobDefaults(retry=Retry(attempts=ATTEMPTS, delay=0.5), keep=Keep(completed=None))

    def _registry(self, process: Process) -> Registry:
        registry = Registry()

        @registry.processor("work")
        async def work(job: Job[int]) -> int:
            await process.breathe()
            attempt = CURRENT.get()
            token = attempt.token if attempt else 0
            self._runs.append((job.id, token))
            self._tell(f"{process.name} runs {job.id} ({self._kinds[job.id]}) under {token}")
            await self._behave(process, job)
            await process.breathe()
            return token

        return registry

    async def _behave(self, process: Process, job: Job[int]) -> None:
        match self._kinds[job.id]:
            case "long":
                await asyncio.sleep(self.chance.uniform(1, 2.5 * LEASE))
            case "fails":
                raise ValueError("it always does")
            case "flaky" if job.attempt == 1:
                raise ValueError("the first time")
            case "snoozes" if self._kind_of_history == "late answers":
                # Ends, and begins again, while somebody waits for an answer about it.
                await asyncio.sleep(self.chance.uniform(0, 0.5))
                if self.chance.random() < 0.8:
                    raise Snooze(self.chance.uniform(0.01, 0.1))
            case "snoozes" if self.chance.random() < 0.5:
                raise Snooze(self.chance.uniform(0.1, 2))
            case "poison":
                self._lose(process)
                await process.nevermore()
            case "short" if self._luck is not None and self._luck.random() < 0.05:
                raise RateLimited(self._luck.uniform(0.1, 2))
            case _:
                await asyncio.sleep(self.chance.uniform(0, 0.02))

    def _lose(self, process: Process) -> None:
        self._tell(f"{process.name} dies")
        process.die()
        self._workers.pop(process.name, None)
        asyncio.get_running_loop().call_later(
            self.chance.uniform(0, 2), lambda: asyncio.ensure_future(self._start_worker())
        )

    # Troubles.

    async def _troubles(self) -> None:
        for _ in range(self.chance.choice((1, 2, 8)) if self._kind_of_history == "mixed" else 0):
            await asyncio.sleep(self.chance.expovariate(1 / 2))
            await self._one_trouble()

    async def _one_trouble(self) -> None:
        alive = [self._workers[name].process for name in sorted(self._workers)]
        if not alive:
            return
        process = self.chance.choice(alive)
        seconds = self.chance.uniform(0.1, 3) * LEASE
        match self.chance.choice(("crash", "stop", "block", "outage", "roll")):
            case "crash":
                self._lose(process)
            case "stop":
                self._tell(f"{process.name} is stopped for {seconds:.2f}")
                process.stop()
                await asyncio.sleep(seconds)
                process.wake()
            case "block":
                self._tell(f"{process.name}'s loop is blocked for {seconds:.2f}")
                process.block()
                await asyncio.sleep(seconds)
                process.wake()
            case "outage":
                self._tell(f"the backend is away for {seconds:.2f}")
                self._weather.down = True
                await asyncio.sleep(seconds)
                self._weather.down = False
            case _:
                self._tell(f"{process.name} is told to stop")
                worker = self._workers.pop(process.name)
                await worker.stop(grace=self.chance.choice((0, 1)))
                await self._start_worker()

    # Producing.

    async def _produce(self) -> None:
        process = Process("producer", self._weather)
        self._processes.append(process)
        queue = Queue(QUEUE, backend=wired(self._backend, process), defaults=self._defaults())
        poisonous = self._kind_of_history == "mixed" and self.chance.random() < 0.2
        kinds = _KINDS if poisonous else _KINDS[:-1]
        count = self.chance.randint(5, 30)
        the_poisonous = {self.chance.randrange(count)} if self._kind_of_history == "one poisonous job" else set[int]()
        if self._kind_of_history == "poisonous jobs":
            the_poisonous = set(self.chance.sample(range(count), min(count, self.chance.randint(2, 6))))
        for number in range(count):
            job_id = f"j{number}"
            weights = (2, 1, 1, 1, 8) if self._kind_of_history == "late answers" else (8, 3, 1, 2, 2, 1)
            drawn = self.chance.choices(kinds, weights[: len(kinds)])[0]
            self._kinds[job_id] = "poison" if number in the_poisonous else drawn
            await self._enqueue(queue, job_id, number)
            if self.chance.random() < 0.3:
                await asyncio.sleep(self.chance.expovariate(2))

    async def _enqueue(self, queue: Queue, job_id: str, number: int) -> None:
        delay = self.chance.choice((0, 0, 0, 0.5))
        group = None if self._luck is None else self._luck.choice((None, "a", "a", "b", "c"))
        while True:
            priority = self.chance.randint(1, 4)
            try:
                await queue.enqueue("work", number, job_id=job_id, delay=delay, priority=priority, group=group)
            except BackendUnavailable:
                await asyncio.sleep(0.1)
            else:
                self._acknowledged.add(job_id)
                return

    # The end.

    def _records(self) -> dict[str, JobRecord]:
        return self._backend._shelf(QUEUE).jobs  # pyright: ignore[reportPrivateUsage]

    def _outbox(self) -> Sequence[object]:
        return self._backend._shelf(QUEUE).outbox  # pyright: ignore[reportPrivateUsage]

    async def _until_all_ended(self) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + QUIET_SECONDS
        # A letter is on its way for a moment, or until the next worker has started.
        while not all(record.state.finished for record in self._records().values()) or self._outbox():
            if loop.time() > give_up:
                left = {
                    job_id: str(record.state) for job_id, record in self._records().items() if not record.state.finished
                }
                raise Broken(f"nothing more happens to {left or self._outbox()}")
            await asyncio.sleep(1)

    async def _judge(self) -> None:
        self._watch.look()
        page = await self._backend.events(QUEUE, "0", 0)
        events = list(page.events)
        while page.events:
            page = await self._backend.events(QUEUE, page.cursor, 0)
            events += page.events
        records = self._records()
        if self._luck is not None:
            self._watch.nothing_is_left_of_groups()
            await self._check_rates(events)
        check_end(
            acknowledged=self._acknowledged,
            records=records,
            events=events,
            runs=self._runs,
            attempts=ATTEMPTS,
            max_stalls=MAX_STALLS,
        )
        letters = sum((await self._backend.status("dead-letter")).counts.values())
        failed = sum(record.state is JobState.FAILED for record in records.values())
        if letters != failed:
            raise Broken(f"{failed} jobs failed and left {letters} letters")
        for job_id, kind in self._kinds.items():
            record = records.get(job_id)
            if record is None:
                continue
            wanted = {"fails": JobState.FAILED, "poison": JobState.FAILED}.get(kind, JobState.COMPLETED)
            lost = record.error is not None and record.error.type == "WorkerLost"
            if record.state is not wanted and not lost:
                raise Broken(f"{job_id}, which is {kind}, is {record.state}")
            if lost and kind != "poison" and self._kind_of_history in _POISONED:
                raise Broken(f"{job_id} was buried beside a poisonous job")
            if record.stalls and self._kind_of_history == "lost replies" and not self._weather.extensions_lost:
                raise Broken(f"{job_id} lost its lease with a reply")
            if record.stalls and self._kind_of_history == "late answers":
                raise Broken(f"{job_id} lost its lease to an answer that came late")
            tokens = [token for run, token in self._runs if run == job_id]
            if record.state is JobState.COMPLETED and record.result != b"%d" % max(tokens):
                raise Broken(f"{job_id} was completed under {record.result}, and had run under {tokens}")

    async def _check_rates(self, events: Sequence[Event]) -> None:
        limits = await self._backend.limits(QUEUE)
        by_group: dict[str, list[int]] = defaultdict(list)
        for event in events:
            if event.type is EventType.STARTED:
                by_group[self._records()[event.job_id].group].append(event.at_ms)
        check_rate(limits.rate, [at_ms for starts in by_group.values() for at_ms in starts])
        for group, starts in by_group.items():
            check_rate(limits.groups.rate if group else None, starts)


def _drawn_limits(luck: random.Random) -> Limits:
    return Limits(
        rate=luck.choice((None, Rate(3, per=1), Rate(2, per=5, burst=1))),
        concurrency=luck.choice((None, 1, 3)),
        types=luck.choice(({}, {}, {"work": 2})),
        groups=GroupLimits(rate=luck.choice((None, Rate(2, per=2))), concurrency=luck.choice((None, 1, 2))),
    )


@contextlib.contextmanager
def _virtual_stopwatches() -> Generator[None]:
    now = asyncio.get_running_loop().time
    with contextlib.ExitStack() as stack:
        for module in _with_stopwatches():
            stack.enter_context(mock.patch.object(module, "perf_counter", now))
        yield


@functools.cache
def _with_stopwatches() -> Sequence[ModuleType]:
    """Whatever of a worker looks at the real time, and would make a history depend on it."""
    names = [f"{worker.__name__}.{module.name}" for module in pkgutil.iter_modules(worker.__path__)]
    found = [module for module in map(importlib.import_module, names) if hasattr(module, "perf_counter")]
    assert found
    return found
