"""A lane: one queue inside a worker. It owns what its duties share, and nothing else.

1. Long-lived slots run jobs (slots.py) from what is ready (ready.py), or gathered to a batch (gathering.py).
2. Two pumps (exchange.py) hand finished jobs in and fetch new ones, in the same call.
3. A waker (waker.py) waits for the queue's marker while nothing is in sight, an alarm rings when something falls due.
4. Orders from other processes (orders.py) are followed: cancel this job, look at the schedules.
5. The leases of everything held here are renewed from leases.py, the background rounds run from upkeep.py, the
   queue's schedules are fired from schedules.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from time import perf_counter

from anyio.abc import TaskGroup

from jobqueue.backends.protocol import Backend, Extension, Page, Settlement
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.logs import JOB_SUSPECT, LEASE_LOST, emit
from jobqueue.model.naming import shown_name
from jobqueue.model.outcome import Outcome, Released
from jobqueue.model.record import JobRecord
from jobqueue.model.stats import Tallies
from jobqueue.queue import Queue
from jobqueue.running import Attempt
from jobqueue.worker.alarm import Alarm
from jobqueue.worker.batch_executor import BatchExecutor
from jobqueue.worker.executor import Executor
from jobqueue.worker.gathering import Gathering
from jobqueue.worker.lag import Lag
from jobqueue.worker.listening import Listening
from jobqueue.worker.onlookers import Onlookers
from jobqueue.worker.orders import take_orders
from jobqueue.worker.outage import Outage
from jobqueue.worker.prefetch import LONGEST_WAIT, Prefetch
from jobqueue.worker.quarantine import Dock, Quarantine
from jobqueue.worker.ready import Ready
from jobqueue.worker.reminder import Reminder
from jobqueue.worker.rooms import Rooms
from jobqueue.worker.slots import Slots
from jobqueue.worker.vigil import Vigil

_ALONE = "a job that has cost workers runs alone"
_ANOTHER, _ANOTHER_MS = "another job that has cost workers runs in this worker", 1000
"""Not at once, or whoever else is there would be asked again and again."""


class Lane:
    """What one queue's slots, pumps and keepers share. All of it lives on the worker's loop."""

    def __init__(
        self,
        queue: Queue,
        backend: Backend,
        executor: Executor,
        slots: int,
        worker_id: str,
        clock: Clock,
        *,
        lease: float,
        prefetch: bool = True,
        suspect_stalls: int = 2,
        listening: Listening | None = None,
        rooms: Rooms | None = None,
        dock: Dock | None = None,
    ) -> None:
        self.queue = queue
        self.backend = backend
        self.slots = slots
        self.worker_id = worker_id
        self.clock = clock
        self.held: dict[str, int] = {}
        """Every lease of this lane, from the claim until its settlement is answered: id to token."""
        self.finished: list[Settlement] = []
        self.asked = 0
        self.look = True
        """Whether there may be something to claim."""
        self.rearm = False
        """A marker was taken that this lane cannot answer: pass it on."""
        self.stopping = False
        self.listening = listening
        self.crowded = False
        """Jobs wait that may not start before another one ends."""
        self.resting = False
        """Jobs wait that a limit lets go after a time."""
        self.paced = False
        """A rate has held jobs back here."""
        self.rooms = rooms or Rooms({})
        self.lag = Lag(clock)
        self.quarantine = Quarantine(suspect_stalls, dock or Dock())
        self.cleared = asyncio.Event()
        """A suspect may be alone here now."""
        self.tallies = Tallies()
        self.outbox = asyncio.Event()
        self.outage = Outage(queue.name)
        self.reminder = Reminder(clock)
        """Of when a schedule is due."""
        self.prefetch = Prefetch(slots, enabled=prefetch)
        self.onlookers = Onlookers()
        # No slot got free for so long, so every job that runs here takes at least that.
        self._ready = Ready(lease, hand_back=self._hand_back, overdue=lambda: self.prefetch.ran(LONGEST_WAIT))
        self.gathering = Gathering(clock, lease, start_slot=self._start_slot, hand_back=self._hand_back)
        self._slots = Slots(
            slots, executor, BatchExecutor(executor, backend, slots), self._ready, self.gathering,
            suspect_stalls=suspect_stalls, gathered=self._gathered, ended=self._ended,
        )  # fmt: skip
        self.running = self._slots.running
        self.hints = 0
        """How often somebody has said that there may be something to claim."""
        self.vigil = Vigil()
        self._idle_pumps: list[asyncio.Future[None]] = []
        self._resting = asyncio.Event()
        self._exchanging = 0
        self._alarm = Alarm(clock, self.look_now)

    def start(self, tasks: TaskGroup) -> None:
        """Start the slots, and what follows orders."""
        self._slots.start(tasks, f"jobqueue {self.queue.name}")
        tasks.start_soon(self._take_orders, name=f"jobqueue {self.queue.name} orders")

    # Between slots and pumps.

    @property
    def hungry(self) -> int:
        """How many more jobs this lane can take."""
        if self.stopping or self.quarantine.closed:
            return 0
        return self.slots + self.prefetch.ahead - self._slots.occupied - len(self._ready) - self.asked

    @property
    def takes_blindly(self) -> bool:
        """Whether any one job is welcome at any time from now on."""
        # The only slot would have to break it off when the alarm rings.
        one_by_one = self.slots == 1 and self._alarm.is_set
        return not (self.rooms.limited or self.paced or one_by_one)

    def make_room_to_ask(self) -> bool:
        """Whether a pump may ask for jobs now. If not, the vigil is broken off, after which it may: a single slot takes
        jobs in their order, and two answers could change it.
        """
        if self.slots > 1 or not self.vigil.kept:
            return True
        self.vigil.break_off()
        return False

    @property
    def busy(self) -> int:
        """How many jobs run here."""
        return len(self.running)

    def settle(self, settlement: Settlement) -> None:
        """A job has come to an end: it goes with the next exchange."""
        self.finished.append(settlement)
        self.nudge()

    def nudge(self) -> None:
        """There is something for a pump to do."""
        while self._idle_pumps:
            pump = self._idle_pumps.pop()
            if not pump.done():
                pump.set_result(None)
                return

    async def rest(self) -> None:
        """A pump has nothing to do until it is nudged."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle_pumps.append(future)
        if self.onlookers.waiting:
            self.onlookers.tell()
        if not self.look:
            self._resting.set()
        await future

    async def until_resting(self) -> None:
        """Wait until a pump has nothing to do and nothing is in sight; or it was so since this was last asked."""
        await self._resting.wait()
        self._resting.clear()

    def begin_exchange(self, claim: int) -> int:
        """A pump asks for ``claim`` jobs. Returns how much was known at this moment, for ``end_exchange``."""
        self._exchanging += 1
        self.asked += claim
        return self.hints

    def end_exchange(
        self, claim: int, page: Page | None, *, hints: int, asked_at: float, repeated: bool = False
    ) -> None:
        """A pump has its answer, or (None) gave up. ``repeated``: it may tell of an earlier moment."""
        self._exchanging -= 1
        self.asked -= claim
        if page is not None:
            self.take_in(page, claim=claim, hints=hints, asked_at=asked_at, repeated=repeated)

    def take_in(self, page: Page, *, claim: int, hints: int, asked_at: float, repeated: bool) -> None:
        """Start what was claimed, and see what is to be done next."""
        for record in page.leases:
            self.held[record.id] = record.token or 0
        self.rooms.enter(page.leases)
        if not repeated:
            self.crowded, self.resting = page.crowded, page.rests_until_ms is not None
            if self.resting:
                self.paced = True
                self.prefetch.stop()
        claimed, turned_away = self.quarantine.sift(page.leases)
        for record in turned_away:
            self._hand_back(record, _ANOTHER, delay_ms=_ANOTHER_MS)
        if self.quarantine.closed:
            if len(claimed) < len(page.leases):
                self._tell_of_suspect()
            for record in claimed:
                self._hand_back(record, _ALONE)
            self._make_way()
        else:
            self._ready.put(claimed, asked_at)
            for _ in claimed:
                if not self._slots.start_one():
                    self._ready.watch()
                    break
        if repeated or hints != self.hints:
            # Somebody said that there is work after this was asked: "nothing" is an old answer.
            self.look = True
        elif claim:
            # Jobs that wait but are not given out belong to a queue that is paused or held.
            self.look = page.more and bool(page.leases)
        elif page.more and not page.paused:
            self.look = True
        if page.outbox:
            self.outbox.set()
        if not self.look:
            self._look_at(None if self.stopping else page.look_again_ms, page.now_ms)
        elif self.hungry > 0:
            self.nudge()
        if self.stopping:
            self.hand_back_ready()
        elif page.paused:
            self.hand_back_ready("paused")

    def settled(self, settlements: list[Settlement], refused: frozenset[str]) -> None:
        """The backend has taken these in, or refused them."""
        for settlement in settlements:
            # A job that was settled and claimed here again at once has a newer token by now.
            if self.held.get(settlement.job_id) == settlement.token:
                del self.held[settlement.job_id]
        for job_id in refused:
            emit(logging.WARNING, LEASE_LOST, job_id=job_id, queue=self.queue.name)
        if self.listening is not None:
            self.listening.settled(settlements, refused)

    def look_now(self) -> None:
        """There may be something to claim: let a pump see."""
        self.look = True
        self.hints += 1
        if self.make_room_to_ask():
            self.nudge()

    def _look_at(self, due_ms: int | None, now_ms: int) -> None:
        if due_ms is None:
            self._alarm.stop()
        else:
            self._alarm.set(max(0.0, (due_ms - now_ms) / 1000))

    # What its slots have done.

    def _start_slot(self) -> None:
        self._slots.start_one()

    def _gathered(self) -> None:
        # The job takes up no slot, so there may be room for more: what is in sight, or what the waker waits for.
        if not self.look:
            self._resting.set()
        elif self.hungry > 0:
            self.nudge()

    def _ended(self, attempt: Attempt, outcome: Outcome | None, took: float) -> None:
        record = attempt.record
        self.prefetch.ran(took)
        if self.rooms.limited:
            self.rooms.left(record.id)
        if self.quarantine.closed:
            self.quarantine.left(record.id)
            self._make_way()
        if self.onlookers.waiting:
            self.onlookers.tell()
        if attempt.lease_lost:
            self.held.pop(record.id, None)
            emit(
                logging.WARNING, LEASE_LOST, job_id=record.id, type=shown_name(record.type), queue=self.queue.name
            )  # fmt: skip
            self.nudge()
        elif outcome is not None:
            lines = attempt.take_lines(SYSTEM_CLOCK.now_ms()) if attempt.lines else ()
            self.tallies.add(record.type, outcome, took)
            if self.listening is not None:
                self.listening.ended(record)
            self.settle(Settlement(record.id, attempt.token, outcome, lines))

    # What others want of them.

    def cancel(self, job_id: str, reason: str) -> None:
        """Cancel a job that is here, because somebody asked for it."""
        if not self._slots.cancel(job_id, reason):
            # The backend knows that it was to be cancelled, and does so when it comes back.
            self.gathering.give_up(job_id, "cancelled")

    async def _take_orders(self) -> None:
        await take_orders(
            self.backend, self.queue.name, self.worker_id,
            cancel=self.cancel, schedules_changed=lambda: self.reminder.set(0),
        )  # fmt: skip

    def hand_back_running(self) -> None:
        """The grace period is over: cancel what still runs and give it back."""
        self._slots.hand_back_running()

    def hand_back_ready(self, reason: str = "shutdown") -> None:
        """Claimed and not started: back at once."""
        self._ready.hand_back(reason)
        self.gathering.hand_back(reason)
        suspect = self.quarantine.drop()
        if suspect is not None:
            self._hand_back(suspect, reason)

    def _tell_of_suspect(self) -> None:
        suspect = self.quarantine.waiting
        if suspect is not None:
            emit(
                logging.WARNING, JOB_SUSPECT,
                job_id=suspect.id, type=shown_name(suspect.type), queue=self.queue.name, workers_lost=suspect.stalls,
            )  # fmt: skip

    def _make_way(self) -> None:
        if self.quarantine.waiting is None:
            return
        self._ready.hand_back(_ALONE)
        self.gathering.hand_back(_ALONE)
        self.vigil.break_off()
        if self.lone_suspect is not None:
            self.cleared.set()

    @property
    def lone_suspect(self) -> JobRecord | None:
        """The suspect that waits here, if the lane holds no other job, runs none, and has asked for none."""
        alone = len(self.held) <= 1 and not self.running and not self.asked and not self.vigil.kept
        return self.quarantine.waiting if alone else None

    def try_suspect(self, *, held: bool) -> None:
        """Start the suspect that waits here; or forget it, if its lease is not ``held`` any more."""
        suspect = self.quarantine.enter() if held else self.quarantine.drop()
        if suspect is None:
            return
        if held:
            # It may have waited for longer than a lease, which was renewed meanwhile.
            self._ready.put([suspect], perf_counter())
            self._slots.start_one()
        else:
            self._forget(suspect.id)
            self.nudge()

    def _forget(self, job_id: str) -> None:
        self.held.pop(job_id, None)
        self.rooms.left(job_id)

    def _hand_back(self, record: JobRecord, reason: str, *, delay_ms: int = 0) -> None:
        self.quarantine.left(record.id)
        self.rooms.left(record.id)
        self.settle(Settlement(record.id, record.token or 0, Released(reason, delay_ms)))

    def extended(self, asked: Mapping[str, int], extension: Extension) -> None:
        """What came of renewing the leases ``asked`` for, id to token: some may be lost, some jobs are to be cancelled.

        A job that ended meanwhile and was claimed here again has a newer lease, of which this answer says nothing.
        """
        lost = {job_id for job_id in extension.lost if self.held.get(job_id) == asked.get(job_id)}
        suspect = self.quarantine.waiting
        if suspect is not None and suspect.id in lost:
            self.try_suspect(held=False)
        for job_id in self.gathering.drop(lost):
            self._forget(job_id)
        for job_id in lost:
            self._slots.lose(job_id, asked.get(job_id))
        for job_id, reason in extension.cancels.items():
            if self.held.get(job_id) == asked.get(job_id):
                self.cancel(job_id, reason)
        self._make_way()

    # Coming to rest.

    @property
    def is_idle(self) -> bool:
        """Nothing runs here and nothing is about to."""
        return not self.running and not self._ready and not self.gathering and not self.quarantine.closed

    @property
    def is_settled(self) -> bool:
        """What was finished has been handed in."""
        return not self.finished and not self._exchanging and not (self.stopping and self.vigil.kept)

    @property
    def is_quiet(self) -> bool:
        """Nothing runs, nothing is on its way in or out, and there is nothing to claim."""
        return self.is_idle and self.is_settled and (self.stopping or not self.look)

    def stop(self) -> None:
        """Claim nothing more, and hand back what has not been started."""
        self.stopping = True
        self._ready.stop()
        self.gathering.stop()
        self._alarm.stop()
        self.vigil.end()
        self.hand_back_ready()
