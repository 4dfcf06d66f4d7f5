"""The memory backend: jobs live as long as this process does.

It is the reference model of the seam: every move is checked against the table of the model, and it keeps to
the given clock alone, so that under a virtual clock it is deterministic. It belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from jobqueue.backends.endpoints import EndpointChange, EndpointRecord
from jobqueue.backends.memory import endpoints
from jobqueue.backends.memory.amending import amend
from jobqueue.backends.memory.controlling import control
from jobqueue.backends.memory.delivering import Deliveries
from jobqueue.backends.memory.enqueueing import enqueue
from jobqueue.backends.memory.exchanging import exchange
from jobqueue.backends.memory.limiting import group_status
from jobqueue.backends.memory.links import inputs_of
from jobqueue.backends.memory.room import Room
from jobqueue.backends.memory.rounds import keep_up
from jobqueue.backends.memory.scheduling import due, find, fire, remove, write
from jobqueue.backends.memory.shelf import Shelf, copied
from jobqueue.backends.protocol import (
    Amendment,
    Backend,
    Begun,
    Checkpoint,
    Command,
    Enqueued,
    EventPage,
    Exchange,
    Extension,
    LetterWriter,
    LogLines,
    NewFlow,
    NewRecord,
    Note,
    NoticeWriter,
    Obliterate,
    Order,
    Page,
    Presence,
    Progress,
    Status,
    Upkeep,
    UpkeepReport,
    plain_delivery,
    plain_letter,
)
from jobqueue.backends.scheduling import DueSchedules, Firing, ScheduleChange, ScheduleList
from jobqueue.backends.wiring import reaches_out
from jobqueue.clock import SYSTEM_CLOCK, Clock
from jobqueue.errors import BackendClosed, BackendError
from jobqueue.model.events import EventType
from jobqueue.model.limits import GroupStatus, Limits
from jobqueue.model.links import FlowRecord, Input
from jobqueue.model.record import JobRecord, JobState


class MemoryBackend:
    """Jobs in this process's memory.

    At most ``max_jobs`` jobs are held, over all queues and states. When that is not enough,
    ``when_full="refuse"`` raises BackendFull from enqueue with nothing written, and ``"drop"`` makes room by
    dropping the oldest waiting jobs, calling ``on_drop(queue, record)`` for each. Looking into the middle of
    a large backlog (``find``) costs time in proportion to it; everything that a worker or a producer does
    costs O(log n) at the most.
    """

    def __init__(
        self,
        *,
        clock: Clock = SYSTEM_CLOCK,
        max_jobs: int = 1_000_000,
        when_full: Literal["refuse", "drop"] = "refuse",
        on_drop: Callable[[str, JobRecord], None] | None = None,
    ) -> None:
        self._clock = clock
        self._shelves: dict[str, Shelf] = {}
        self._known: set[str] = set()
        self._room = Room(self._shelves, max_jobs=max_jobs, when_full=when_full, on_drop=on_drop)
        self._deliveries = Deliveries(self._shelf, self._known.add, self._room)
        self._closed = False

    async def open(self) -> None:
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        for shelf in self._shelves.values():
            shelf.close()

    def detached(self) -> Backend | None:
        return None

    async def enqueue(
        self, queue: str, jobs: Sequence[NewRecord], *, limited: bool = True, wait_ms: int = 0
    ) -> list[Enqueued]:
        shelf = await self._step(queue)
        if not jobs:
            return []
        self._known.add(queue)
        answers = enqueue(shelf, jobs, self._room, self._clock.now_ms(), limited=limited, wait_ms=wait_ms)
        shelf.has_effects = shelf.has_effects or reaches_out(queue, jobs)
        self._deliver_soon(shelf)
        return answers

    async def exchange(self, queue: str, request: Exchange) -> Page:
        shelf = await self._step(queue)
        return exchange(shelf, request, self._clock.now_ms())

    async def extend(
        self,
        queue: str,
        worker: str,
        leases: Sequence[tuple[str, int]],
        lease_ms: int,
    ) -> Extension:
        shelf = await self._step(queue)
        deadline = self._clock.now_ms() + lease_ms
        lost: set[str] = set()
        cancels: dict[str, str] = {}
        for job_id, token in leases:
            record = shelf.jobs.get(job_id)
            if record is None or record.token != token:
                lost.add(job_id)
                continue
            shelf.leases.put(job_id, deadline)
            if record.cancel_requested is not None:
                cancels[job_id] = record.cancel_requested
        return Extension(frozenset(lost), cancels)

    async def upkeep(self, queue: str, request: Upkeep) -> UpkeepReport:
        shelf = await self._step(queue)
        self._known.add(queue)
        return keep_up(shelf, request, self._clock.now_ms())

    async def deliver(
        self, queue: str, letter: LetterWriter = plain_letter, notice: NoticeWriter = plain_delivery
    ) -> int:
        shelf = await self._step(queue)
        return self._deliveries.deliver(shelf, self._clock.now_ms(), letter, notice)

    async def submit(self, home: str, flow: NewFlow) -> bool:
        shelf = await self._step(home)
        self._known.add(home)
        submitted = self._deliveries.submit(shelf, flow, self._clock.now_ms())
        if submitted:
            shelf.has_effects = True
            self._deliver_soon(shelf)
        return submitted

    async def flow(self, home: str, flow_id: str) -> FlowRecord | None:
        links = (await self._step(home)).links
        members = links.members.get(flow_id)
        return None if members is None else FlowRecord(dict(members), dict(links.noted.get(flow_id, {})))

    async def inputs(self, queue: str, job_id: str) -> list[Input]:
        return inputs_of(await self._step(queue), job_id)

    async def states(self, queue: str, job_ids: Sequence[str]) -> list[JobState | None]:
        jobs = (await self._step(queue)).jobs
        return [jobs[job_id].state if job_id in jobs else None for job_id in job_ids]

    async def wait(self, queue: str, seconds: float) -> bool:
        shelf = await self._step(queue)
        return await shelf.marker.take(seconds)

    async def await_jobs(self, queue: str, seconds: float, request: Exchange) -> Page:
        await self.wait(queue, seconds)
        return await self.exchange(queue, replace(request, repeated=True))

    async def wait_for_room(self, queue: str, seconds: float) -> bool:
        shelf = await self._step(queue)
        return await shelf.room_marker.take(seconds)

    async def orders(self, queue: str, worker: str, seconds: float) -> list[Order]:
        shelf = await self._step(queue)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + seconds
        crew = shelf.crew
        while worker not in crew.orders:
            if not await crew.order_bell.hear(give_up - loop.time()):
                return []
            self._check_open()
        return crew.orders.pop(worker)

    async def leave(self, queue: str, worker: str) -> None:
        shelf = await self._step(queue)
        shelf.crew.forget(worker)

    async def annotate(self, queue: str, job_id: str, token: int, note: Note) -> bool:
        shelf = await self._step(queue)
        record = shelf.jobs.get(job_id)
        if record is None or record.token != token:
            return False
        match note:
            case Progress(value):
                record.progress = value
                detail = value.decode("utf-8", "replace")
                shelf.tell(EventType.PROGRESS, job_id, self._clock.now_ms(), detail)
                shelf.journal.publish()
            case Checkpoint(value):
                record.checkpoint = value
            case LogLines(lines):
                shelf.write_logs(job_id, lines)
            case Begun():
                shelf.reserved.discard(job_id)
        return True

    async def amend(self, queue: str, job_id: str, amendment: Amendment) -> JobState:
        shelf = await self._step(queue)
        state = amend(shelf, job_id, amendment, self._clock.now_ms())
        self._deliver_soon(shelf)
        return state

    async def control(self, queue: str, command: Command) -> list[str]:
        shelf = await self._step(queue)
        changed = control(shelf, command, self._clock.now_ms())
        if isinstance(command, Obliterate):
            while self._deliveries.deliver(shelf, self._clock.now_ms()):
                pass
            shelf.forget_all()
            self._known.discard(queue)
        else:
            self._deliver_soon(shelf)
        return changed

    async def get(self, queue: str, job_id: str) -> JobRecord | None:
        shelf = await self._step(queue)
        record = shelf.jobs.get(job_id)
        return None if record is None else copied(record)

    async def find(
        self, queue: str, state: JobState, *, limit: int = 100, offset: int = 0, newest: bool = False
    ) -> list[JobRecord]:
        shelf = await self._step(queue)
        ids = shelf.ids(state, offset, max(0, limit), newest=newest)
        return [copied(shelf.jobs[job_id]) for job_id in ids]

    async def limits(self, queue: str) -> Limits:
        return (await self._step(queue)).groups.limits

    async def groups(self, queue: str, *, after: str = "", limit: int = 100) -> list[GroupStatus]:
        shelf = await self._step(queue)
        names = [name for name in shelf.groups.names() if name > after]
        return [group_status(shelf, name) for name in names[: max(0, limit)]]

    async def group(self, queue: str, name: str) -> GroupStatus:
        return group_status(await self._step(queue), name)

    async def status(self, queue: str) -> Status:
        shelf = await self._step(queue)
        created = [shelf.jobs[job_id].created_ms for job_id in shelf.heads()]
        return Status(
            {state: shelf.count(state) for state in JobState},
            oldest_ms=max(0, self._clock.now_ms() - min(created)) if created else None,
            paused=shelf.paused,
        )

    async def stats(self, queue: str, minutes: int) -> list[tuple[int, dict[str, int]]]:
        shelf = await self._step(queue)
        oldest = self._clock.now_ms() // 60_000 - minutes
        return [
            (minute * 60_000, dict(counters)) for minute, counters in sorted(shelf.minutes.items()) if minute > oldest
        ]

    async def logs(self, queue: str, job_id: str) -> list[bytes]:
        shelf = await self._step(queue)
        return list(shelf.logs.get(job_id, ()))

    async def events(self, queue: str, after: str | None, seconds: float) -> EventPage:
        shelf = await self._step(queue)
        return await shelf.journal.read(after, seconds)

    async def write_schedule(self, queue: str, change: ScheduleChange) -> bool:
        shelf = await self._step(queue)
        self._known.add(queue)
        return write(shelf, change)

    async def remove_schedule(self, queue: str, schedule: str) -> bool:
        shelf = await self._step(queue)
        return remove(shelf, schedule)

    async def find_schedules(
        self,
        queue: str,
        *,
        ids: Sequence[str] | None = None,
        declared: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> ScheduleList:
        shelf = await self._step(queue)
        records = find(shelf, ids, declared=declared, limit=limit, offset=offset)
        return ScheduleList(self._clock.now_ms(), tuple(records), len(shelf.schedules))

    async def due_schedules(self, queue: str, limit: int) -> DueSchedules:
        shelf = await self._step(queue)
        return due(shelf, limit, self._clock.now_ms())

    async def fire_schedules(self, queue: str, firings: Sequence[Firing]) -> list[int | None]:
        shelf = await self._step(queue)
        return fire(shelf, firings, self._room, self._clock.now_ms())

    async def write_endpoint(self, queue: str, change: EndpointChange) -> bool:
        shelf = await self._step(queue)
        self._known.add(queue)
        return endpoints.write(shelf, change, self._clock.now_ms())

    async def remove_endpoint(self, queue: str, endpoint: str) -> bool:
        return endpoints.remove(await self._step(queue), endpoint)

    async def find_endpoints(self, queue: str, *, ids: Sequence[str] | None = None) -> list[EndpointRecord]:
        return endpoints.find(await self._step(queue), ids)

    async def queues(self) -> list[str]:
        self._check_open()
        return sorted(self._known)

    async def workers(self, queue: str) -> list[Presence]:
        return (await self._step(queue)).crew.present()

    def _deliver_soon(self, shelf: Shelf) -> None:
        """Hand over what a call has left in the outbox. It has taken effect whatever comes of this."""
        if shelf.has_effects:
            shelf.has_effects = False
            with contextlib.suppress(BackendError):
                while self._deliveries.deliver(shelf, self._clock.now_ms()):
                    pass

    async def _step(self, queue: str) -> Shelf:
        """Let others have their turn, then begin: a loop of calls that never wait would starve everything else.

        The pause comes before anything is done, so that a call cancelled in it has had no effect.
        """
        self._check_open()
        await asyncio.sleep(0)
        self._check_open()
        return self._shelf(queue)

    def _shelf(self, queue: str) -> Shelf:
        shelf = self._shelves.get(queue)
        if shelf is None:
            shelf = self._shelves[queue] = Shelf(queue)
        return shelf

    def _check_open(self) -> None:
        if self._closed:
            raise BackendClosed
