"""What is handed over from the outbox may be handed over again, by somebody else, and much later."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends.protocol import Cancel, Exchange, FlowMember, NewFlow, Obliterate, Remove, Retry, Settlement
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.courier import Courier
from jobqueue.backends.redis.delivering import OutboxCalls
from jobqueue.errors import BackendUnavailable
from jobqueue.model.links import Need
from jobqueue.model.outcome import Completed, Failed, Retention
from jobqueue.model.record import JobState
from jobqueue.testing.contract.dependencies import finish, put_dependant, states_of
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, settle, state
from tests.faults.interludes import Cut, How, Stage
from tests.faults.stragglers import Straggler

OTHER = "mail"


async def entries_in(server: redis.asyncio.Redis, outbox: str) -> list[Any]:
    """Id and fields of each, as they are."""
    found: Any = await server.xrange(outbox)
    return list(found)


async def keys_on(server: redis.asyncio.Redis) -> set[bytes]:
    """All that is stored."""
    return {key async for key in server.scan_iter()}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


async def _nothing(calls: OutboxCalls, queue: str, outbox: bool = True) -> None:
    """It ends before it has handed anything over."""


async def test_an_old_end_does_not_fail_a_job_that_was_retried(
    stage: Stage, server: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, outbox = stage.theirs, keys.outbox("jobqueue", OTHER)
    await put(backend, "parent", queue=OTHER)
    await put_dependant(backend, "a", f"{OTHER}/parent")
    # Handed over, and the one who did it ended before he could say so.
    taken: list[list[Any]] = []
    real = Courier.take_out

    async def take_out(courier: Courier, key: str, entry_ids: Sequence[str]) -> None:
        if key == outbox:
            taken.append(await entries_in(server, outbox))
        await real(courier, key, entry_ids)

    monkeypatch.setattr(Courier, "take_out", take_out)
    await finish(backend, "parent", Failed(ERROR), queue=OTHER)
    assert await state(backend, "a") is JobState.FAILED
    (edges,) = taken
    await backend.amend(OTHER, "parent", Retry())
    await backend.amend(QUEUE, "a", Retry())
    assert await state(backend, "a") is JobState.BLOCKED
    for _, fields in edges:
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


async def test_a_repeat_hands_over_what_its_first_try_has_left(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await put(stage.theirs, "a")
    await stage.theirs.enqueue(OTHER, [replace(job("c"), needs=(Need(QUEUE, "a"),))])
    cut = Cut(monkeypatch, stage.ours, How.LOST, "remove")
    await stage.ours.amend(QUEUE, "a", Remove())
    assert cut.struck
    assert await states_of(stage.theirs, "c", queue=OTHER) == [JobState.FAILED]


async def test_an_asking_that_comes_late_does_not_undo_a_newer_one(stage: Stage, straggler: Straggler) -> None:
    backend = stage.theirs
    await put(backend, "parent", queue=OTHER)
    asking = put_dependant(stage.ours, "a", f"{OTHER}/parent")
    async with straggler.stopped_before("link", asking):
        while await backend.deliver(QUEUE):
            pass
        await finish(backend, "parent", Failed(ERROR), queue=OTHER)
        assert await state(backend, "a") is JobState.FAILED
        await backend.amend(OTHER, "parent", Retry())
        await backend.amend(QUEUE, "a", Retry())
    await finish(backend, "parent", Completed(b"1"), queue=OTHER)
    assert await state(backend, "a") is JobState.WAITING


@pytest.mark.parametrize("handed_over", [False, True])
async def test_an_end_that_was_on_its_way_when_its_dependant_was_retried(
    stage: Stage, handed_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    await put(backend, "one", "two", queue=OTHER)
    await put_dependant(backend, "a", f"{OTHER}/one", f"{OTHER}/two")
    await finish(backend, "one", Failed(ERROR), queue=OTHER)
    await backend.amend(OTHER, "one", Retry())
    (lease,) = (await backend.exchange(OTHER, Exchange("v", "v/0", 1, claim=1))).leases
    assert lease.id == "two"
    done = Settlement("two", lease.token or 0, Completed(b"7", Retention(0)))
    await backend.exchange(OTHER, Exchange("v", "v/0", 2, [done]))
    with monkeypatch.context() as cut_off:
        if not handed_over:
            cut_off.setattr(OutboxCalls, "_deliver_soon", _nothing)
        await backend.amend(QUEUE, "a", Retry())
    for queue in (OTHER, QUEUE):
        while await backend.deliver(queue):
            pass
    assert await state(backend, "a") is JobState.BLOCKED
    await finish(backend, "one", Completed(b"1"), queue=OTHER)
    assert await state(backend, "a") is JobState.WAITING
    assert [one.result for one in await backend.inputs(QUEUE, "a")] == [b"1", b"7"]


async def test_an_asking_whose_reply_was_lost_hears_the_end_of_a_job_that_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(stage.theirs, "parent", queue=OTHER)
    cut = Cut(monkeypatch, stage.ours, How.LOST, "link")

    async def gone() -> None:
        (lease,) = (await stage.theirs.exchange(OTHER, Exchange("v", "v/0", 1, claim=1))).leases
        done = Settlement("parent", lease.token or 0, Completed(b"7", Retention(0)))
        await stage.theirs.exchange(OTHER, Exchange("v", "v/0", 2, [done]))

    cut.interlude = gone
    await put_dependant(stage.ours, "a", f"{OTHER}/parent")
    assert cut.struck
    while await stage.theirs.deliver(OTHER):
        pass
    assert await state(stage.theirs, "a") is JobState.WAITING
    assert [one.result for one in await stage.theirs.inputs(QUEUE, "a")] == [b"7"]


@pytest.mark.parametrize("again", [False, True])
async def test_a_flow_remembers_the_last_end_of_a_member(stage: Stage, straggler: Straggler, again: bool) -> None:
    backend = stage.theirs
    await backend.submit(QUEUE, NewFlow("f", [FlowMember(OTHER, job("a"), b"{}")]))
    (lease,) = (await backend.exchange(OTHER, Exchange("v", "v/0", 1, claim=1))).leases
    await backend.exchange(OTHER, Exchange("v", "v/0", 2, [Settlement("a", lease.token or 0, Failed(ERROR))]))
    async with straggler.stopped_before("resolve", stage.ours.deliver(OTHER)):
        await backend.amend(OTHER, "a", Retry())
        if again:
            await finish(backend, "a", Completed(b"1"), queue=OTHER)
    flow = await backend.flow(QUEUE, "f")
    assert flow is not None
    assert [one.state for one in flow.ended.values()] == (["completed"] if again else [])
    if not again:
        await finish(backend, "a", Completed(b"1"), queue=OTHER)
        flow = await backend.flow(QUEUE, "f")
        assert flow is not None
        assert [one.state for one in flow.ended.values()] == ["completed"]


async def test_a_straggler_leaves_what_a_newer_flow_of_that_id_has_staged(
    stage: Stage, straggler: Straggler, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow = NewFlow("f", [FlowMember(QUEUE, job("a"))])
    async with straggler.stopped_before("open_gate", stage.ours.submit(QUEUE, flow)):
        while await stage.theirs.deliver(QUEUE):
            pass
        await stage.theirs.control(QUEUE, Obliterate())
        with monkeypatch.context() as cut_off:
            cut_off.setattr(OutboxCalls, "_deliver_soon", _nothing)
            assert await stage.theirs.submit(QUEUE, flow)
    while await stage.theirs.deliver(QUEUE):
        pass
    assert await states_of(stage.theirs, "a") == [JobState.WAITING]


@pytest.mark.parametrize("keep", [0, 5])
async def test_many_heirs_of_a_job_that_a_worker_of_the_release_before_has_ended(
    stage: Stage, server: redis.asyncio.Redis, keep: int
) -> None:
    backend = stage.theirs
    await put(backend, "a")
    for start in (0, 600):
        await backend.enqueue(QUEUE, [replace(job(f"heir{start + n}"), needs=(Need(QUEUE, "a"),)) for n in range(600)])
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"1", Retention(keep)))
    # It gave the list no number.
    outbox = keys.outbox("jobqueue", QUEUE)
    ((entry, fields),) = await entries_in(server, outbox)
    await server.xdel(outbox, entry)
    await server.xadd(outbox, {name: value for name, value in fields.items() if name != b"list"})
    await server.hset(keys.named("jobqueue", QUEUE, "heirs:a"), "", "completed")
    while await backend.deliver(QUEUE):
        pass
    assert (await backend.status(QUEUE)).counts[JobState.WAITING] == 1200
    assert bool(await server.exists(keys.named("jobqueue", QUEUE, "heirs:a"))) == bool(keep)


async def test_letters_that_pile_up_cost_an_operator_nothing(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = stage.theirs
    await put(backend, *(str(number) for number in range(200)))
    for lease in await claim(backend, 200):
        await settle(backend, lease, Failed(ERROR, dead_letter="letters"))
    await put(backend, "a")
    asked: list[str] = []
    real = Calls.command

    async def command(calls: Calls, *words: Any) -> Any:
        asked.append(str(words[0]))
        return await real(calls, *words)

    monkeypatch.setattr(Calls, "command", command)
    await backend.amend(QUEUE, "a", Remove())
    assert asked == []


@pytest.mark.parametrize("again", [False, True])
async def test_a_good_end_is_heard_whatever_was_asked_since(stage: Stage, again: bool, straggler: Straggler) -> None:
    """The job is dropped with its end, so that nobody could be asked again."""
    backend = stage.theirs
    await put(backend, "parent", queue=OTHER)
    await put_dependant(backend, "a", f"{OTHER}/parent")
    await finish(backend, "parent", Failed(ERROR), queue=OTHER)
    await backend.amend(OTHER, "parent", Retry())
    if again:
        await backend.amend(QUEUE, "a", Retry())
        await backend.amend(QUEUE, "a", Remove())
        await put_dependant(backend, "a", f"{OTHER}/parent")
        await finish(backend, "parent", Completed(b"1", Retention(0)), queue=OTHER)
    else:
        # Its new asking comes after the end has been handed over.
        async with straggler.stopped_before("link", stage.ours.amend(QUEUE, "a", Retry())):
            await finish(backend, "parent", Completed(b"1", Retention(0)), queue=OTHER)
    assert await state(backend, "a") is JobState.WAITING


async def test_a_job_of_which_nobody_knows_any_more_is_freed_by_a_retry(
    stage: Stage, server: redis.asyncio.Redis
) -> None:
    backend = stage.theirs
    await put(backend, "parent", queue=OTHER)
    await put_dependant(backend, "a", f"{OTHER}/parent")
    # Gone with a failover.
    await server.delete(keys.named("jobqueue", OTHER, "heirs:parent"))
    await finish(backend, "parent", Completed(b"1"), queue=OTHER)
    await backend.amend(QUEUE, "a", Cancel("stuck"))
    await backend.amend(QUEUE, "a", Retry())
    assert await state(backend, "a") is JobState.WAITING


async def test_a_list_that_an_obliterated_queue_has_left_is_nobody_else_s(
    stage: Stage, server: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs

    async def many_heirs(job_id: str) -> None:
        await put(backend, job_id)
        for start in (0, 600):
            heirs = [replace(job(f"{job_id}{start + n}"), needs=(Need(QUEUE, job_id),)) for n in range(600)]
            await backend.enqueue(OTHER, heirs)

    async def away(courier: Courier, *words: Any) -> None:
        raise BackendUnavailable("the other queue's node is away")

    await many_heirs("x")
    with monkeypatch.context() as cut_off:
        cut_off.setattr(Courier, "spread", away)
        await backend.control(QUEUE, Obliterate(force=True))
    assert not await server.exists(keys.named("jobqueue", QUEUE, "heirs:x"))
    await many_heirs("y")
    await put(backend, "x")
    await put_dependant(backend, "k", "x")
    (lease, _) = await claim(backend, 2)
    assert lease.id == "y"
    await settle(backend, lease, Completed(b"1"))
    while await backend.deliver(QUEUE):
        pass
    assert (await backend.status(OTHER)).counts[JobState.WAITING] == 1200


async def test_whoever_is_forgotten_leaves_no_heirs(stage: Stage, server: redis.asyncio.Redis) -> None:
    backend = stage.theirs
    for flow in range(3):
        members = [FlowMember(QUEUE, job(f"{flow}-{number}"), b"{}") for number in range(50)]
        await backend.submit(QUEUE, NewFlow(f"f{flow}", members))
    for _ in range(3):
        leases = await claim(backend, 50)
        done = [Settlement(lease.id, lease.token or 0, Completed(b"1", Retention(20))) for lease in leases]
        assert (await backend.exchange(QUEUE, Exchange("v", f"v/{leases[0].id[0]}", 1, done))).refused == frozenset()
    left = {key for key in await keys_on(server) if b":heirs:" in key}
    kept = {job.id for job in await backend.find(QUEUE, JobState.COMPLETED)}
    assert {key.decode().rpartition(":")[2] for key in left} == kept


async def test_a_flow_is_reopened_on_a_full_server(stage: Stage, server: redis.asyncio.Redis) -> None:
    backend = stage.theirs
    await backend.submit(QUEUE, NewFlow("f", [FlowMember(OTHER, job("a"), b"{}")]))
    await finish(backend, "a", Failed(ERROR), queue=OTHER)
    await server.config_set("maxmemory", 1)  # pyright: ignore[reportUnknownMemberType]
    try:
        await backend.amend(OTHER, "a", Retry())
        flow = await backend.flow(QUEUE, "f")
    finally:
        await server.config_set("maxmemory", 0)  # pyright: ignore[reportUnknownMemberType]
    assert flow is not None
    assert flow.ended == {}


@pytest.mark.parametrize("members", [1, 600])
async def test_a_flow_whose_deliverer_stood_still_is_written_all_the_same(
    stage: Stage, straggler: Straggler, members: int
) -> None:
    """Nobody else has delivered it meanwhile, so that its gate was never opened."""
    flow = [FlowMember(QUEUE, job("a")), *(FlowMember(OTHER, job(f"b{number}")) for number in range(members))]
    async with straggler.stopped_before("write", stage.ours.submit(QUEUE, NewFlow("f", flow))):
        await stage.clock.advance(minutes=6)
    assert await states_of(stage.theirs, "a") == [JobState.WAITING]
    assert (await stage.theirs.status(OTHER)).counts[JobState.WAITING] == members


async def test_whoever_stood_still_while_a_flow_was_delivered_writes_nothing(
    stage: Stage, straggler: Straggler, server: redis.asyncio.Redis
) -> None:
    flow = NewFlow("f", [FlowMember(QUEUE, job("a")), FlowMember(OTHER, job("b"))], recorded=False)
    async with straggler.stopped_before("write", stage.ours.submit(QUEUE, flow)):
        while await stage.theirs.deliver(QUEUE):
            pass
        await finish(stage.theirs, "a", Completed(None, Retention(0)))
        await finish(stage.theirs, "b", Completed(None, Retention(0)), queue=OTHER)
        await stage.clock.advance(minutes=20)
        # Its gates are forgotten by then, as those of callers that are gone are.
        for queue in (QUEUE, OTHER):
            await server.delete(keys.named("jobqueue", queue, "calls"))
    assert await states_of(stage.theirs, "a") == [None]
    assert await states_of(stage.theirs, "b", queue=OTHER) == [None]


@pytest.mark.parametrize("minutes", [-60, 60])
async def test_a_flow_is_written_where_the_clock_differs(
    stage: Stage, minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes of a cluster have two clocks."""
    real = Courier.staged

    async def staged(courier: Courier, home: str, flow: str, *words: Any) -> tuple[Any, ...]:
        read_at, *more = await real(courier, home, flow, *words)
        return read_at + (minutes * 60_000 if flow else 0), *more

    monkeypatch.setattr(Courier, "staged", staged)
    await stage.ours.submit(QUEUE, NewFlow("f", [FlowMember(OTHER, job("b"))]))
    assert await states_of(stage.theirs, "b", queue=OTHER) == [JobState.WAITING]


@pytest.mark.parametrize("queue", [QUEUE, OTHER])
async def test_a_retry_hears_the_end_that_many_have_not_been_told_yet(stage: Stage, queue: str) -> None:
    backend = stage.theirs
    await put(backend, "a")
    for start in (0, 600):
        heirs = [replace(job(f"heir{start + n}"), needs=(Need(QUEUE, "a"),)) for n in range(600)]
        await backend.enqueue(queue, heirs)
        while await backend.deliver(queue):
            pass
    (lease,) = await claim(backend)
    await settle(backend, lease, Completed(b"7", Retention(0)))
    await backend.amend(queue, "heir5", Cancel("no"))
    await backend.amend(queue, "heir5", Retry())
    for other in (QUEUE, queue):
        while await backend.deliver(other):
            pass
    assert (await backend.status(queue)).counts[JobState.WAITING] == 1200


async def test_an_old_list_does_not_fail_a_job_that_was_retried(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = stage.theirs
    await put(backend, "a")
    for start in (0, 600):
        await backend.enqueue(QUEUE, [replace(job(f"heir{start + n}"), needs=(Need(QUEUE, "a"),)) for n in range(600)])
    with monkeypatch.context() as cut_off:
        cut_off.setattr(OutboxCalls, "_deliver_soon", _nothing)
        await backend.amend(QUEUE, "a", Remove())
    real, parts = Calls.run, 0

    async def run(calls: Calls, name: str, *words: Any) -> Any:
        nonlocal parts
        parts += name == "spread"
        if parts > 1:
            raise asyncio.CancelledError
        return await real(calls, name, *words)

    with monkeypatch.context() as dying:
        dying.setattr(Calls, "run", run)
        with pytest.raises(asyncio.CancelledError):
            await backend.deliver(QUEUE)
    told = (await backend.find(QUEUE, JobState.FAILED))[0].id
    await put(backend, "a")
    assert await backend.amend(QUEUE, told, Retry()) is JobState.BLOCKED
    while await backend.deliver(QUEUE):
        pass
    assert await state(backend, told) is JobState.BLOCKED
    await finish(backend, "a", Completed(b"1"))
    assert await state(backend, told) is JobState.WAITING
