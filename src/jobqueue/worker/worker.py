"""Worker: a process's consumer, one lane for each queue.

1. ``start``: open the backends and the lifespan's resources, start the lanes' slots, pumps and keepers.
2. Work, until told to stop.
3. ``stop``: claim nothing more; give running jobs their grace period; cancel what still runs and hand it back,
   without an attempt spent; hand in what is finished; leave the registry of workers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import Any, Self

import anyio

from jobqueue.backends.protocol import CALLERS, Backend, Presence
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.declarations import DeclaredSchedule
from jobqueue.errors import BackendError, InvalidOption, JobQueueError
from jobqueue.logs import JOB_STUBBORN, WORKER_STARTED, WORKER_STOPPED, WORKER_STOPPING, capture, emit
from jobqueue.model.record import JobState
from jobqueue.model.times import Seconds, span_ms
from jobqueue.queue import Queue
from jobqueue.registry import DEFAULT_REGISTRY, Registry
from jobqueue.worker.caller import Caller
from jobqueue.worker.exchange import Pump
from jobqueue.worker.executor import Executor, Middleware
from jobqueue.worker.lane import Lane
from jobqueue.worker.leases import Apart, LeaseKeeper, OwnThread
from jobqueue.worker.listening import Listening
from jobqueue.worker.quarantine import Dock
from jobqueue.worker.rooms import Rooms
from jobqueue.worker.schedules import FiringRounds
from jobqueue.worker.trial import Trial
from jobqueue.worker.upkeep import UpkeepRounds
from jobqueue.worker.waker import Waker

MOST_SLOTS = 10_000
_PUMPS = CALLERS - 1
_CANCEL_SECONDS = 2.0
"""How long a cancelled processor may take to end before it is called stubborn."""
_SETTLE_SECONDS = 5.0
_HURRIED_SECONDS = 0.25
"""What each of the above comes to after a second signal."""
_LAST_SECONDS = 0.9
"""From a second signal to the end of the process, if something in it does not end by itself."""
_OTHERS_PAUSE = 0.02

Lifespan = Callable[["Worker"], AbstractAsyncContextManager[Any]]


class Worker:
    """Runs the jobs of one or more queues.

        async with Worker(tickets, concurrency=50):
            ...

    ``concurrency`` is the number of jobs run at once for each queue, or a mapping by queue name (or Queue).
    ``registry`` holds the processors (default: those of the bare ``@processor``). ``lease`` is how long, in
    seconds, a job stays this worker's after its last sign of life; ``grace`` how long running jobs may take to
    end at shutdown. ``lifespan`` is called with the worker and gives an async context manager; what it yields
    is ``job.resources``. ``middleware`` wraps every processor, the first outermost. A job that has taken down
    ``max_stalls`` workers is failed; on its last chance, from two lost workers on, it runs alone. ``name`` is for
    people. With ``prefetch`` a worker whose jobs are all short (below
    25 ms) claims up to 100 more than it has slots for, so that no slot waits for the server; one that has no slot
    after 50 ms goes back to the front of the queue. Raises InvalidOption.
    """

    def __init__(
        self,
        *queues: Queue,
        concurrency: int | Mapping[str, int] | Mapping[Queue, int] | Mapping[str | Queue, int] = 10,
        registry: Registry = DEFAULT_REGISTRY,
        lease: Seconds = 15,
        grace: Seconds = 30,
        lifespan: Lifespan | None = None,
        middleware: Sequence[Middleware] = (),
        max_stalls: int = 3,
        name: str = "",
        prefetch: bool = True,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        if not queues:
            raise InvalidOption("a worker needs at least one queue")
        for queue in queues:
            if not isinstance(queue, Queue):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidOption(
                    f"a worker takes queues, one after the other: Worker(tickets, mails), not {queue!r:.60}"
                )
        if len({queue.name for queue in queues}) < len(queues):
            raise InvalidOption("a worker takes each queue once")
        if max_stalls < 1:
            raise InvalidOption(f"max_stalls must be from 1, not {max_stalls!r}")
        self.queues = queues
        self.name = name
        self.id = _new_id()
        self._process = os.getpid()
        self._slots = _slots(queues, concurrency)
        self._registry = registry
        self._lease = span_ms("lease", lease, zero=False) / 1000
        self._grace = span_ms("grace", grace) / 1000
        self._lifespan = lifespan
        self._middleware = tuple(middleware)
        self._max_stalls = max_stalls
        self._prefetch = prefetch
        self._clock = clock
        self._dock = Dock()
        self._lanes: list[Lane] = []
        self._rounds: list[UpkeepRounds] = []
        self._firing: list[FiringRounds] = []
        self._declared: dict[str, list[DeclaredSchedule]] = {}
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._last_resort: threading.Timer | None = None
        self._resisted = False

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def running(self) -> bool:
        """Whether the worker has been started and not stopped."""
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        """Start; returns when jobs are being claimed and the code's schedules are put.

        Raises what opening a backend or the lifespan raises, and ConfigurationError for a schedule without a queue.
        """
        if self._task is not None:
            raise JobQueueError("this worker has been started already; make a new one")
        if self._process != os.getpid():
            # It was made before a fork: the same object starts in the parent, or in another child, too.
            self.id, self._process = _new_id(), os.getpid()
        self._declared = {queue.name: self._registry.declarations.of(queue, self.queues) for queue in self.queues}
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._live(started), name=f"jobqueue worker {self.id}")
        done, _ = await asyncio.wait({started, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if self._task in done:
            started.cancel()
            await self._task

    async def stop(self, *, grace: Seconds | None = None) -> None:
        """Stop claiming, wait for running jobs for the grace period (or ``grace`` seconds), hand the rest back."""
        if grace is not None:
            self._grace = span_ms("grace", grace) / 1000
        self._stop.set()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def run(self, *, signals: bool = True) -> None:
        """Work until SIGTERM or SIGINT, or until ``stop()``.

        A second signal cancels running jobs at once and hands them back; if this does not end within a second, because
        a processor swallows its cancellation or runs in a thread, the signal ends the process. Afterwards the process's
        signal handlers are what they were (the default, where an event loop had set them); ``signals=False`` leaves
        them alone. Raises InvalidOption in a thread that signals do not reach.
        """
        loop = asyncio.get_running_loop()
        if signals and threading.current_thread() is not threading.main_thread():
            raise InvalidOption("signals reach the main thread only: run(signals=False), and stop() to end it")
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT) if signals}
        for number in handlers:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            if self._task is None:
                await self.start()
            if self._task is not None:
                await asyncio.shield(self._task)
        except asyncio.CancelledError:
            await self.stop()
            raise
        finally:
            for number, before in handlers.items():
                loop.remove_signal_handler(number)
                # One that was not made in Python cannot be put back, nor one of a loop; what resists is to be ended.
                if before is not None and not _is_of_a_loop(before) and not self._resisted:
                    signal.signal(number, before)
            if self._last_resort is not None and not self._resisted:
                self._last_resort.cancel()

    async def drain(self) -> None:
        """Run until nothing is waiting or active in any of the queues, then return (and stop, if this call
        started the worker).

        Delayed jobs that are not yet due are left alone; so are a paused queue and paused groups. What a rate holds
        back is waited for.
        """
        own = self._task is None
        if own:
            await self.start()
        for lane in self._lanes:
            lane.gathering.hurry()
        try:
            look: bool | None = True
            while look is not None:
                look = await self._left(look=look)
        finally:
            if own:
                await self.stop()

    async def _left(self, *, look: bool) -> bool | None:
        """Whether something waits to be claimed; None when all is drained. ``look`` for it, or only wait for it."""
        for lane, rounds in zip(self._lanes, self._rounds, strict=True):
            if look:
                lane.look_now()
            quiet = asyncio.ensure_future(lane.onlookers.until(lambda lane=lane: lane.is_quiet))
            await asyncio.wait({quiet, *([self._task] if self._task else [])}, return_when=asyncio.FIRST_COMPLETED)
            if not quiet.done():
                quiet.cancel()
                raise JobQueueError("the worker ended while it was being drained")
            await rounds.empty_outbox()
        for lane in self._lanes:
            status = await lane.backend.status(lane.queue.name)
            active = status.counts[JobState.ACTIVE]
            # What no time and no job's end would let go belongs to groups that are paused.
            idle = lane.crowded and not lane.resting and not active
            if not status.paused and not idle and (status.counts[JobState.WAITING] or active):
                if (active or lane.resting) and not lane.running:
                    # Another worker runs it, or a limit holds it: there is nothing here that could be waited on.
                    await asyncio.sleep(_OTHERS_PAUSE)
                return status.counts[JobState.WAITING] > 0
        return None if all(lane.is_quiet for lane in self._lanes) else True

    def _on_signal(self, number: signal.Signals) -> None:
        if self._stop.is_set():
            self._hurry.set()
            # From a thread, because whatever hinders the end may block the loop as well.
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
            self._last_resort = threading.Timer(_LAST_SECONDS, os.kill, (os.getpid(), number))
            self._last_resort.daemon = True
            self._last_resort.start()
        self._stop.set()

    async def _live(self, started: asyncio.Future[None]) -> None:
        names = [queue.name for queue in self.queues]
        async with AsyncExitStack() as stack:
            backends = [await queue.backend() for queue in self.queues]
            resources = None
            if self._lifespan is not None:
                resources = await stack.enter_async_context(self._lifespan(self))
            stack.enter_context(capture())
            async with anyio.create_task_group() as tasks:
                for queue, backend in zip(self.queues, backends, strict=True):
                    tasks_of_lane = self._lane(queue, backend, resources)
                    tasks_of_lane.start(tasks)
                tasks.start_soon(LeaseKeeper(self._lanes, self._lease, self._beside()).run, name="jobqueue leases")
                for lane, rounds in zip(self._lanes, self._rounds, strict=True):
                    self._start_duties(tasks, lane, rounds)
                await self._begin_schedules()
                emit(logging.INFO, WORKER_STARTED, worker=self.id, queues=names)
                started.set_result(None)
                await self._stop.wait()
                emit(logging.INFO, WORKER_STOPPING, worker=self.id, queues=names)
                await self._wind_down()
                tasks.cancel_scope.cancel()
            emit(logging.INFO, WORKER_STOPPED, worker=self.id, queues=names)

    async def _begin_schedules(self) -> None:
        async def begin(lane: Lane, firing: FiringRounds) -> None:
            try:
                await firing.begin()
            except BackendError as error:
                # It is tried again, and nothing that works by jobs has to wait for it.
                lane.outage.lost("schedules", error)
                lane.reminder.set(0)

        await asyncio.gather(*(begin(*both) for both in zip(self._lanes, self._firing, strict=True)))

    def _beside(self) -> Apart:
        """Where leases are kept; the simulation has a place for that in its own time."""
        return OwnThread()

    def _lane(self, queue: Queue, backend: Backend, resources: Any) -> Lane:
        slots = self._slots[queue.name]
        executor = Executor(queue, backend, self._registry, self._middleware, slots)
        executor.resources = resources
        listeners = self._registry.listeners(queue.name)
        lane = Lane(
            queue, backend, executor, slots, self.id, self._clock,
            lease=self._lease, prefetch=self._prefetch, suspect_stalls=max(2, self._max_stalls - 1),
            listening=Listening(listeners, queue.name, backend) if listeners else None,
            rooms=Rooms(self._registry.concurrency()), dock=self._dock,
        )  # fmt: skip
        presence = Presence(
            worker=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=slots,
            busy=0,
            started_ms=SYSTEM_CLOCK.now_ms(),
            name=self.name,
        )
        self._firing.append(FiringRounds(lane, self._declared[queue.name], self._registry))
        self._lanes.append(lane)
        self._rounds.append(UpkeepRounds(lane, presence, lease=self._lease, max_stalls=self._max_stalls))
        return lane

    def _start_duties(self, tasks: anyio.abc.TaskGroup, lane: Lane, rounds: UpkeepRounds) -> None:
        # One slot takes its jobs in exactly their order, which two answers under way at once could mix up.
        pumps = min(_PUMPS, lane.slots)
        share = -(-lane.slots // pumps)
        callers = [Caller(lane, number, lease_ms=round(self._lease * 1000)) for number in range(CALLERS)]
        for number in range(pumps):
            pump = Pump(lane, callers[number], share=share)
            tasks.start_soon(pump.run, name=f"jobqueue {lane.queue.name} pump {number}")
        waker = Waker(lane, callers[-1], lease=self._lease)
        tasks.start_soon(waker.run, name=f"jobqueue {lane.queue.name} waker")
        tasks.start_soon(Trial(lane).run, name=f"jobqueue {lane.queue.name} trial")
        tasks.start_soon(rounds.run, name=f"jobqueue {lane.queue.name} upkeep")
        if lane.listening is not None:
            tasks.start_soon(lane.listening.run, name=f"jobqueue {lane.queue.name} listeners")
        firing = self._firing[self._lanes.index(lane)]
        tasks.start_soon(firing.run, name=f"jobqueue {lane.queue.name} schedules")
        tasks.start_soon(rounds.deliver, name=f"jobqueue {lane.queue.name} outbox")

    async def _wind_down(self) -> None:
        for lane in self._lanes:
            lane.stop()
        await self._until(lambda lane: lane.is_idle, self._grace, hurried=0)
        for lane in self._lanes:
            lane.hand_back_running()
        await self._until(lambda lane: lane.is_idle, _CANCEL_SECONDS)
        for lane in self._lanes:
            for attempt in lane.running.values():
                self._resisted = True
                record = attempt.record
                emit(logging.ERROR, JOB_STUBBORN, job_id=record.id, type=record.type, queue=record.queue)
        await self._until(lambda lane: lane.is_settled, _SETTLE_SECONDS)
        for lane, rounds in zip(self._lanes, self._rounds, strict=True):
            try:
                async with asyncio.timeout(_HURRIED_SECONDS if self._hurry.is_set() else _SETTLE_SECONDS):
                    if lane.listening is not None:
                        await lane.listening.until_told()
                    await rounds.empty_outbox()
                    await lane.backend.leave(lane.queue.name, self.id)
            except (BackendError, TimeoutError):
                # The outbox and the registry are looked after by whoever lives on.
                continue

    async def _until(
        self, rested: Callable[[Lane], bool], seconds: float, *, hurried: float = _HURRIED_SECONDS
    ) -> None:
        """Wait until every lane has come to rest, for ``seconds`` at the most; after a second signal ``hurried``."""
        resting = asyncio.gather(*(lane.onlookers.until(lambda lane=lane: rested(lane)) for lane in self._lanes))
        signalled = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({resting, signalled}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._hurry.is_set() and not resting.done():
            await asyncio.wait({resting}, timeout=hurried)
        for future in (resting, signalled):
            future.cancel()
        await asyncio.gather(resting, signalled, return_exceptions=True)

    def __repr__(self) -> str:
        return f"<Worker {self.id} on {', '.join(queue.name for queue in self.queues)}>"


def _new_id() -> str:
    """Unlike any other worker's, also where all hosts are called the same and all processes have number 1."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(6)}"


def _slots(queues: Sequence[Queue], concurrency: int | Mapping[Any, int]) -> dict[str, int]:
    if isinstance(concurrency, Mapping):
        given = {key.name if isinstance(key, Queue) else key: number for key, number in concurrency.items()}
        unknown = set(given) - {queue.name for queue in queues}
        if unknown:
            raise InvalidOption(f"concurrency names queues this worker does not have: {', '.join(sorted(unknown))}")
        wanted = {queue.name: given.get(queue.name, 10) for queue in queues}
    else:
        wanted = {queue.name: concurrency for queue in queues}
    for name, number in wanted.items():
        if isinstance(number, bool) or not 1 <= number <= MOST_SLOTS:
            raise InvalidOption(f"concurrency of {name!r} must be from 1 to {MOST_SLOTS}, not {number!r}")
    return wanted


def _is_of_a_loop(handler: object) -> bool:
    """Whether an event loop has put it there, which does nothing without the loop's own list."""
    return str(getattr(handler, "__module__", "")).partition(".")[0] in ("asyncio", "uvloop")
