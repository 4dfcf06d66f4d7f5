"""What type checkers refuse: each line that says so."""

from __future__ import annotations

from pydantic import BaseModel

from jobqueue import Batch, Flow, Job, JobType, NewJob, Queue, Schedule, Worker, processor, scheduled


class Ticket(BaseModel):
    number: int


class Other(BaseModel):
    name: str


TICKET = JobType("typing.wrong", Ticket, result=int)


@processor(TICKET)
async def double(job: Job[Ticket]) -> int:
    return job.data.nummer  # error


@processor(TICKET)  # error
async def mismatched(job: Job[Other]) -> int:
    return 1


@processor("typing.batch", batch=Batch())  # error
async def alone(job: Job[Ticket]) -> None: ...


async def use(queue: Queue) -> None:
    await queue.enqueue(TICKET, Other(name="x"))  # error
    await queue.enqueue("by.name", {}, prio=1)  # error
    await queue.enqueue("by.name", {}, delay="soon")  # error
    await double.enqueue(Other(name="x"))  # error
    job = await queue.enqueue(TICKET, Ticket(number=1))
    text: str = await job.result()  # error
    Worker(queue, concurrency="many")  # error
    Schedule("s", cron=5, job=NewJob("x"))  # error
    Schedule("s", cron="@daily")  # error
    Schedule("s", cron="@daily", catch_up="some", job=NewJob("x"))  # error
    scheduled("@daily", prio=1)  # error
    flow = Flow(queue)
    number = flow.add(TICKET, Ticket(number=1))
    flow.add(TICKET, number.result)  # error
    flow.add(TICKET, Other(name="x"))  # error
    print(text)
