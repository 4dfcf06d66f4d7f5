"""What type checkers accept."""

from __future__ import annotations

from typing import Any, assert_type

from pydantic import BaseModel

from jobqueue import Batch, Flow, Job, JobType, NewJob, Node, Queue, Schedule, StoredSchedule, processor, scheduled


class Ticket(BaseModel):
    number: int


BY_NUMBER = JobType("typing.by.number", int, result=Ticket)
TICKET = JobType("typing.ticket", Ticket, result=int)


@processor(TICKET)
async def double(job: Job[Ticket]) -> int:
    assert_type(job.data, Ticket)
    return job.data.number * 2


@scheduled("@daily", data=Ticket(number=1), priority=1)
@processor("typing.daily")
async def daily(job: Job[Ticket]) -> None:
    assert_type(job.data, Ticket)


async def schedules(queue: Queue) -> None:
    assert_type(await queue.schedules.put(Schedule("s", every=5, job=NewJob(TICKET, Ticket(number=1)))), StoredSchedule)
    assert_type(await queue.schedules.list(), list[StoredSchedule])
    await daily.enqueue(Ticket(number=2))


@processor("typing.other")
def plain(job: Job[Ticket]) -> str:
    return str(job.data.number)


@processor("typing.batch", batch=Batch(size=10))
async def together(jobs: list[Job[Ticket]]) -> list[int | Exception]:
    assert_type(jobs[0].data, Ticket)
    return [ValueError() if job.data.number < 0 else job.data.number for job in jobs]


@processor("typing.batch.thread", batch=Batch())
def together_in_thread(jobs: list[Job[Ticket]]) -> None:
    assert_type(jobs[0].data, Ticket)


async def use(queue: Queue) -> None:
    job = await queue.enqueue(TICKET, Ticket(number=1), priority=1)
    assert_type(job, Job[Ticket, int])
    assert_type(await job.result(timeout=1), int)
    assert_type((await double.enqueue(Ticket(number=1))).data, Ticket)
    assert_type(await double(job), int)
    assert_type(plain(job), str)
    assert_type((await together.enqueue(Ticket(number=1))).data, Ticket)
    await queue.enqueue("by.name", {"anything": True})
    await queue.enqueue_many([NewJob(TICKET, Ticket(number=1)), NewJob("by.name")])


async def flows(queue: Queue) -> None:
    flow = Flow(queue)
    number = flow.add(TICKET, Ticket(number=1))
    assert_type(number, Node[Ticket, int])
    assert_type(flow.add(TICKET, {"number": number.result}, after=[number]), Node[Ticket, int])
    assert_type(flow.add(BY_NUMBER, number.result), Node[int, Ticket])
    assert_type(flow.add("by.name", {"anything": number.result}), Node[Any, Any])
    assert_type(await (await flow.submit()).result(), dict[str, Any])
