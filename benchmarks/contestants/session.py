"""Carries out what the harness asks of a Python contestant. Every clock of a Python library's benchmark is here."""

from __future__ import annotations

import asyncio
import gc
import platform
from collections.abc import Awaitable, Callable
from contextvars import Context
from importlib.metadata import PackageNotFoundError, version
from time import monotonic
from typing import Any

from benchmarks.contestants import waiting
from benchmarks.contestants.contract import LEVELS, Contestant, Order, concurrently
from benchmarks.contestants.handlers import BOARD, IO_SECONDS
from benchmarks.contestants.latency import lateness, pickup, pickup_under_load, until_result
from benchmarks.contestants.pool import Pool
from benchmarks.payload import tickets
from benchmarks.protocol import Reply, Request
from benchmarks.resp import Server

Params = dict[str, Any]
STOP_SECONDS = 10.0


class Session:
    """One contestant, and what has been asked of it so far."""

    def __init__(self, contestant: Contestant, direct_url: str, context: Context) -> None:
        self._context = context
        self._contestant = contestant
        self._direct_url = direct_url
        self._server: Server | None = None
        self._pool: Pool | None = None
        self._open = True
        self._spent = False
        self._verbs: dict[str, Callable[[Params], Awaitable[Params]]] = {
            "describe": self._describe,
            "reopen": self._reopen,
            "rest": self._hang_up,
            "enqueue": self._enqueue,
            "fill": self._fill,
            "start": self._start,
            "stop": self._stop,
            "process": self._process,
            "bare": self._bare,
            "pickup": self._pickup,
            "result": self._result,
            "lateness": self._lateness,
            "records": self._records,
        }

    @property
    def server(self) -> Server:
        """A connection straight to the server, never through the proxy; made when first needed."""
        if self._server is None:
            self._server = Server(self._direct_url)
        return self._server

    async def carry_out(self, request: Request) -> Reply:
        """One request; an ability that the contestant says it lacks is refused with its reason."""
        for ability in request.params.get("needs", ()):
            if ability in self._contestant.lacks:
                return Reply(unsupported=self._contestant.lacks[ability])
        return Reply(result=await self._verbs[request.measure](request.params))

    async def rest(self) -> None:
        """Disconnect the producer, if it is connected."""
        if self._open:
            self._open = False
            await self._contestant.close()

    async def _describe(self, _params: Params) -> Params:
        contestant = self._contestant
        versions: dict[str, str] = {"python": platform.python_version()}
        for library in contestant.libraries:
            try:
                versions[library] = version(library)
            except PackageNotFoundError:
                versions[library] = "absent"
        return {
            "versions": versions,
            "settings": contestant.settings,
            "lacks": contestant.lacks,
            "notes": contestant.notes,
        }

    async def _reopen(self, _params: Params) -> Params:
        """Connect anew, because the server was emptied."""
        await self.rest()
        await self._contestant.open()
        self._open = True
        return {}

    async def _hang_up(self, _params: Params) -> Params:
        """So that nothing of this contestant disturbs the next."""
        await self.rest()
        return {"spent": self._spent}

    async def _enqueue(self, params: Params) -> Params:
        orders = self._orders(params)
        mode, bulk = params["mode"], int(params.get("bulk", 1000))
        enqueue = self._contestant.enqueue
        # What was made ahead is the harness's own: the collector must not go through it while the clock runs.
        gc.collect()
        gc.freeze()
        samples: list[float] = []
        begin = monotonic()
        if mode == "single":
            for order in orders:
                await enqueue(order)
        elif mode == "timed":
            for order in orders:
                before = monotonic()
                await enqueue(order)
                samples.append((monotonic() - before) * 1000)
        elif mode == "concurrent":
            await concurrently(self._contestant, orders, int(params["callers"]))
        else:
            for start in range(0, len(orders), bulk):
                await self._contestant.enqueue_bulk(orders[start : start + bulk])
        seconds = monotonic() - begin
        gc.unfreeze()
        return {"seconds": seconds, "samples": samples}

    async def _fill(self, params: Params) -> Params:
        """Enqueue many jobs by the fastest way, within a budget of seconds; says how far it came."""
        count, budget = int(params["count"]), float(params.get("budget", 600))
        begin, done = monotonic(), 0
        while done < count and monotonic() - begin < budget:
            step = min(1000, count - done)
            await self._contestant.enqueue_bulk(
                self._orders({**params, "first": params["first"] + done, "count": step})
            )
            done += step
        return {"seconds": monotonic() - begin, "count": done}

    async def _start(self, params: Params) -> Params:
        processes, concurrency = int(params.get("processes", 1)), int(params["concurrency"])
        if processes == 1:
            await self._contestant.start(concurrency)
        else:
            self._pool = Pool(self._contestant, processes, concurrency)
            await self._pool.start()
        return {}

    async def _stop(self, _params: Params) -> Params:
        if self._pool is not None:
            await self._pool.stop()
            self._pool = None
        else:
            # Some workers do not always come to rest. What was measured stands, but the next trial takes a new program.
            stopping = asyncio.create_task(self._contestant.stop(), context=self._context)
            await asyncio.wait([stopping], timeout=STOP_SECONDS)
            if stopping.done():
                stopping.result()
            else:
                self._spent = True
        return {}

    async def _process(self, params: Params) -> Params:
        """Work off what was filled. The clock runs from the first handler to the last record on the server."""
        first, count = int(params["first"]), int(params["count"])
        total, flaky = int(params.get("total", count)), params.get("kind") == "flaky"
        sent, undone_before = self.server.sent, self._contestant.undone(self.server)
        await self._start(params)
        try:
            if total == count:
                await waiting.for_all(first, count, flaky=flaky)
                end = await waiting.for_records(lambda: self._contestant.undone(self.server))
                begin = BOARD.started(first, count)[0]
                done: Params = {"seconds": end - begin, "jobs": count, "wrong": BOARD.wrong(first, count, flaky=flaky)}
            else:
                done = await waiting.for_some(first, total, count)
        finally:
            await self._stop({})
        if total != count:
            ran = total - BOARD.unfinished(first, total)
            recorded = undone_before - self._contestant.undone(self.server)
            done |= {"ran": ran, "recorded": recorded, "twice": BOARD.twice(first, total)}
        if params.get("level") is not None:
            done["ranks"] = waiting.mean_ranks(first, count, LEVELS)
        return done | {"polls": self.server.sent - sent}

    async def _bare(self, params: Params) -> Params:
        """The same waiting without any library: as many tasks as slots, each waiting again as soon as it has waited."""
        left, concurrency = int(params["count"]), int(params["concurrency"])
        if self._contestant.threaded:
            return {"seconds": left / concurrency * IO_SECONDS}

        async def slot() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await asyncio.sleep(IO_SECONDS)

        begin = monotonic()
        await asyncio.gather(*(slot() for _ in range(concurrency)))
        return {"seconds": monotonic() - begin}

    async def _pickup(self, params: Params) -> Params:
        await self._start(params)
        try:
            await asyncio.sleep(params.get("settle", 1.0))
            orders = self._orders(params)
            if "rate" in params:
                samples = await pickup_under_load(self._contestant, orders, float(params["rate"]))
            else:
                samples = await pickup(self._contestant, orders)
        finally:
            await self._stop({})
        return {"samples": samples}

    async def _result(self, params: Params) -> Params:
        await self._start(params)
        try:
            await asyncio.sleep(params.get("settle", 1.0))
            return {"samples": await until_result(self._contestant, self._orders(params))}
        finally:
            await self._stop({})

    async def _lateness(self, params: Params) -> Params:
        await self._start(params)
        try:
            await asyncio.sleep(params.get("settle", 1.0))
            return {"samples": await lateness(self._contestant, self._orders(params))}
        finally:
            await self._stop({})

    async def _records(self, _params: Params) -> Params:
        records = self._contestant.records(self.server)
        undone = self._contestant.undone(self.server)
        return {"undone": undone, "completed": records.completed, "failed": records.failed, "keeps": records.keeps}

    def _orders(self, params: Params) -> list[Order]:
        """The jobs of a request: ``lead`` and ``window`` spread due times, ``level`` deals out priorities."""
        first, count, kind = int(params["first"]), int(params["count"]), str(params.get("kind", "noop"))
        lead, window = params.get("lead"), float(params.get("window", 0))
        made: list[Order] = []
        for place, ticket in enumerate(tickets(first, count, int(params["payload_bytes"]))):
            level = None if params.get("level") is None else (first + place) % LEVELS
            delay = None if lead is None else float(lead) + window * place / count
            made.append(Order(kind, ticket, self._contestant.data(ticket), level, delay))
        return made
