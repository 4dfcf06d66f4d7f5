"""A simulated process: code that goes on until it is stopped or dead, and reaches the backend over a faulty network."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn, cast

from jobqueue.backends import Backend
from jobqueue.errors import BackendUnavailable
from jobqueue.worker.worker import Worker

_SCHEDULES = frozenset({"find_schedules", "due_schedules"})
"""This world has none (tests/faults/test_ticks.py has): looking for them leaves each seed's history as it is."""
_LATE_SECONDS = 0.5
"""Long enough for a job to end and begin again, and too short to cost a lease."""


@dataclass(slots=True)
class Weather:
    """What the network does to calls: a share of them is lost, before or after it was carried out, or answered late.
    ``late_requests``: the share of exchanges that are given up, and carried out later, perhaps after their repeat.
    ``down``: nothing gets through. ``unnoticed``: the share of those who wait for a job, and hang up, that the server
    goes on serving.
    """

    chance: random.Random
    latency: float = 0.001
    lost_requests: float = 0.0
    lost_replies: float = 0.0
    late_replies: float = 0.0
    late_requests: float = 0.0
    unnoticed: float = 0.0
    served_in_vain: set[asyncio.Future[Any]] = field(default_factory=set[asyncio.Future[Any]])
    down: bool = False
    extensions_lost: int = 0

    def delay(self) -> float:
        return self.chance.expovariate(1 / self.latency)

    def serve_in_vain(self, answer: asyncio.Future[Any]) -> None:
        """Nobody hears it."""
        self.served_in_vain.add(answer)
        answer.add_done_callback(self.served_in_vain.discard)


async def _later(weather: Weather, function: Callable[..., Coroutine[Any, Any, Any]], *words: Any, **named: Any) -> Any:
    await asyncio.sleep(weather.chance.uniform(0, _LATE_SECONDS))
    return await function(*words, **named)


class Process:
    """One process. Each thing it does goes through one of two gates: its event loop's, or its lease keeper's."""

    def __init__(self, name: str, weather: Weather, *, speed: float = 1.0) -> None:
        self.name = name
        self.weather = weather
        self.speed = speed
        """Of its clock."""
        self.loop_runs, self.keeper_runs = asyncio.Event(), asyncio.Event()
        self.wake()
        self.dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = False

    def wake(self) -> None:
        """Go on."""
        self.loop_runs.set()
        self.keeper_runs.set()

    def stop(self) -> None:
        """SIGSTOP."""
        self.loop_runs.clear()
        self.keeper_runs.clear()

    def block(self) -> None:
        """Something computes on the event loop; the thread beside it goes on."""
        self.loop_runs.clear()

    def die(self) -> None:
        """SIGKILL."""
        if not self.dead.done():
            self.dead.set_result(None)

    @property
    def alive(self) -> bool:
        return not self.dead.done()

    async def breathe(self, gate: asyncio.Event | None = None) -> None:
        """Go on only if this process does."""
        await (gate or self.loop_runs).wait()
        if not self.alive:
            await self.nevermore()

    async def nevermore(self) -> NoReturn:
        """What a dead process does next; when all is over, its tasks are let go."""
        if not self.over:
            await asyncio.Event().wait()
        raise asyncio.CancelledError

    async def call(
        self, gate: asyncio.Event, function: Callable[..., Coroutine[Any, Any, Any]], *words: Any, **named: Any
    ) -> Any:
        """One call to the backend."""
        weather = self.weather
        await self.breathe(gate)
        if function.__name__ in _SCHEDULES:
            return await function(*words, **named)
        await asyncio.sleep(weather.delay())
        if weather.down or weather.chance.random() < weather.lost_requests:
            weather.extensions_lost += function.__name__ == "extend"
            await asyncio.sleep(weather.delay())
            await self.breathe(gate)
            raise BackendUnavailable("the request was lost")
        if function.__name__ == "exchange" and weather.chance.random() < weather.late_requests:
            weather.serve_in_vain(asyncio.ensure_future(_later(weather, function, *words, **named)))
            raise BackendUnavailable("the request is on its way still")
        answer = asyncio.ensure_future(function(*words, **named))
        try:
            await asyncio.wait((answer, self.dead), return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The server notices that a connection is gone, and forgets who waited there; but not always.
            if function.__name__ == "await_jobs" and weather.chance.random() < weather.unnoticed:
                weather.serve_in_vain(answer)
            else:
                answer.cancel()
        if not answer.done() or answer.cancelled():
            await self.nevermore()
        failure = answer.exception()
        await asyncio.sleep(weather.delay())
        if weather.late_replies and weather.chance.random() < weather.late_replies:
            await asyncio.sleep(weather.chance.uniform(0, _LATE_SECONDS))
        await self.breathe(gate)
        if weather.down or weather.chance.random() < weather.lost_replies:
            weather.extensions_lost += function.__name__ == "extend"
            raise BackendUnavailable("the reply was lost")
        if failure is not None:
            raise failure
        return answer.result()


class Wire:
    """A backend as one process sees it. Every method of the seam goes through ``Process.call``."""

    def __init__(self, backend: Backend, process: Process, gate: asyncio.Event) -> None:
        self._backend, self._process, self._gate = backend, process, gate

    def detached(self) -> Backend:
        return wired(self._backend, self._process, self._process.keeper_runs)

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        function = getattr(self._backend, name)
        return lambda *words, **named: self._process.call(self._gate, function, *words, **named)


def wired(backend: Backend, process: Process, gate: asyncio.Event | None = None) -> Backend:
    """The backend as ``process`` sees it."""
    return cast("Backend", Wire(backend, process, gate or process.loop_runs))


class VirtualClock:
    """The loop's time as a clock; ``speed`` is how fast it runs, ``ahead`` how wrong it is, in seconds."""

    virtual = False

    def __init__(self, *, speed: float = 1.0, ahead: float = 0.0) -> None:
        self._speed, self._ahead = speed, ahead

    def now_ms(self) -> int:
        return 1_767_225_600_000 + round((self.monotonic() + self._ahead) * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() * self._speed

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._speed)


class KeeperThread:
    """The thread that keeps leases, as a task that goes on while the process's own loop is blocked."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._task: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.create_task(work())

    async def rest(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds / self._process.speed):
                await self._ended.wait()
        except TimeoutError:
            await self._process.breathe(self._process.keeper_runs)
        return not self._ended.is_set()

    def tell(self, callback: Callable[..., None], *args: Any) -> None:
        asyncio.get_running_loop().create_task(self._when_it_runs(callback, *args))  # ends by itself

    async def _when_it_runs(self, callback: Callable[..., None], *args: Any) -> None:
        await self._process.breathe()
        callback(*args)

    async def end(self) -> None:
        self._ended.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=2)


class SimulatedWorker(Worker):
    """A worker of a simulated process: the real code, with its thread in virtual time."""

    process: Process

    def _beside(self) -> KeeperThread:
        return KeeperThread(self.process)
