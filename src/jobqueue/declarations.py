"""What ``@scheduled`` has declared in the code, and how a worker makes it so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobqueue.backends.protocol import Backend
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.errors import ConfigurationError, InvalidInput, RegistrationError
from jobqueue.job_type import JobType
from jobqueue.logs import SCHEDULE_DECLARED, SCHEDULE_WITHDRAWN, emit
from jobqueue.model.naming import checked_name
from jobqueue.model.plan import Plan
from jobqueue.new_job import JobDefaults, JobWishes, new_job
from jobqueue.queue import Queue
from jobqueue.schedule import Schedule, job_bytes, job_of
from jobqueue.schedules import put_schedule


@dataclass(frozen=True, slots=True)
class Declaration:
    """One ``@scheduled``: its plan, and what it says of the job."""

    plan: Plan
    id: str | None
    queue: str | None
    data: object
    options: JobWishes


@dataclass(frozen=True, slots=True)
class DeclaredSchedule:
    """A declaration that has met its processor. ``queue`` is None where neither names one."""

    id: str
    queue: str | None
    plan: Plan
    job_type: JobType[Any, Any]
    data: object
    options: JobWishes

    def job(self, defaults: JobDefaults) -> bytes:
        """The job as it is stored. Raises InvalidInput."""
        return job_bytes(new_job(self.job_type, self.data, self.options), defaults, KNOWN_TYPES)


class Declarations:
    """The ``@scheduled`` of one registry."""

    def __init__(self) -> None:
        self._schedules: dict[str, DeclaredSchedule] = {}
        self._waiting: list[tuple[Callable[..., Any], Declaration]] = []

    def add(self, declaration: Declaration, job_type: JobType[Any, Any]) -> None:
        """Declare a schedule. Raises RegistrationError for a second one of that id, InvalidInput for a job that cannot
        be."""
        schedule = checked_name("schedule", declaration.id if declaration.id is not None else job_type.name)
        queue = declaration.queue if declaration.queue is not None else job_type.queue
        if queue is not None:
            checked_name("queue", queue)
        if schedule in self._schedules:
            raise RegistrationError(
                f"two schedules are called {schedule!r}: give each an id of its own, @scheduled(…, id=…)"
            )
        made = DeclaredSchedule(schedule, queue, declaration.plan, job_type, declaration.data, declaration.options)
        # Refused here, where the decorator stands, rather than when a worker starts.
        Schedule(schedule, every=1, job=new_job(job_type, declaration.data, declaration.options))
        made.job(JobDefaults())
        self._schedules[schedule] = made

    def wait_for(self, function: Callable[..., Any], declaration: Declaration) -> None:
        """``@scheduled`` stands below ``@processor``, which has not been there yet."""
        self._waiting.append((function, declaration))

    def found(self, function: Callable[..., Any], job_type: JobType[Any, Any]) -> None:
        """``@processor`` has been there."""
        for waiting in [waiting for waiting in self._waiting if waiting[0] is function]:
            self._waiting.remove(waiting)
            self.add(waiting[1], job_type)

    def of(self, queue: Queue, queues: Sequence[Queue]) -> list[DeclaredSchedule]:
        """Those that belong to one of a worker's queues. Raises ConfigurationError where it cannot be told."""
        for function, _ in self._waiting:
            raise ConfigurationError(
                f"{function.__qualname__} is @scheduled but no processor: put @processor(…) beside it"
            )
        declared = list(self._schedules.values())
        for schedule in declared:
            if schedule.queue is None and len(queues) > 1:
                raise ConfigurationError(
                    f"the schedule {schedule.id!r} names no queue, and this worker has {len(queues)}: "
                    "@scheduled(…, queue=…) or @processor(…, queue=…)"
                )
        return [schedule for schedule in declared if schedule.queue in (queue.name, None)]


async def declare(
    backend: Backend, queue: Queue, schedules: Sequence[DeclaredSchedule], processor_of: Callable[[str], object | None]
) -> None:
    """Put what the code declares; remove what earlier code declared and this no longer does, if we have
    a processor for its job: what others declare in the same queue is none of our business. Raises BackendError or
    InvalidInput.
    """
    known = await backend.find_schedules(queue.name, declared=True)
    ids = {schedule.id for schedule in schedules}
    for schedule in schedules:
        before = next((record.revision for record in known.records if record.id == schedule.id), None)
        job = schedule.job(queue.defaults)
        await put_schedule(backend, queue.name, schedule.id, schedule.plan, job, declared=True)
        if before is None:
            emit(logging.INFO, SCHEDULE_DECLARED, schedule=schedule.id, queue=queue.name)
    for record in known.records:
        if record.id not in ids and processor_of(_type_of(record.job)) is not None:
            await backend.remove_schedule(queue.name, record.id)
            emit(logging.INFO, SCHEDULE_WITHDRAWN, schedule=record.id, queue=queue.name)


def _type_of(job: bytes) -> str:
    try:
        return job_of(job).type
    except InvalidInput:
        return ""
