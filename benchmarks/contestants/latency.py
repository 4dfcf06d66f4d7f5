"""Latencies: from enqueue call to the handler's first line, to the result, and from due time to the first line."""

from __future__ import annotations

import asyncio
import random
from time import monotonic

from benchmarks.contestants import waiting
from benchmarks.contestants.contract import Contestant, Order
from benchmarks.contestants.handlers import BOARD


async def pickup(contestant: Contestant, orders: list[Order]) -> list[float]:
    """One job at a time for a worker that has nothing else to do; milliseconds."""
    pause, samples = random.Random(1), list[float]()
    for order in orders:
        await asyncio.sleep(pause.uniform(0.005, 0.025))
        number = order.ticket["number"]
        before = monotonic()
        await contestant.enqueue(order)
        await waiting.until(lambda number=number: BOARD.unfinished(number, 1))
        samples.append((BOARD.starts[number] - before) * 1000)
    return samples


async def pickup_under_load(contestant: Contestant, orders: list[Order], rate: float) -> list[float]:
    """Jobs that arrive at random, ``rate`` a second, whether or not earlier ones have started; milliseconds."""
    gaps, called, enqueueing = random.Random(2), dict[int, float](), list[asyncio.Task[None]]()

    async def enqueue(order: Order) -> None:
        called[order.ticket["number"]] = monotonic()
        await contestant.enqueue(order)

    due = monotonic()
    for order in orders:
        due += gaps.expovariate(rate)
        if (ahead := due - monotonic()) > 0:
            await asyncio.sleep(ahead)
        if contestant.threaded:
            await enqueue(order)
        else:
            enqueueing.append(asyncio.create_task(enqueue(order)))
    await asyncio.gather(*enqueueing)
    await waiting.for_all(orders[0].ticket["number"], len(orders), flaky=False)
    return [(BOARD.starts[number] - at) * 1000 for number, at in called.items()]


async def until_result(contestant: Contestant, orders: list[Order]) -> list[float]:
    """From the enqueue call to its result in the producer's hands, one job at a time; milliseconds."""
    samples: list[float] = []
    for order in orders:
        before = monotonic()
        result = await contestant.result(await contestant.enqueue(order))
        samples.append((monotonic() - before) * 1000)
        if result != order.ticket["number"]:
            raise AssertionError(f"job {order.ticket['number']} came back with {result!r}")
        await asyncio.sleep(0.005)
    return samples


async def lateness(contestant: Contestant, orders: list[Order]) -> list[float]:
    """How long after its due time each delayed job starts; milliseconds, below zero for one that came too early."""
    due: dict[int, float] = {}
    begin = monotonic()
    for order in orders:
        called = monotonic()
        # The spread counts from the beginning, so what has passed since is taken off this job's delay.
        delay = max(0.0, (order.delay or 0.0) - (called - begin))
        due[order.ticket["number"]] = called + delay
        await contestant.enqueue(Order(order.kind, order.ticket, order.data, order.level, delay))
    await waiting.for_all(orders[0].ticket["number"], len(orders), flaky=False)
    return [(BOARD.starts[number] - at) * 1000 for number, at in due.items()]
