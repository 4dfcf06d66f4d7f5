"""How late jobs start is measured with the lane's clock, and forgotten slowly."""

from __future__ import annotations

import asyncio

from jobqueue.clock import SystemClock
from jobqueue.testing import ManualClock
from jobqueue.worker.lag import Lag


class StoppedClock(SystemClock):
    """Moved by hand, also while nothing is awaited."""

    seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def move(self, seconds: float) -> None:
        self.seconds += seconds


async def _claim(lag: Lag, clock: StoppedClock, *, answer: float, turn: float) -> None:
    asked = lag.now()
    clock.move(answer)
    # What the slots do in their turn of the loop.
    asyncio.get_running_loop().call_soon(clock.move, turn)
    lag.claimed(asked)
    await asyncio.sleep(0)


async def test_from_the_question_to_the_turn_of_the_last_slot() -> None:
    clock = StoppedClock()
    lag = Lag(clock)
    assert lag.ms == 0
    await _claim(lag, clock, answer=0.002, turn=0.010)
    # Twelve, and half as much for workers that are slower.
    assert lag.ms == 18


async def test_a_slow_answer_may_be_slower_next_time() -> None:
    clock = StoppedClock()
    lag = Lag(clock)
    await _claim(lag, clock, answer=0.010, turn=0.0)
    assert lag.ms >= 20


async def test_the_worst_is_forgotten_in_time() -> None:
    clock = StoppedClock()
    lag = Lag(clock)
    await _claim(lag, clock, answer=0.0, turn=1.0)
    await _claim(lag, clock, answer=0.0, turn=0.001)
    assert lag.ms > 1000
    for _ in range(100):
        await _claim(lag, clock, answer=0.0, turn=0.001)
    assert lag.ms < 10


async def test_nothing_is_late_where_time_stands_still() -> None:
    lag = Lag(ManualClock())
    lag.claimed(lag.now())
    await asyncio.sleep(0)
    assert lag.ms == 0
