"""What is handed over from the outbox may be handed over again, by somebody else, and much later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends.protocol import FlowMember, NewFlow, Purge, Remove, Retry
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.courier import Courier
from jobqueue.backends.redis.delivering import OutboxCalls
from jobqueue.errors import BackendUnavailable
from jobqueue.model.links import Need
from jobqueue.model.outcome import Completed, Failed, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.contract.dependencies import finish, put_dependant, states_of
from jobqueue.testing.contract.steps import ERROR, QUEUE, job, put, state
from tests.faults.interludes import Cut, How, Stage, staged

OTHER = "mail"


@pytest.fixture
async def stage(valkey_url: str) -> AsyncIterator[Stage]:
    async with staged(valkey_url) as found:
        yield found


@pytest.fixture
async def server(valkey_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        yield client


async def in_outbox(server: redis.asyncio.Redis, key: str) -> list[Any]:
    """The entries, as they are."""
    found: Any = await server.xrange(key)
    return [fields for _, fields in found]


async def keys_on(server: redis.asyncio.Redis) -> set[bytes]:
    """All that is stored."""
    return {key async for key in server.scan_iter()}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


async def test_an_old_end_does_not_fail_a_job_that_was_retried(
    stage: Stage, server: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, outbox = stage.theirs, keys.outbox("jobqueue", OTHER)
    await put(backend, "parent", queue=OTHER)
    await put_dependant(backend, "a", f"{OTHER}/parent")
    # Handed over, and the one who did it ended before he could say so.
    taken: list[list[Any]] = []
    real = Courier.forget

    async def forget(courier: Courier, command: str, key: str, *members: str) -> None:
        if key == outbox:
            taken.append(await in_outbox(server, outbox))
        await real(courier, command, key, *members)

    monkeypatch.setattr(Courier, "forget", forget)
    await finish(backend, "parent", Failed(ERROR), queue=OTHER)
    assert await state(backend, "a") is JobState.FAILED
    (edges,) = taken
    await backend.amend(OTHER, "parent", Retry())
    await backend.amend(QUEUE, "a", Retry())
    assert await state(backend, "a") is JobState.BLOCKED
    for fields in edges:
        await server.xadd(outbox, fields)
    await backend.deliver(OTHER)
    assert await state(backend, "a") is JobState.BLOCKED
    await finish(backend, "parent", Completed(b"1"), queue=OTHER)
    assert await state(backend, "a") is JobState.WAITING
    assert [one.result for one in await backend.inputs(QUEUE, "a")] == [b"1"]


async def test_a_flow_of_which_a_part_has_run_long_ago_is_let_go_and_not_written_again(
    stage: Stage, server: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    real = Courier.open_gate
    opened: list[str] = []

    async def open_gate(courier: Courier, queue: str, flow: str, job_ids: list[str]) -> None:
        if opened:
            raise BackendUnavailable("it ended here")
        opened.append(queue)
        await real(courier, queue, flow, job_ids)

    monkeypatch.setattr(Courier, "open_gate", open_gate)
    members = [FlowMember(QUEUE, job("a")), FlowMember(OTHER, job("b"))]
    assert await backend.submit(QUEUE, NewFlow("f", members, recorded=False))
    assert opened == [QUEUE]
    await finish(backend, "a", Completed(None, Retention(0)))
    monkeypatch.setattr(Courier, "open_gate", real)
    # What the queue remembers of its gates is swept after some minutes.
    await server.delete(keys.named("jobqueue", QUEUE, "calls"))
    await stage.clock.advance(seconds=3600)
    while await backend.deliver(QUEUE):
        pass
    assert await states_of(backend, "a") == [None]
    assert await states_of(backend, "b", queue=OTHER) == [JobState.WAITING]
    assert not await server.exists(keys.named("jobqueue", QUEUE, "staged:f"))


async def test_a_delivery_that_comes_when_all_is_done_leaves_nothing_behind(
    stage: Stage, server: redis.asyncio.Redis
) -> None:
    backend, outbox = stage.theirs, keys.outbox("jobqueue", QUEUE)
    assert await backend.submit(QUEUE, NewFlow("f", [FlowMember(QUEUE, job("a"))], recorded=False))
    await finish(backend, "a", Completed(None, Retention(0)))
    await server.xadd(outbox, {"kind": "flow", "flow": "f", "gate": "f@old"})
    before = await keys_on(server)
    await backend.deliver(QUEUE)
    assert await keys_on(server) == before


@pytest.mark.parametrize("next_call", [Remove(), Purge()])
async def test_what_a_call_that_was_cut_off_has_left_is_handed_over_by_the_next(
    stage: Stage, next_call: Remove | Purge, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    await put(backend, "a", "b")
    dependant = replace(job("c"), needs=(Need(QUEUE, "a"),))
    await backend.enqueue(OTHER, [dependant])

    async def ended(calls: OutboxCalls, queue: str, outbox: bool = True) -> None:
        pass

    with monkeypatch.context() as cut_off:
        cut_off.setattr(OutboxCalls, "_deliver_soon", ended)
        await backend.amend(QUEUE, "a", Remove())
    assert await states_of(backend, "c", queue=OTHER) == [JobState.BLOCKED]
    if isinstance(next_call, Remove):
        await backend.amend(QUEUE, "b", next_call)
    else:
        await backend.control(QUEUE, next_call)
    assert await states_of(backend, "c", queue=OTHER) == [JobState.FAILED]


async def test_a_repeat_hands_over_what_its_first_try_has_left(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(stage.theirs, "a")
    await stage.theirs.enqueue(OTHER, [replace(job("c"), needs=(Need(QUEUE, "a"),))])
    cut = Cut(monkeypatch, stage.ours, How.LOST, "remove")
    await stage.ours.amend(QUEUE, "a", Remove())
    assert cut.struck
    assert await states_of(stage.theirs, "c", queue=OTHER) == [JobState.FAILED]
