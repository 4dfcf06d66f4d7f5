"""F28: hostile payloads are refused where they are enqueued, with a typed error and nothing written; written into the
server by hand they fail with a reason, harm no neighbour, and leave the worker no larger than it was.

JOBQUEUE_HOSTILE_ROUNDS=30 asks for a thousand of them by hand instead of a hundred and thirty.
"""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from pydantic import BaseModel, ConfigDict

from jobqueue import (
    DeadLetters,
    InvalidData,
    InvalidInput,
    InvalidName,
    Job,
    JobState,
    JobType,
    NewJob,
    PayloadTooLarge,
    Queue,
    Registry,
    Worker,
)
from jobqueue.backends import MemoryBackend, RedisBackend, SealedBackend
from jobqueue.testing import ManualClock
from tests.codecs import CODECS
from tests.security.stored import StoredJob

ROUNDS = int(os.environ.get("JOBQUEUE_HOSTILE_ROUNDS", "4"))
WARM_UP = 2
MOST_GROWTH = 40_000_000
"""Bytes. A worker that kept one copy of what it refused would grow by 40 million a round, and so by 80 million from the
first two rounds to those after them. Twenty come and go, with the buffers of whichever reply was the last.
"""
TEN_MB = 10_000_000
TEXTS = (
    "<script>alert(1)</script>",
    "\x00",
    "a\x00b\r\nERROR forged",
    "\x1b[2J",
    "\u202egnp.exe",
    "' OR 1=1 --",
    "{{7*7}}",
)


class Strict(BaseModel):
    """Takes no field that it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True)

    number: int
    body: Any = None


STRICT = JobType("f28.strict", Strict)


def _deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


HOSTILE_DATA: tuple[tuple[str, Any, type[InvalidInput]], ...] = (
    ("10 MB", "x" * TEN_MB, PayloadTooLarge),
    ("10 MB in many values", [0] * (TEN_MB // 2), PayloadTooLarge),
    ("depth 10 000", _deep(10_000), InvalidData),
    ("depth 33", _deep(33), InvalidData),
    ("NaN", float("nan"), InvalidData),
    ("infinity within", {"a": [float("-inf")]}, InvalidData),
    ("lone surrogate", "\ud800", InvalidData),
    ("lone surrogate in a key", {"\udfff": 1}, InvalidData),
    ("bytes", b"\xff", InvalidData),
    ("an object", object(), InvalidData),
    ("itself", None, InvalidData),
)
HOSTILE_MODELS: tuple[tuple[str, Any, type[InvalidInput]], ...] = (
    ("unknown field", {"number": 1, "admin": True}, InvalidData),
    ("wrong type", {"number": "1"}, InvalidData),
    ("missing", {}, InvalidData),
    ("no object", [1], InvalidData),
    ("depth 10 000", {"number": 1, "body": _deep(10_000)}, InvalidData),
    ("10 MB", {"number": 1, "body": "x" * TEN_MB}, PayloadTooLarge),
    ("NaN", {"number": 1, "body": float("nan")}, InvalidData),
    ("lone surrogate", {"number": 1, "body": "\ud800"}, InvalidData),
)

# By hand: what is written, and whether a processor of any JSON may run with it.
BY_HAND: tuple[tuple[str, bytes, bool], ...] = (
    ("10 MB", b'"' + b"x" * TEN_MB + b'"', False),
    ("10 MB of digits", b"9" * TEN_MB, False),
    ("depth 10 000", b"[" * 10_000 + b"]" * 10_000, False),
    ("depth 10 000 of objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, False),
    ("NaN", b"NaN", False),
    ("infinity", b'{"number":-Infinity}', False),
    ("lone surrogate", b'"\\ud800"', False),
    ("no UTF-8", b'"\xed\xa0\x80"', False),
    ("a raw NUL", b'"\x00"', False),
    ("a bare NUL", b"\x00", False),
    ("nothing", b"", False),
    ("a script", b"<script>alert(1)</script>", False),
    ("trailing", b'{"number":1}}', False),
    ("a NUL in JSON", b'"\\u0000"', True),
    ("a script in JSON", b'{"a":"<script>"}', True),
    ("unknown fields", b'{"number":1,"admin":true}', True),
    ("wrong types", b'{"number":"1"}', True),
)


@pytest.fixture
def tickets() -> Queue:
    return Queue("tickets", backend=MemoryBackend())


@pytest.mark.parametrize(("name", "data", "refusal"), HOSTILE_DATA, ids=[name for name, _, _ in HOSTILE_DATA])
async def test_f28_refused_where_it_is_enqueued(tickets: Queue, name: str, data: Any, refusal: type[Exception]) -> None:
    if name == "itself":
        data = []
        data.append(data)
    with pytest.raises(refusal) as caught:
        await tickets.enqueue("f28.any", data)
    assert len(str(caught.value)) < 500, "a refusal does not quote what it refuses"
    with pytest.raises(refusal):
        await tickets.enqueue_many([NewJob("f28.any", 1), NewJob("f28.any", data)])
    assert (await tickets.counts()).total == 0


@pytest.mark.parametrize(("name", "data", "refusal"), HOSTILE_MODELS, ids=[name for name, _, _ in HOSTILE_MODELS])
async def test_f28_refused_by_its_model(tickets: Queue, name: str, data: Any, refusal: type[Exception]) -> None:
    with pytest.raises(refusal) as caught:
        await tickets.enqueue_many([NewJob(STRICT, data)])
    assert len(str(caught.value)) < 500
    assert (await tickets.counts()).total == 0


@pytest.mark.parametrize("name", ["<script>", "a\x00b", "x" * 10_000, "os.system()", "a\nb", ""])
async def test_f28_refused_as_a_name(tickets: Queue, name: str) -> None:
    for refused in (
        lambda: tickets.enqueue(name),
        lambda: tickets.enqueue("f28.any", job_id=name),
        lambda: tickets.enqueue("f28.any", tags=[name]),
    ):
        with pytest.raises(InvalidName) as caught:
            await refused()
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300
    assert (await tickets.counts()).total == 0


class Bench:
    """A queue on a server, behind a codec or not, and a worker for any JSON and for a strict model."""

    def __init__(self, client: redis.asyncio.Redis, codec: str) -> None:
        self.client = client
        self.clock = ManualClock()
        self.bare = RedisBackend(client, clock=self.clock)
        self.backend = SealedBackend(self.bare, CODECS[codec]) if codec else self.bare
        self.queue = Queue("tickets", backend=self.backend)
        self.registry = Registry()

        @self.registry.processor("f28.any")
        async def echo(job: Job[Any]) -> Any:
            return job.data

        @self.registry.processor(STRICT)
        async def strict(job: Job[Strict]) -> int:
            return job.data.number

    async def put(self, job: Job[Any, Any], data: bytes) -> None:
        await StoredJob(self.client, "tickets", job.id).put({b"data": data})

    async def work(self) -> None:
        await Worker(self.queue, registry=self.registry, clock=self.clock).drain()

    async def forget(self) -> None:
        for name in ("tickets", "dead-letter"):
            await Queue(name, backend=self.backend).obliterate(force=True)


@pytest.fixture(params=["", "signed", "encrypted"], ids=["plain", "signed", "encrypted"])
async def bench(request: pytest.FixtureRequest, valkey_url: str) -> AsyncGenerator[Bench]:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        bench = Bench(client, request.param)
        await bench.backend.open()
        yield bench
        await bench.forget()
        await bench.backend.close()


@pytest.mark.parametrize("text", TEXTS, ids=repr)
async def test_f28_texts_are_only_texts(bench: Bench, text: str) -> None:
    job = await bench.queue.enqueue("f28.any", {text: [text]})
    await bench.work()
    assert await job.result(5) == {text: [text]}


async def test_f28_an_unknown_processor_is_waited_for(bench: Bench) -> None:
    job = await bench.queue.enqueue("f28.nobody", "<script>")
    await bench.work()
    await job.refresh()
    assert (job.state, job.attempt) == (JobState.DELAYED, 0)


@pytest.mark.timeout(60 + 10 * ROUNDS)
async def test_f28_written_by_hand_it_fails_with_a_reason_and_the_worker_stays_as_it_is(bench: Bench) -> None:
    sealed = bench.backend is not bench.bare
    grown: list[int] = []
    for _ in range(ROUNDS):
        await _round(bench, sealed=sealed)
        grown.append(_resident())
    assert min(grown[WARM_UP:]) - min(grown[:WARM_UP]) < MOST_GROWTH, grown


async def _round(bench: Bench, *, sealed: bool) -> None:
    anything = await bench.queue.enqueue_many([NewJob("f28.any") for _ in BY_HAND])
    strict = await bench.queue.enqueue_many([NewJob(STRICT, Strict(number=1)) for _ in BY_HAND])
    for jobs in (anything, strict):
        for job, (_, data, _) in zip(jobs, BY_HAND, strict=True):
            await bench.put(job, data)
    neighbour = await bench.queue.enqueue("f28.any", "neighbour")
    await bench.work()
    assert await neighbour.result(5) == "neighbour"
    for job, (name, data, may_run) in zip(anything, BY_HAND, strict=True):
        await job.refresh()
        if may_run and not sealed:
            assert job.state is JobState.COMPLETED, name
        else:
            _assert_failed(job, name, data, sealed=sealed)
    for job, (name, data, _) in zip(strict, BY_HAND, strict=True):
        await job.refresh()
        _assert_failed(job, name, data, sealed=sealed)
    letters = await DeadLetters(backend=bench.backend).letters(limit=1000)
    assert len(letters) == len(strict) + (len(anything) if sealed else sum(not run for _, _, run in BY_HAND))
    await bench.forget()


def _assert_failed(job: Job[Any, Any], name: str, data: bytes, *, sealed: bool) -> None:
    assert job.state is JobState.FAILED, name
    assert job.error is not None
    assert job.error.type == ("BadSignature" if sealed else "InvalidData"), name
    assert 0 < len(job.error.message) <= 2001, name
    if len(data) > 1000:
        assert data[:200].decode("latin-1") not in job.error.message


def _resident() -> int:
    """Bytes of memory that this process has, without what is free and only kept by its allocator: that comes and goes
    by tens of megabytes with whatever ran before.
    """
    gc.collect()
    if give_back := getattr(ctypes.CDLL(None), "malloc_trim", None):
        give_back(0)
    status = Path("/proc/self/statm")
    if not status.exists():
        pytest.skip("resident memory is read from /proc")
    return int(status.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
