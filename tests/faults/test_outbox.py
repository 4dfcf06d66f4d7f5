"""What cannot be handed over holds up nothing else, and nothing is left of it when its queue is obliterated."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import (
    Cancel,
    Exchange,
    FlowMember,
    NewFlow,
    NewRecord,
    Obliterate,
    Remove,
    Retry,
    RetryFailed,
    Settlement,
    Spawning,
)
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.courier import Courier
from jobqueue.backends.redis.delivering import OutboxCalls
from jobqueue.errors import BackendUnavailable, Undelivered
from jobqueue.model.links import Need, OnFailure
from jobqueue.model.outcome import Completed, Failed, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.contract.dependencies import finish, put_dependant, states_of
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, settle, state
from tests.faults.interludes import Stage

OTHER, AWAY = "mail", "letters"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nothing can be written into one queue until this is undone."""
    real = Courier.write

    async def write(courier: Courier, queue: str, jobs: Sequence[NewRecord], *links: Any) -> Any:
        if queue == AWAY:
            raise BackendUnavailable("its node is away")
        return await real(courier, queue, jobs, *links)

    monkeypatch.setattr(Courier, "write", write)
    return monkeypatch


async def leave_letters(backend: RedisBackend, count: int, name: str = "failing") -> None:
    """For the queue that is away."""
    await put(backend, *(f"{name}-{number}" for number in range(count)))
    for lease in await claim(backend, count):
        await settle(backend, lease, Failed(ERROR, dead_letter=AWAY))


async def deliver(backend: RedisBackend, queue: str = QUEUE) -> None:
    """As a worker does, until there is nothing left or no getting on."""
    with contextlib.suppress(Undelivered):
        while await backend.deliver(queue):
            pass


@pytest.mark.parametrize("letters", [1, 250])
async def test_letters_for_a_queue_that_is_away_hold_up_nobody(
    stage: Stage, server: redis.asyncio.Redis, away: pytest.MonkeyPatch, letters: int
) -> None:
    backend = stage.theirs
    await leave_letters(backend, letters)
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"1"))
    await deliver(backend)
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    assert await server.xlen(keys.outbox("jobqueue", QUEUE)) == letters
    away.undo()
    await deliver(backend)
    assert (await backend.status(AWAY)).counts[JobState.WAITING] == letters


async def test_a_flow_for_a_queue_that_is_away_holds_up_nobody(stage: Stage, away: pytest.MonkeyPatch) -> None:
    backend = stage.theirs
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    assert await backend.submit(QUEUE, NewFlow("f", [FlowMember(AWAY, job("m"))]))
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"1"))
    await deliver(backend)
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    away.undo()
    await deliver(backend)
    assert await states_of(backend, "m", queue=AWAY) == [JobState.WAITING]


async def test_a_queue_that_is_away_is_asked_once_in_a_round(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = stage.theirs
    asked: list[str] = []
    real = backend._calls.run  # pyright: ignore[reportPrivateUsage]

    async def run(name: str, prefix: str, *words: Any) -> Any:
        if AWAY in prefix:
            asked.append(name)
            raise BackendUnavailable("its node is away")
        return await real(name, prefix, *words)

    for number in range(3):
        await backend.submit(QUEUE, NewFlow(f"f{number}", [FlowMember(OTHER, job(f"m{number}"))]))
    await leave_letters(backend, 5)
    monkeypatch.setattr(backend._calls, "run", run)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(Undelivered, match=f"{QUEUE}.*{AWAY}.*its node is away") as caught:
        await backend.deliver(QUEUE)
    assert isinstance(caught.value.__cause__, BackendUnavailable)
    assert caught.value.queue == AWAY
    assert len(asked) == 1


async def test_effects_are_handed_over_on_a_full_server(stage: Stage, server: redis.asyncio.Redis) -> None:
    """All that does not make new jobs: what waits must be able to go on, or the server could not be drained."""
    backend = stage.theirs
    await put(backend, "parent", queue=OTHER)
    await put_dependant(backend, "a", f"{OTHER}/parent")
    await backend.amend(OTHER, "parent", Cancel("no"))
    assert await state(backend, "a") is JobState.FAILED
    await backend.amend(OTHER, "parent", Retry())
    await put(backend, "another")
    await put_dependant(backend, "b", f"{QUEUE}/another", queue=OTHER)
    await server.config_set("maxmemory", 1)  # pyright: ignore[reportUnknownMemberType]
    try:
        assert (await backend.amend(QUEUE, "a", Retry())) is JobState.BLOCKED
        await backend.amend(QUEUE, "another", Cancel("no"))
        assert await states_of(backend, "b", queue=OTHER) == [JobState.FAILED]
        await finish(backend, "parent", Completed(b"1"), queue=OTHER)
        assert await state(backend, "a") is JobState.WAITING
    finally:
        await server.config_set("maxmemory", 0)  # pyright: ignore[reportUnknownMemberType]


async def test_a_flow_that_was_written_begins_on_a_full_server(
    stage: Stage, server: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Courier.written

    async def written(courier: Courier, *words: Any) -> None:
        await server.config_set("maxmemory", 1)  # pyright: ignore[reportUnknownMemberType]
        await real(courier, *words)

    monkeypatch.setattr(Courier, "written", written)
    try:
        await stage.theirs.submit(QUEUE, NewFlow("f", [FlowMember(OTHER, job("m"))]))
        assert await states_of(stage.theirs, "m", queue=OTHER) == [JobState.WAITING]
    finally:
        await server.config_set("maxmemory", 0)  # pyright: ignore[reportUnknownMemberType]


async def test_an_obliterated_queue_leaves_nothing_of_what_it_could_not_hand_over(
    stage: Stage, server: redis.asyncio.Redis, away: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    await leave_letters(backend, 150)
    await put(backend, "p")
    (lease,) = await claim(backend)
    kids = NewFlow(
        "p/1",
        [FlowMember(AWAY, job("kid"))],
        recorded=False,
        spawning=Spawning("p", lease.token or 0, (Need(AWAY, "kid"),)),
    )
    await backend.submit(QUEUE, kids)
    await backend.control(QUEUE, Obliterate(force=True))
    left = [key async for key in server.scan_iter() if b"{tickets}" in key]  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert left == []


@pytest.mark.parametrize("batches", ["a", "abcdef"])
@pytest.mark.parametrize("queue", [OTHER, QUEUE])
async def test_a_job_that_is_gone_is_found_behind_letters(
    stage: Stage, away: pytest.MonkeyPatch, batches: str, queue: str
) -> None:
    """What it came to lies in the outbox still, so it was not removed."""
    backend = stage.theirs
    for batch in batches:
        await leave_letters(backend, 200, batch)
    await put(backend, "parent")
    # So many that also those in its own queue are told by the outbox.
    for start in (0, 600):
        heirs = [replace(job(f"{start + number}"), needs=(Need(QUEUE, "parent"),)) for number in range(600)]
        await backend.enqueue(queue, heirs)
        await deliver(backend, queue)
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"7", Retention(0)))
    away.setattr(Courier, "spread", _unreachable)
    await backend.amend(queue, "5", Cancel("stuck?"))
    await backend.amend(queue, "5", Retry())
    assert await states_of(backend, "5", queue=queue) == [JobState.WAITING]
    assert [one.result for one in await backend.inputs(queue, "5")] == [b"7"]


async def _unreachable(*_: Any) -> None:
    raise BackendUnavailable("its node is away")


async def test_two_queues_whose_jobs_ask_each_other_s_for_what_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand at a time: neither waits for the other's outbox to become shorter."""
    backend = stage.theirs
    await put(backend, "gone")
    await put(backend, "gone", queue=OTHER)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(OutboxCalls, "_deliver_soon", _later)
        for queue, other in ((QUEUE, OTHER), (OTHER, QUEUE)):
            need = Need(other, "gone", OnFailure.RUN)
            await backend.enqueue(queue, [replace(job(f"{number}"), needs=(need,)) for number in range(1000)])
        for queue in (QUEUE, OTHER):
            await backend.amend(queue, "gone", Remove())
    await deliver(backend)
    await deliver(backend, OTHER)
    for queue in (QUEUE, OTHER):
        assert (await backend.status(queue)).counts[JobState.WAITING] == 1000


async def _later(calls: OutboxCalls, queue: str, outbox: bool = True) -> None:
    """Whoever left it ends before he can hand it over."""


@pytest.mark.parametrize("stuck", [50, 100, 200])
async def test_a_queue_is_not_obliterated_before_those_elsewhere_have_heard(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, stuck: int
) -> None:
    backend = stage.theirs
    await put(backend, "parent")
    for start in range(0, stuck, 50):
        heirs = [replace(job(f"{start + number}"), needs=(Need(QUEUE, "parent"),)) for number in range(50)]
        await backend.enqueue(OTHER, heirs)
    with monkeypatch.context() as away:
        away.setattr(Courier, "resolve", _unreachable)
        with pytest.raises(Undelivered):
            await backend.control(QUEUE, Obliterate())
    await backend.control(QUEUE, Obliterate())
    assert (await backend.status(OTHER)).counts[JobState.FAILED] == stuck


async def test_a_call_ends_though_effects_keep_coming(stage: Stage, away: pytest.MonkeyPatch) -> None:
    """It hands over what it has left, and leaves to workers what is stuck."""
    backend, number = stage.theirs, 0
    assert await backend.submit(QUEUE, NewFlow("f", [FlowMember(AWAY, job("m"))]))
    real = Courier.take_out

    async def take_out(courier: Courier, outbox: str, entry_ids: Sequence[str]) -> None:
        nonlocal number
        await real(courier, outbox, entry_ids)
        if outbox == keys.outbox("jobqueue", QUEUE):
            number += 1
            assert number < 10, "it goes on for ever"
            await put(stage.ours, f"parent{number}")
            await put_dependant(stage.ours, f"a{number}", f"{QUEUE}/parent{number}", queue=OTHER)
            (lease,) = await claim(stage.ours)
            await settle(stage.ours, lease, Completed(b"1"))

    away.setattr(Courier, "take_out", take_out)
    await put(backend, "first")
    await put_dependant(backend, "a", f"{QUEUE}/first", queue=OTHER)
    await backend.amend(QUEUE, "first", Cancel("no"))
    assert await states_of(backend, "a", queue=OTHER) == [JobState.FAILED]


async def test_what_stands_far_behind_is_found_in_the_rounds_after(
    stage: Stage, server: redis.asyncio.Redis, away: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    for batch in "abcdefghij":
        await leave_letters(backend, 200, batch)
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"1"))
    for _ in range(3):
        await deliver(backend)
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    away.undo()
    await deliver(backend)
    assert await server.xlen(keys.outbox("jobqueue", QUEUE)) == 0
    assert (await backend.status(AWAY)).counts[JobState.WAITING] == 2000


async def test_an_effect_of_a_later_release_is_left_for_its_workers(stage: Stage, server: redis.asyncio.Redis) -> None:
    backend, outbox = stage.theirs, keys.outbox("jobqueue", QUEUE)
    for _ in range(150):
        await server.xadd(outbox, {"kind": "unheard-of", "to": QUEUE})
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"1"))
    assert await backend.deliver(QUEUE) == 1
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    with pytest.raises(Undelivered, match="later release"):
        await backend.deliver(QUEUE)
    with pytest.raises(Undelivered, match="later release"):
        await backend.control(QUEUE, Obliterate())
    assert await server.xlen(outbox) == 150


@pytest.mark.parametrize("letters", [1, 120])
async def test_a_full_server_takes_what_waits_there_though_it_takes_no_letters(
    stage: Stage, server: redis.asyncio.Redis, letters: int
) -> None:
    """Both go to the same queue: the letters are refused, and what could drain it goes on."""
    backend = stage.theirs
    await put(backend, *(f"failing-{number}" for number in range(letters)))
    for lease in await claim(backend, letters):
        await settle(backend, lease, Failed(ERROR, dead_letter=OTHER))
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"1"))
    await server.config_set("maxmemory", 1)  # pyright: ignore[reportUnknownMemberType]
    try:
        await deliver(backend)
        assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    finally:
        await server.config_set("maxmemory", 0)  # pyright: ignore[reportUnknownMemberType]
    assert await server.xlen(keys.outbox("jobqueue", QUEUE)) == letters


async def test_what_stands_behind_a_thousand_is_handed_over_round_by_round(
    stage: Stage, server: redis.asyncio.Redis, away: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    for batch in "abcdef":
        await leave_letters(backend, 200, batch)
    await put(backend, *(f"parent{number}" for number in range(500)))
    needs = [NewRecord(f"a{number}", "t", b"1", needs=(Need(QUEUE, f"parent{number}"),)) for number in range(500)]
    for start in range(0, 500, 100):
        await backend.enqueue(OTHER, needs[start : start + 100])
    leases = await claim(backend, 500)
    done = [Settlement(lease.id, lease.token or 0, Completed(b"1")) for lease in leases]
    await backend.exchange(QUEUE, Exchange("w", "w/9", 1, done))
    counts: list[int] = []
    while (await backend.status(OTHER)).counts[JobState.WAITING] < 500:
        try:
            counts.append(await backend.deliver(QUEUE))
        except Undelivered:
            counts.append(0)
    assert counts.count(0) == 1, "once in a row it has looked at a thousand of those that are stuck"


async def test_an_obliteration_by_force_tells_all_that_can_be_told(stage: Stage, away: pytest.MonkeyPatch) -> None:
    backend = stage.theirs
    await put(backend, "parent")
    for start in range(0, 1200, 200):
        # Each in a flow of its own, for a queue that is away.
        await backend.submit(QUEUE, NewFlow(f"f{start}", [FlowMember(AWAY, job(f"m{start}"))], recorded=False))
    for batch in "abcdef":
        await leave_letters(backend, 200, batch)
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    await backend.control(QUEUE, Obliterate(force=True))
    assert await states_of(backend, "a", queue=OTHER) == [JobState.FAILED]


async def test_what_is_retried_asks_for_many_in_parts(stage: Stage, server: redis.asyncio.Redis) -> None:
    backend, many = stage.theirs, 1500
    parents = [f"p{number}" for number in range(many)]
    for start in (0, 750):
        await put(backend, *parents[start : start + 750], queue=OTHER)
    needs = tuple(Need(OTHER, parent) for parent in parents)
    await backend.enqueue(QUEUE, [replace(job("a"), needs=needs)])
    await deliver(backend)
    await backend.amend(QUEUE, "a", Cancel("no"))
    assert await backend.amend(QUEUE, "a", Retry()) is JobState.BLOCKED
    assert await server.xlen(keys.outbox("jobqueue", QUEUE)) == 0, "all of it has been handed over"
    for parent in parents:
        await backend.amend(OTHER, parent, Cancel("no"))
    assert await state(backend, "a") is JobState.FAILED


async def test_many_that_are_retried_are_a_batch_for_each_two_thousand_needs(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    asked: list[int] = []
    real = backend._calls.run  # pyright: ignore[reportPrivateUsage]

    async def run(name: str, prefix: str, *words: Any) -> Any:
        answer = await real(name, prefix, *words)
        if name == "retry_failed":
            asked.append(len(answer[0]))
        return answer

    monkeypatch.setattr(backend._calls, "run", run)  # pyright: ignore[reportPrivateUsage]
    await put(backend, *(f"p{number}" for number in range(50)))
    needs = tuple(Need(QUEUE, f"p{number}") for number in range(50))
    await backend.enqueue(QUEUE, [replace(job(f"d{number}"), needs=needs) for number in range(100)])
    await backend.amend(QUEUE, "p0", Cancel("no"))
    assert (await backend.status(QUEUE)).counts[JobState.FAILED] == 100
    await backend.amend(QUEUE, "p0", Retry())
    assert len(await backend.control(QUEUE, RetryFailed())) == 100
    assert asked == [40, 40, 20]
    assert (await backend.status(QUEUE)).counts[JobState.BLOCKED] == 100
    for _ in range(50):
        (lease,) = await claim(backend)
        await settle(backend, lease, Completed(b"1"))
    await deliver(backend)
    assert (await backend.status(QUEUE)).counts[JobState.WAITING] == 100
