"""A backend behind a codec: what jobs carry is sealed on its way in and opened on its way out, for any backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jobqueue.backends.endpoints import EndpointChange, EndpointRecord
from jobqueue.backends.envelopes import Envelopes
from jobqueue.backends.protocol import (
    Amendment,
    Backend,
    Command,
    Enqueued,
    EventPage,
    Exchange,
    Extension,
    LetterWriter,
    NewFlow,
    NewRecord,
    Note,
    NoticeWriter,
    Order,
    Page,
    Presence,
    Retry,
    Status,
    Upkeep,
    UpkeepReport,
    plain_delivery,
    plain_letter,
)
from jobqueue.backends.scheduling import DueSchedules, Firing, ScheduleChange, ScheduleList
from jobqueue.codecs.codec import Codec
from jobqueue.errors import BadSignature
from jobqueue.model.limits import GroupStatus, Limits
from jobqueue.model.links import FlowRecord, Input
from jobqueue.model.notice import Notice
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.refused import Refused


class SealedBackend:
    """``backend`` behind ``codec``: ``SealedBackend(RedisBackend(client), Signed(...))``.

    ``connect(url, codec=...)`` makes one. Every process that enqueues, works or looks at jobs must have a codec with
    the same keys. A job that the codec refuses is never run: it fails with the error type BadSignature.
    """

    def __init__(self, backend: Backend, codec: Codec) -> None:
        self._inner = backend
        self._codec = codec
        self._envelopes = Envelopes(codec)

    # What carries something.

    async def enqueue(
        self, queue: str, jobs: Sequence[NewRecord], *, limited: bool = True, wait_ms: int = 0
    ) -> list[Enqueued]:
        sealed = [self._envelopes.job(queue, job) for job in jobs]
        answers = await self._inner.enqueue(queue, sealed, limited=limited, wait_ms=wait_ms)
        for job, stored, answer in zip(jobs, sealed, answers, strict=True):
            # A later one of the batch may have been taken over by one that was made.
            if answer.created and answer.record.data == stored.data:
                answer.record.data, answer.record.options = job.data, job.options
            else:
                self._envelopes.open_job(answer.record)
        return answers

    async def exchange(self, queue: str, request: Exchange) -> Page:
        if request.settlements:
            sealed = [self._envelopes.settlement(queue, settlement) for settlement in request.settlements]
            request = replace(request, settlements=sealed)
        return self._opened(await self._inner.exchange(queue, request))

    async def await_jobs(self, queue: str, seconds: float, request: Exchange) -> Page:
        return self._opened(await self._inner.await_jobs(queue, seconds, request))

    async def deliver(
        self, queue: str, letter: LetterWriter = plain_letter, notice: NoticeWriter = plain_delivery
    ) -> int:
        def sealed(target: str, record: JobRecord) -> NewRecord:
            return self._envelopes.job(target, letter(target, self._envelopes.open_job(record)))

        def told(about: Notice) -> NewRecord | None:
            delivery = notice(replace(about, record=self._envelopes.open_job(about.record)))
            return None if delivery is None else self._envelopes.job(about.target, delivery)

        return await self._inner.deliver(queue, sealed, told)

    async def submit(self, home: str, flow: NewFlow) -> bool:
        members = [replace(one, record=self._envelopes.job(one.queue, one.record)) for one in flow.members]
        return await self._inner.submit(home, replace(flow, members=members))

    async def flow(self, home: str, flow_id: str) -> FlowRecord | None:
        found = await self._inner.flow(home, flow_id)
        return None if found is None else self._envelopes.open_flow(found)

    async def inputs(self, queue: str, job_id: str) -> list[Input]:
        return [self._envelopes.open_input(found) for found in await self._inner.inputs(queue, job_id)]

    async def annotate(self, queue: str, job_id: str, token: int, note: Note) -> bool:
        return await self._inner.annotate(queue, job_id, token, self._envelopes.note(queue, job_id, note))

    async def amend(self, queue: str, job_id: str, amendment: Amendment) -> JobState:
        if isinstance(amendment, Retry) and amendment.data is not None:
            # The seal is bound to the type and the options, which only the job itself knows.
            record = await self.get(queue, job_id)
            if record is not None:
                if isinstance(record.data, Refused):
                    raise BadSignature(f"job {job_id!r} cannot be given other data: its own {record.data.why}")
                data, _ = self._envelopes.data(
                    queue, job_id, record.type, amendment.data, record.options, record.unique
                )
                amendment = replace(amendment, data=data)
        return await self._inner.amend(queue, job_id, amendment)

    async def get(self, queue: str, job_id: str) -> JobRecord | None:
        record = await self._inner.get(queue, job_id)
        return None if record is None else self._envelopes.open_job(record)

    async def find(
        self, queue: str, state: JobState, *, limit: int = 100, offset: int = 0, newest: bool = False
    ) -> list[JobRecord]:
        records = await self._inner.find(queue, state, limit=limit, offset=offset, newest=newest)
        return [self._envelopes.open_job(record) for record in records]

    async def logs(self, queue: str, job_id: str) -> list[bytes]:
        lines = await self._inner.logs(queue, job_id)
        return [self._envelopes.open_line(queue, job_id, line) for line in lines]

    async def events(self, queue: str, after: str | None, seconds: float) -> EventPage:
        page = await self._inner.events(queue, after, seconds)
        return EventPage(tuple([self._envelopes.open_event(queue, event) for event in page.events]), page.cursor)

    async def write_schedule(self, queue: str, change: ScheduleChange) -> bool:
        return await self._inner.write_schedule(queue, self._envelopes.schedule(queue, change))

    async def find_schedules(
        self,
        queue: str,
        *,
        ids: Sequence[str] | None = None,
        declared: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> ScheduleList:
        found = await self._inner.find_schedules(queue, ids=ids, declared=declared, limit=limit, offset=offset)
        return replace(found, records=tuple([self._envelopes.open_schedule(queue, each) for each in found.records]))

    async def due_schedules(self, queue: str, limit: int) -> DueSchedules:
        due = await self._inner.due_schedules(queue, limit)
        return replace(due, records=tuple([self._envelopes.open_schedule(queue, each) for each in due.records]))

    async def fire_schedules(self, queue: str, firings: Sequence[Firing]) -> list[int | None]:
        sealed = [
            replace(firing, jobs=tuple([self._envelopes.job(queue, job) for job in firing.jobs])) for firing in firings
        ]
        return await self._inner.fire_schedules(queue, sealed)

    async def write_endpoint(self, queue: str, change: EndpointChange) -> bool:
        return await self._inner.write_endpoint(queue, self._envelopes.endpoint(queue, change))

    async def find_endpoints(self, queue: str, *, ids: Sequence[str] | None = None) -> list[EndpointRecord]:
        found = await self._inner.find_endpoints(queue, ids=ids)
        return [self._envelopes.open_endpoint(queue, record) for record in found]

    def _opened(self, page: Page) -> Page:
        for record in page.leases:
            self._envelopes.open_job(record)
        return page

    # What does not.

    async def remove_endpoint(self, queue: str, endpoint: str) -> bool:
        return await self._inner.remove_endpoint(queue, endpoint)

    async def remove_schedule(self, queue: str, schedule: str) -> bool:
        return await self._inner.remove_schedule(queue, schedule)

    async def open(self) -> None:
        await self._inner.open()

    async def close(self) -> None:
        await self._inner.close()

    def detached(self) -> Backend | None:
        inner = self._inner.detached()
        return None if inner is None else SealedBackend(inner, self._codec)

    async def extend(self, queue: str, worker: str, leases: Sequence[tuple[str, int]], lease_ms: int) -> Extension:
        return await self._inner.extend(queue, worker, leases, lease_ms)

    async def upkeep(self, queue: str, request: Upkeep) -> UpkeepReport:
        return await self._inner.upkeep(queue, request)

    async def wait(self, queue: str, seconds: float) -> bool:
        return await self._inner.wait(queue, seconds)

    async def wait_for_room(self, queue: str, seconds: float) -> bool:
        return await self._inner.wait_for_room(queue, seconds)

    async def orders(self, queue: str, worker: str, seconds: float) -> list[Order]:
        return await self._inner.orders(queue, worker, seconds)

    async def leave(self, queue: str, worker: str) -> None:
        await self._inner.leave(queue, worker)

    async def control(self, queue: str, command: Command) -> list[str]:
        return await self._inner.control(queue, command)

    async def states(self, queue: str, job_ids: Sequence[str]) -> list[JobState | None]:
        return await self._inner.states(queue, job_ids)

    async def limits(self, queue: str) -> Limits:
        return await self._inner.limits(queue)

    async def groups(self, queue: str, *, after: str = "", limit: int = 100) -> list[GroupStatus]:
        return await self._inner.groups(queue, after=after, limit=limit)

    async def group(self, queue: str, name: str) -> GroupStatus:
        return await self._inner.group(queue, name)

    async def status(self, queue: str) -> Status:
        return await self._inner.status(queue)

    async def stats(self, queue: str, minutes: int) -> list[tuple[int, dict[str, int]]]:
        return await self._inner.stats(queue, minutes)

    async def queues(self) -> list[str]:
        return await self._inner.queues()

    async def workers(self, queue: str) -> list[Presence]:
        return await self._inner.workers(queue)

    def __repr__(self) -> str:
        return f"SealedBackend({self._inner!r}, {self._codec!r})"
