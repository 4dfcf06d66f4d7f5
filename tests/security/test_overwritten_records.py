"""A record that somebody wrote over is that job's misfortune, not its neighbours'.

Each of these took other jobs or the worker with it once; fuzzing (``fuzz.py``) found them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import redis.asyncio

from jobqueue import DeadLetters, InvalidData, Job, JobState, NewJob, Queue, Registry, Retry, Worker
from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import Exchange
from jobqueue.testing import ManualClock
from tests.security.stored import StoredJob


class Bench:
    """A queue on a server, a hand that writes past the library, and a worker that notes what it ran."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self.client = client
        self.clock = ManualClock()
        self.backend = RedisBackend(client, clock=self.clock)
        self.queue = Queue("tickets", backend=self.backend)
        self.registry = Registry()

        @self.registry.processor("n", retry=Retry(attempts=2, delay=0))
        async def run(job: Job[Any]) -> Any:
            if job.data == "fails":
                raise ValueError("it fails")
            return job.data

    async def write(self, *words: str | int) -> None:
        await self.client.execute_command(*words)  # pyright: ignore[reportUnknownMemberType]

    def stored(self, job: Job[Any, Any]) -> StoredJob:
        return StoredJob(self.client, "tickets", job.id)

    async def overwrite(self, job: Job[Any, Any], field: str, value: str) -> None:
        await self.stored(job).put({field.encode(): value.encode()})

    async def work(self) -> None:
        await self.clock.advance(hours=1)
        await Worker(self.queue, registry=self.registry, clock=self.clock).drain()

    async def state(self, job: Job[Any, Any]) -> JobState:
        await job.refresh()
        return job.state


@pytest.fixture(params=["valkey", "redis"])
async def bench(request: pytest.FixtureRequest) -> AsyncGenerator[Bench]:
    url: str = request.getfixturevalue(f"{request.param}_url")
    async with redis.asyncio.Redis.from_url(url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        bench = Bench(client)
        await bench.backend.open()
        yield bench
        await bench.backend.close()


async def test_a_key_of_another_kind_fails_alone(bench: Bench) -> None:
    jobs = await bench.queue.enqueue_many([NewJob("n", number) for number in range(5)])
    for key in (bench.stored(jobs[2]).record, bench.stored(jobs[3]).ending, bench.stored(jobs[4]).life):
        await bench.write("DEL", key)
        await bench.write("RPUSH", key, "not", "a job")
    await bench.work()
    assert [await bench.state(job) for job in jobs] == [
        "completed", "completed", "failed", "completed", "completed",
    ]  # fmt: skip
    assert jobs[2].error is not None
    assert jobs[2].error.type == "Unreadable"


@pytest.mark.parametrize("priority", ["nan", "-inf", "1e400", "x", "", "99999999999999999999"])
async def test_a_priority_that_is_none_does_not_lose_what_is_due_with_it(bench: Bench, priority: str) -> None:
    jobs = await bench.queue.enqueue_many([NewJob("n", number, delay=60) for number in range(5)])
    await bench.overwrite(jobs[2], "priority", priority)
    await bench.work()
    assert {await bench.state(job) for job in jobs} == {JobState.COMPLETED}


@pytest.mark.parametrize("field", ["failures", "stalls", "expires"])
@pytest.mark.parametrize("count", ["x", "nan", "-7", "9223372036854775807", "253402300800000"])
async def test_counts_that_are_none_begin_anew(bench: Bench, field: str, count: str) -> None:
    jobs = await bench.queue.enqueue_many([NewJob("n", "fails" if number == 2 else number) for number in range(5)])
    # A worker claims all and dies, so that the stalls are counted too.
    await bench.backend.exchange("tickets", Exchange("dead", "dead/0", 1, claim=5))
    await bench.overwrite(jobs[2], field, count)
    await bench.work()
    assert [await bench.state(job) for job in jobs] == [
        "completed", "completed", "failed", "completed", "completed",
    ]  # fmt: skip


async def test_a_key_changed_while_it_runs_does_not_lose_who_ends_with_it(bench: Bench) -> None:
    jobs = await bench.queue.enqueue_many([NewJob("n", number) for number in range(3)])

    @bench.registry.processor("vandal")
    async def vandal(job: Job[Any]) -> None:
        await bench.write("DEL", bench.stored(job).record)
        await bench.write("RPUSH", bench.stored(job).record, "not a job")
        await bench.write("RPUSH", bench.stored(job).ending, "not an end")

    wrecked = await bench.queue.enqueue("vandal")
    await bench.work()
    assert {await bench.state(job) for job in (*jobs, wrecked)} == {JobState.COMPLETED}


async def test_a_record_cannot_address_its_own_letter(bench: Bench) -> None:
    job = await bench.queue.enqueue("n", "fails")
    await bench.stored(job).put({b"to": b"elsewhere", b"id": b"another", b"finished": b"1", b"job": b"x"})
    await bench.stored(job).put({b"field%d" % number: b"x" for number in range(5000)})
    await bench.work()
    (letter,) = await DeadLetters(backend=bench.backend).letters()
    assert letter.content.job_id == job.id
    assert await bench.backend.queues() == ["dead-letter", "tickets"]


@pytest.mark.parametrize("moment", ["9" * 40, "-62135596800001", "253402300800000", "nan"])
async def test_moments_no_calendar_has(bench: Bench, moment: str) -> None:
    """The letter of such a job took the worker down."""
    job = await bench.queue.enqueue("n", "fails")
    for field in ("created", "started", "finished"):
        await bench.overwrite(job, field, moment)
    await bench.work()
    (letter,) = await DeadLetters(backend=bench.backend).letters()
    await job.refresh()
    assert letter.content.created_at == job.created_at
    assert await bench.queue.oldest_age() is None


async def test_what_is_not_json_is_refused_in_words(bench: Bench) -> None:
    job = await bench.queue.enqueue("n", 1)
    for field in ("progress", "checkpoint", "result"):
        await bench.overwrite(job, field, "[" * 10_000)
    await job.refresh()
    for name in ("progress", "checkpoint_value", "result_value"):
        with pytest.raises(InvalidData):
            getattr(job, name)


async def test_a_type_that_is_no_name_fails_and_forges_no_line(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    job = await bench.queue.enqueue("n", 1)
    await bench.overwrite(job, "type", "n\x1b[2J ERROR forged")
    await bench.work()
    assert await bench.state(job) is JobState.FAILED
    assert job.error is not None
    assert job.error.type == "InvalidType"
    assert not any("forged" in str(record.__dict__) for record in caplog.records)


@pytest.mark.parametrize("timeout", ["-1", "0", '"nan"', '"inf"', "1e308"])
async def test_a_timeout_that_makes_no_sense_counts_as_none(bench: Bench, timeout: str) -> None:
    job = await bench.queue.enqueue("n", 1)
    await bench.overwrite(job, "options", f'{{"timeout":{timeout}}}')
    await bench.work()
    assert await bench.state(job) is JobState.COMPLETED


@pytest.mark.parametrize("spoilt", [("SET", "x"), ("HSET", "c0 n", "no number"), ("HSET", "us n", str(2**63 - 1))])
async def test_a_spoilt_statistic_stops_nobody(bench: Bench, spoilt: tuple[str, ...]) -> None:
    jobs = await bench.queue.enqueue_many([NewJob("n", number) for number in range(5)])
    await bench.clock.advance(hours=1)
    command, *words = spoilt
    await bench.write(command, f"jobqueue:{{tickets}}:stats:{bench.clock.now_ms() // 60_000}", *words)
    await Worker(bench.queue, registry=bench.registry, clock=bench.clock).drain()
    assert {await bench.state(job) for job in jobs} == {JobState.COMPLETED}
    await bench.queue.stats()


async def test_statistics_leave_by_themselves(bench: Bench) -> None:
    await bench.queue.enqueue("n", 1)
    await bench.work()
    key = f"jobqueue:{{tickets}}:stats:{bench.clock.now_ms() // 60_000}"
    day_ms = 86_400_000
    left_ms: int = await bench.client.pttl(key)
    assert day_ms / 2 < left_ms <= day_ms
