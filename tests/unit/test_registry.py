"""@processor: what it reads, what it refuses, what it leaves as it was."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from jobqueue import (
    ConfigurationError,
    InvalidData,
    InvalidOption,
    Job,
    JobType,
    Queue,
    RegistrationError,
    Registry,
)
from jobqueue.backends import MemoryBackend
from jobqueue.model.record import JobRecord


class Ticket(BaseModel):
    number: int


class Other(BaseModel):
    name: str


TICKET = JobType("ticket.created", Ticket, queue="tickets")


def test_the_model_is_read_from_the_annotation() -> None:
    registry = Registry()

    @registry.processor("a")
    async def annotated(job: Job[Ticket]) -> None: ...

    @registry.processor("b")
    async def plain(job: Job) -> None: ...

    @registry.processor("c")
    async def bare(job) -> None: ...  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]

    assert annotated.job_type.data.annotation is Ticket
    assert plain.job_type.data.annotation is None
    assert registry.types() == ("a", "b", "c")


def test_a_type_has_one_processor() -> None:
    registry = Registry()

    @registry.processor("a")
    async def first(job: Job[Ticket]) -> None: ...

    with pytest.raises(RegistrationError, match="first"):

        @registry.processor("a")
        async def second(job: Job[Ticket]) -> None: ...


def test_a_job_type_and_its_processor_agree() -> None:
    with pytest.raises(RegistrationError, match="Ticket"):

        @Registry().processor(TICKET)  # pyright: ignore[reportArgumentType]
        async def wrong(job: Job[Other]) -> None: ...


def test_async_runs_on_the_loop() -> None:
    with pytest.raises(InvalidOption, match="run_in"):

        @Registry().processor("a", run_in="thread")
        async def wrong(job: Job[Any]) -> None: ...


async def test_the_function_stays_callable_and_gains_enqueue() -> None:
    registry = Registry()

    @registry.processor(TICKET)
    async def double(job: Job[Ticket]) -> int:
        """Twice the number."""
        return job.data.number * 2

    backend = MemoryBackend()
    record = JobRecord("a", "tickets", "ticket.created", b'{"number":21}')
    assert await double(Job(record, backend, payload=TICKET.data)) == 42
    assert double.__doc__ == "Twice the number."
    job = await double.enqueue(Ticket(number=1), queue=Queue("elsewhere", backend=backend), priority=1)
    assert (job.queue, job.priority, job.data) == ("elsewhere", 1, Ticket(number=1))
    with pytest.raises(InvalidData):
        await double.enqueue({"number": "x"}, queue=Queue("elsewhere", backend=backend))  # pyright: ignore[reportArgumentType]


async def test_a_processor_without_a_queue_asks_for_one() -> None:
    @Registry().processor("a")
    async def homeless(job: Job[Ticket]) -> None: ...

    with pytest.raises(ConfigurationError, match="queue="):
        await homeless.enqueue(Ticket(number=1))


def test_a_processor_is_declared_with_its_type() -> None:
    with pytest.raises(RegistrationError, match=r'@processor\("ticket.created"\)'):
        Registry().processor(_yields)  # pyright: ignore[reportArgumentType, reportCallIssue]


def test_where_it_runs_is_known() -> None:
    with pytest.raises(InvalidOption, match="'proces'"):
        Registry().processor("a", run_in="proces")  # pyright: ignore[reportArgumentType, reportCallIssue]


def _needs_two(job: Job[Any], session: object) -> None: ...


async def _yields(job: Job[Any]) -> AsyncGenerator[int]:
    yield 1


@pytest.mark.parametrize(("function", "refusal"), [(_needs_two, "session"), (_yields, "yields")])
def test_what_cannot_be_called_with_a_job_is_refused_at_once(function: Callable[..., Any], refusal: str) -> None:
    with pytest.raises(RegistrationError, match=refusal):
        Registry().processor("a")(function)


def test_another_process_must_find_it_by_name() -> None:
    with pytest.raises(RegistrationError, match="module level"):
        Registry().processor("a", run_in="process")(lambda _: None)
