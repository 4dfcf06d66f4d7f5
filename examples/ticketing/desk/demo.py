"""The demonstration's plot, from the first report to the audit.

1. Takes every service request through its steps, the first hundred by the web API.
2. Has a big landlord bring hundreds of tickets at once, and small ones come right after.
3. Waits until all notifications have been sent or have failed for good.
4. Sums up what the workers did and shows the dead letters.
5. Repairs the gateway, retries the letters and waits again.
6. Runs the nightly report without waiting for the night.
7. Holds mailbox and gateway log against what must be there, and each feature against what it is for.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import anyio
import httpx2 as httpx
from standardwebhooks.webhooks import Webhook as Signer

from examples.ticketing.contracts import REPORT_NIGHTLY
from examples.ticketing.desk.books import Books, Report
from examples.ticketing.desk.case import Case
from examples.ticketing.desk.child_process import Child, ChildError
from examples.ticketing.desk.entrance import ServiceEntrance, WebEntrance
from examples.ticketing.desk.portfolio import Portfolio
from examples.ticketing.desk.screen import Screen
from examples.ticketing.desk.service_request import ServiceRequest
from examples.ticketing.desk.stage import Plan, Stage, staged
from examples.ticketing.desk.summary import Summary
from examples.ticketing.desk.walk import Walk
from examples.ticketing.desk.watch import Watch
from examples.ticketing.events import Figures
from examples.ticketing.ledger import read_ledgers

BACKLOG = 2000
"""Unsent messages above which the desk takes in no further ticket for the moment."""

LETTERS_AT_MOST = 100_000


class Demo:
    """One demonstration over ``requests``; ``run`` tells whether the audit holds."""

    def __init__(self, plan: Plan, requests: Iterable[ServiceRequest], screen: Screen) -> None:
        self._plan = plan
        self._cases = [Case(request) for request in requests]
        self._portfolio = Portfolio.made_up(plan.seed)
        self._books = Books(self._cases, self._portfolio)
        self._screen = screen

    async def run(self, folder: Path) -> bool:
        screen = self._screen
        screen.say(f"setting the stage in {folder} (backend: {self._plan.backend})")
        async with staged(self._plan, folder) as stage, anyio.create_task_group() as background:
            watch = Watch(stage.jobs, screen.show)
            background.start_soon(watch.run)
            for worker in stage.workers:
                background.start_soon(self._guard, worker, stage.workers)
            with screen.live():
                seconds = await self._play(stage, watch)
            summary = Summary.of(read_ledgers(stage.ledgers))
            screen.summary(summary, seconds)
            await self._repair(stage, watch)
            await self._forge(stage)
            self._books.report = await self._report(stage, watch)
            background.cancel_scope.cancel()
        return self._books.close(stage, screen)

    async def _play(self, stage: Stage, watch: Watch) -> float:
        """All cases, to the last notification; returns how many seconds it took."""
        began = perf_counter()
        async with httpx.AsyncClient(base_url=stage.api_url, timeout=30) as http:
            walk = Walk(
                self._cases,
                web=WebEntrance(http, stage.jobs),
                service=ServiceEntrance(stage.jobs),
                road_clear=lambda: watch.until(lambda view: view.messages < BACKLOG),
            )
            self._screen.walk = walk
            await walk.run()
        await self._portfolio.hand_in(stage.jobs)
        await self._quiet(watch)
        if walk.outages:
            self._screen.say(f"steps taken again because the backend was away: {walk.outages}")
        for trouble in walk.stuck:
            self._screen.say(f"stuck: {trouble}")
        return perf_counter() - began

    async def _repair(self, stage: Stage, watch: Watch) -> None:
        """Mends what made the dead letters, and gives their jobs another chance."""
        letters = stage.jobs.dead_letters
        self._screen.letters(await letters.letters(limit=LETTERS_AT_MOST))
        async with httpx.AsyncClient(base_url=stage.gateway_url) as http:
            (await http.post("/repair")).raise_for_status()
        retried = await letters.retry_all(limit=LETTERS_AT_MOST)
        self._screen.say(f"the gateway is repaired; {retried} dead letters retried")
        await self._quiet(watch)

    async def _quiet(self, watch: Watch) -> None:
        await watch.look_anew()
        await watch.until(lambda view: view.quiet)

    async def _guard(self, worker: Child, workers: list[Child]) -> None:
        """The others take over the work of a worker that ends before its time; without any there is no point
        in waiting."""
        code = await worker.process.wait()
        self._screen.say(f"a worker has ended with code {code}")
        if not any(other.alive for other in workers):
            raise ChildError("all workers have ended")

    async def _forge(self, stage: Stage) -> None:
        """Somebody else tells the accounting system of an invoice that there never was."""
        body = json.dumps({"type": "job.completed", "data": {"result": {"number": "INV-0", "lines": [{"amount": 1}]}}})
        now = datetime.now(UTC)
        signature = Signer(b64encode(b"not the secret").decode()).sign("msg_0", now, body)
        headers = {"webhook-id": "msg_0", "webhook-timestamp": f"{now.timestamp():.0f}", "webhook-signature": signature}
        async with httpx.AsyncClient() as http:
            await http.post(stage.settings.accounting_url or "", content=body, headers=headers)

    async def _report(self, stage: Stage, watch: Watch) -> Report:
        """The nightly report, put in now by the handle of its schedule."""
        schedules = stage.jobs.reports.schedules
        job = await schedules.run_now(REPORT_NIGHTLY.name)
        figures = Figures.model_validate(await job.result(timeout=60))
        schedule = await schedules.get(REPORT_NIGHTLY.name)
        assert schedule is not None  # noqa: S101 - it has just been run
        await self._quiet(watch)
        return Report(schedule, job.id, figures)
