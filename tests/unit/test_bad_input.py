"""Bad input is refused in the caller's stack, with a typed error, and nothing is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from jobqueue import (
    DeadLetters,
    Flow,
    FlowHandle,
    InvalidData,
    InvalidInput,
    InvalidName,
    InvalidOption,
    Job,
    JobDefaults,
    JobNotFound,
    JobType,
    Keep,
    NewJob,
    PayloadTooLarge,
    Queue,
    Registry,
    Retry,
    Webhook,
    Worker,
    connect,
    workers,
)
from jobqueue.backends import MemoryBackend
from jobqueue.catalogue import KNOWN_TYPES


class Card(BaseModel):
    number: int
    pin: SecretStr = SecretStr("")


CARD = JobType("card.issued", Card)
SOON = datetime.now(UTC) + timedelta(hours=1)


def _a_second(attempt: int, error: BaseException) -> float:
    return 1.0


@pytest.fixture
def tickets() -> Queue:
    return Queue("tickets", backend=MemoryBackend())


@pytest.mark.parametrize(
    "options",
    [
        {"priority": -1},
        {"priority": 2_097_152},
        {"priority": 1.5},
        {"priority": True},
        {"delay": -1},
        {"delay": float("nan")},
        {"delay": float("inf")},
        {"delay": 11 * 365 * 86_400},
        {"delay": "5"},
        {"run_at": datetime(2030, 1, 1)},  # noqa: DTZ001  (naive on purpose)
        {"run_at": datetime(2999, 1, 1, tzinfo=UTC)},
        {"delay": 1, "run_at": SOON},
        {"timeout": 0},
        {"expires_in": 0},
        {"retry": 0},
        {"retry": Retry(backoff=_a_second)},
        {"tags": "one-text"},
        {"tags": [f"t{n}" for n in range(17)]},
        {"keep": 5},
    ],
    ids=str,
)
async def test_options(tickets: Queue, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        await tickets.enqueue("t", 1, **options)
    with pytest.raises(InvalidOption):
        await tickets.enqueue_many([NewJob("t", 1), NewJob("t", 1, **options)])
    assert (await tickets.counts()).total == 0


async def test_unknown_options(tickets: Queue) -> None:
    for kind in (TypeError, InvalidOption):
        with pytest.raises(kind, match="no such option: prio; there are priority"):
            await tickets.enqueue("t", 1, prio=1)  # pyright: ignore[reportCallIssue]
    assert (await tickets.counts()).total == 0


@pytest.mark.parametrize("name", ["", "Tickets", "a b", "a:b", "{a}", "a" * 101, "ä", "-a"])
async def test_names(name: str, tickets: Queue) -> None:
    with pytest.raises(InvalidName):
        Queue(name)
    with pytest.raises(InvalidName):
        await tickets.enqueue(name)
    with pytest.raises(InvalidName):
        await tickets.enqueue("t", tags=[name])


@pytest.mark.parametrize("job_id", ["", "a b", "a\nb", "a{b", "x" * 201])
async def test_job_ids(tickets: Queue, job_id: str) -> None:
    with pytest.raises(InvalidName):
        await tickets.enqueue("t", job_id=job_id)


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "data",
    [float("nan"), float("inf"), "\ud800", object(), {1.5: 1}, b"\xff\xfe", _deep(33), {1, 2}, {"at": SOON}],
    ids=["nan", "inf", "surrogate", "object", "key", "bytes", "deep", "set", "datetime"],
)
async def test_data_that_is_not_json(tickets: Queue, data: Any) -> None:
    with pytest.raises(InvalidData):
        await tickets.enqueue("t", data)
    assert (await tickets.counts()).total == 0


async def test_the_limit_is_counted_in_bytes(tickets: Queue) -> None:
    await tickets.enqueue("t", "x" * (256 * 1024 - 2))
    with pytest.raises(PayloadTooLarge, match="262146 bytes"):
        await tickets.enqueue("t", "ä" * (128 * 1024))


async def test_a_model_refuses_with_its_errors_and_without_the_input(tickets: Queue) -> None:
    with pytest.raises(InvalidData) as caught:
        await tickets.enqueue(
            "card.unknown-here", JobType("card.issued", Card).data.decode(b'{"number":"4111-secret"}')
        )
    assert [fault["loc"] for fault in caught.value.errors] == [("number",)]
    assert "4111-secret" not in str(caught.value) + str(caught.value.errors)


async def test_all_three_spellings_check_alike(tickets: Queue) -> None:
    with pytest.raises(InvalidData):
        await tickets.enqueue(CARD, {"number": "x"})  # pyright: ignore[reportArgumentType, reportCallIssue]
    with pytest.raises(InvalidData):
        await tickets.enqueue_many([NewJob(CARD, {"number": "x"})])
    stored = (await tickets.enqueue(CARD, Card(number=1, pin=SecretStr("1234")))).record
    assert stored.data == b'{"number":1,"pin":"1234"}', "the worker needs the secret itself"


def test_settings_of_handles() -> None:
    with pytest.raises(InvalidOption):
        Retry(jitter=2)
    with pytest.raises(InvalidOption):
        Keep(completed=-1)
    with pytest.raises(InvalidOption):
        Queue("a", defaults=JobDefaults(priority=-1))
    with pytest.raises(InvalidOption):
        Worker()
    with pytest.raises(InvalidOption):
        Worker(Queue("a"), Queue("a"))
    with pytest.raises(InvalidOption):
        Worker(Queue("a"), concurrency={"b": 1})
    with pytest.raises(InvalidInput):
        Worker(Queue("a"), concurrency=0)


async def test_lists_of_jobs(tickets: Queue) -> None:
    for jobs in (None, NewJob("t"), "t", [None], ["t"], [NewJob]):
        with pytest.raises(InvalidOption, match=r"NewJob\("):
            await tickets.enqueue_many(jobs)  # pyright: ignore[reportArgumentType]
    assert (await tickets.counts()).total == 0


def test_flows(tickets: Queue) -> None:
    flow = Flow(tickets)
    node = flow.add("a")
    with pytest.raises(InvalidOption, match="slice"):
        node.result[1:2]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidOption, match="another backend"):
        flow.add("b", queue=Queue("other", backend=MemoryBackend()))
    with pytest.raises(InvalidOption, match="a Queue or its name"):
        flow.add("b", queue=5)  # pyright: ignore[reportArgumentType]
    for kind in (None, 5):
        with pytest.raises(InvalidName):
            flow.add(kind)  # pyright: ignore[reportArgumentType]
    flow.add("b", queue=Queue("by-default"))
    assert len(flow.nodes) == 2


def _call(queue: Queue, path: str) -> Callable[..., Awaitable[Any]]:
    """A method of the queue's, or of what is beside it."""
    beside: dict[str, Any] = {
        "letters": DeadLetters(backend=MemoryBackend()),
        "schedules": queue.schedules,
        "webhooks": queue.webhooks,
    }
    owner, _, method = path.rpartition(".")
    return getattr(beside[owner] if owner else queue, method)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("get", [None]),
        ("retry", [None]),
        ("cancel", [7]),
        ("remove", [b"a"]),
        ("reprioritize", [None, 1]),
        ("letters.retry", [None]),
        ("letters.discard", [7]),
    ],
)
async def test_an_id_is_a_text(tickets: Queue, method: str, words: list[Any]) -> None:
    with pytest.raises(InvalidName, match="_id must be a text, not"):
        await _call(tickets, method)(*words)


@pytest.mark.parametrize(
    ("method", "words", "options"),
    [
        ("jobs", ["failed"], {"limit": 1.5}),
        ("jobs", ["failed"], {"offset": True}),
        ("groups", [], {"limit": "9"}),
        ("stats", [0], {}),
        ("stats", [None], {}),
        ("retry_failed", [-1], {}),
        ("retry_failed", [1001], {}),
        ("clean", ["failed"], {"limit": 0.5}),
        ("schedules.list", [], {"limit": 1.5}),
        ("webhooks.deliveries", [], {"limit": None}),
        ("letters.letters", [], {"limit": "all"}),
    ],
)
async def test_a_page_is_counted_in_whole_numbers(
    tickets: Queue, method: str, words: list[Any], options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidOption, match=r"must be a whole number from [01]"):
        await _call(tickets, method)(*words, **options)


async def test_a_reason_is_a_text_and_is_cut(tickets: Queue) -> None:
    job = await tickets.enqueue("t", 1)
    wrong: Any = 5
    with pytest.raises(InvalidOption, match="reason must be a text, not int"):
        await job.cancel(wrong)
    with pytest.raises(InvalidOption, match="reason must be a text, not int"):
        await tickets.cancel(job.id, wrong)
    with pytest.raises(InvalidOption, match="reason must be a text, not int"):
        await FlowHandle(tickets, "none").cancel(wrong)
    await job.cancel("x" * 5000)
    await job.refresh()
    assert job.reason == "x" * 1000


async def test_how_long_somebody_waits_is_a_length_of_time(tickets: Queue) -> None:
    job = await tickets.enqueue("t", 1)
    handle = FlowHandle(tickets, "none")
    wrong: list[Any] = ["soon", -1, True]
    for timeout in wrong:
        for call in (job.result, handle.wait, handle.result):
            with pytest.raises(InvalidOption, match="timeout must be"):
                await call(timeout)
    with pytest.raises(TimeoutError, match=f"job '{job.id}' has not finished within 0.001 s"):
        await job.result(timedelta(milliseconds=1))


@pytest.mark.parametrize("name", ["events", "types", "include"])
@pytest.mark.parametrize("given", [None, 5, "job.completed", {"job.completed": 1}])
def test_what_a_webhook_is_told_is_a_list(name: str, given: Any) -> None:
    options: dict[str, Any] = {name: given}
    with pytest.raises(InvalidOption, match=f"{name} must be a list"):
        Webhook("w", "https://example.com", **options)


async def test_a_webhook_is_put_as_one(tickets: Queue) -> None:
    wrong: Any = {"id": "w"}
    with pytest.raises(InvalidOption, match="put takes a Webhook"):
        await tickets.webhooks.put(wrong)


async def test_what_is_done_on_failure_is_known_also_where_nothing_is_waited_for(tickets: Queue) -> None:
    with pytest.raises(InvalidOption, match="on_failure must be one of fail, run, ignore"):
        await tickets.enqueue("t", 1, on_failure="zz")
    await tickets.enqueue("t", 1, on_failure="run")


async def test_data_of_a_flow_that_holds_itself(tickets: Queue) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidData):
        Flow(tickets).add("t", {"list": endless})


async def test_a_backend_that_is_not_open_yet() -> None:
    unopened: Any = connect("memory://")
    for use in (lambda: Queue("tickets", backend=unopened), lambda: DeadLetters(backend=unopened)):
        with pytest.raises(InvalidOption, match="async with connect"):
            use()
    with pytest.raises(InvalidOption, match="not str"):
        Queue("tickets", backend="redis://localhost")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidOption, match="async with connect"):
        await workers(unopened)


def test_a_worker_of_a_list(tickets: Queue) -> None:
    with pytest.raises(InvalidOption, match="Worker\\(tickets, mails\\)"):
        Worker([tickets])  # pyright: ignore[reportArgumentType]


async def test_nothing_is_called_by_half_a_character(tickets: Queue) -> None:
    assert await tickets.get("\udc80") is None
    with pytest.raises(JobNotFound):
        await tickets.retry("\udc80")


async def test_new_data_of_a_letter_is_what_its_type_takes() -> None:
    backend = MemoryBackend()
    tickets, letters = Queue("tickets", backend=backend), DeadLetters(backend=backend)
    KNOWN_TYPES.add(CARD)
    registry = Registry()

    @registry.processor(CARD, retry=Retry(attempts=1))
    async def fails(job: Job[Card]) -> None:
        raise ValueError

    await tickets.enqueue(CARD, Card(number=1))
    await Worker(tickets, registry=registry).drain()
    (letter,) = await letters.letters()
    with pytest.raises(InvalidData):
        await letters.retry(letter.id, data={"number": "none"})
    assert await letters.letters() == [letter]
    assert await letters.retry(letter.id, data={"number": 2})
