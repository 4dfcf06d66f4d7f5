"""What one delivery cannot do, or does not hear of, the next one does; and nothing is done for others in vain."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
import redis.asyncio

from jobqueue import Job, Queue, Registry, Worker
from jobqueue.backends import MemoryBackend
from jobqueue.backends.endpoints import EndpointChange, Rules
from jobqueue.backends.protocol import (
    Backend,
    Exchange,
    FlowMember,
    NewFlow,
    NewRecord,
    Obliterate,
    Presence,
    Purge,
    Settlement,
    Upkeep,
    plain_delivery,
    plain_letter,
)
from jobqueue.backends.redis import keys, reach
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.courier import Courier
from jobqueue.backends.redis.delivering import OutboxCalls
from jobqueue.backends.redis.parting import MOST_BYTES
from jobqueue.errors import BackendUnavailable, Undelivered
from jobqueue.model.links import Need
from jobqueue.model.notice import Notice, Occasion
from jobqueue.model.outcome import Completed, Failed, Retention
from jobqueue.model.record import JobRecord, JobState
from jobqueue.testing.contract.dependencies import put_dependant, states_of
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, settle
from tests.faults.interludes import Stage

OTHER, AWAY, THIRD = "mail", "letters", "billing"


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nothing can be written into one queue; whoever tries is noted."""
    real, tried = Courier.write, list[str]()

    async def write(courier: Courier, queue: str, jobs: Sequence[NewRecord], *links: Any) -> Any:
        tried.append(queue)
        if queue == AWAY:
            raise BackendUnavailable("its node is away")
        return await real(courier, queue, jobs, *links)

    monkeypatch.setattr(Courier, "write", write)
    return tried


@contextlib.contextmanager
def nobody_delivers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls leave what they have caused in the outbox."""

    async def nothing(calls: OutboxCalls, queue: str, outbox: bool = True) -> None:
        pass

    with monkeypatch.context() as patch:
        patch.setattr(OutboxCalls, "_deliver_soon", nothing)
        yield


async def complete(backend: Backend, count: int) -> None:
    """What is claimed, in one exchange."""
    leases = await claim(backend, count)
    done = [Settlement(lease.id, lease.token or 0, Completed(b"1")) for lease in leases]
    await backend.exchange(QUEUE, Exchange("w", "w/9", 1, done))


async def test_a_flow_of_a_later_release_ends_no_worker_and_holds_up_nobody(
    stage: Stage, server: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    with nobody_delivers(monkeypatch):
        await backend.submit(QUEUE, NewFlow("f", [FlowMember(OTHER, job("m"))]))
    staged = keys.named("jobqueue", QUEUE, "staged:f")
    stored: Any = await server.hget(staged, "0")
    await server.hset(staged, "0", stored[:-1] + b',"a field more"]')
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    registry = Registry()

    @registry.processor(job("parent").type)
    async def run(job: Job[int]) -> None:
        del job

    async with Worker(Queue(QUEUE, backend=backend), registry=registry) as worker:
        with pytest.raises(Undelivered, match="a later release"):
            await worker.drain()
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    await server.hset(staged, "0", stored)
    assert await backend.deliver(QUEUE) == 1
    assert await states_of(backend, "m", queue=OTHER) == [JobState.WAITING]


async def test_a_time_that_is_no_number_ends_no_worker(stage: Stage, server: redis.asyncio.Redis) -> None:
    """Somebody else has written it: a digit, for all that Python says."""
    edge = {"kind": "edge", "to": OTHER, "heir": "x", "policy": "f", "parent": f"{QUEUE}/a", "state": "completed"}
    await server.xadd(keys.outbox("jobqueue", QUEUE), {**edge, "at": "\u00b2"})
    assert await stage.theirs.deliver(QUEUE) == 1


async def test_a_letter_that_cannot_be_written_holds_up_nobody(stage: Stage) -> None:
    memory = MemoryBackend()
    await memory.open()
    for backend in (stage.theirs, memory):
        await put(backend, "bad", "good")
        for lease in await claim(backend, 2):
            await settle(backend, lease, Failed(ERROR, dead_letter=AWAY))

        def letter(target: str, record: JobRecord) -> NewRecord:
            if record.id == "bad":
                raise KeyError("a codec's own fault")
            return plain_letter(target, record)

        assert await backend.deliver(QUEUE, letter) == 1
        with pytest.raises(Undelivered, match="KeyError") as caught:
            await backend.deliver(QUEUE, letter)
        assert caught.value.queue == AWAY
        assert "own fault" not in str(caught.value), "it may quote a payload"
        assert await backend.deliver(QUEUE) == 1
        assert (await backend.status(AWAY)).counts[JobState.WAITING] == 2


async def test_what_is_enqueued_during_an_obliteration_is_heard_of(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = stage.theirs
    await put(backend, *(f"failing-{number}" for number in range(150)))
    for lease in await claim(backend, 150):
        await settle(backend, lease, Failed(ERROR, dead_letter=AWAY))
    own = backend._calls  # pyright: ignore[reportPrivateUsage]
    real, late = Calls.run, list[str]()

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        answer = await real(calls, name, prefix, *words)
        # Delivery has been tried: what is left goes with the queue.
        if calls is own and name == "obliterate" and words[-1] == 1 and not late:
            late.append("parent")
            await put(stage.ours, *late)
            await put_dependant(stage.ours, "a", f"{QUEUE}/parent", queue=OTHER)
        return answer

    monkeypatch.setattr(Calls, "run", run)
    await backend.control(QUEUE, Obliterate())
    assert late
    assert await states_of(backend, "a", queue=OTHER) == [JobState.FAILED]


async def test_a_line_goes_on_though_nobody_heard_that_its_middle_had_ended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue in the middle has no workers: what was left there is handed on by the next try."""
    backend = stage.theirs
    await put(backend, "a")
    await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER)
    await put_dependant(backend, "c", f"{OTHER}/b", queue=THIRD)
    real, lost = Calls.run, list[str]()

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        answer = await real(calls, name, prefix, *words)
        if name == "resolve" and not lost:
            lost.append(name)
            raise BackendUnavailable("the reply is lost")
        return answer

    monkeypatch.setattr(Calls, "run", run)
    (lease,) = await claim(backend)
    await settle(backend, lease, Failed(ERROR))
    with monkeypatch.context() as hurried:
        # As where somebody else is away, and nobody is asked twice.
        hurried.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Undelivered):
            await backend.deliver(QUEUE)
    assert lost
    assert await states_of(backend, "b", queue=OTHER) == [JobState.FAILED]
    assert await states_of(backend, "c", queue=THIRD) == [JobState.BLOCKED]
    # Another one comes for it, who knows of nothing.
    assert await stage.ours.deliver(QUEUE) == 1
    assert await states_of(backend, "c", queue=THIRD) == [JobState.FAILED]


async def cut_between_pages(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection is lost while the outbox is read on, behind what is stuck."""
    real, reads = Calls.command, list[str]()

    async def command(calls: Calls, *words: Any) -> Any:
        if words[0] == "XRANGE" and QUEUE in words[1]:
            reads.append(words[1])
            if len(reads) == 2:
                raise BackendUnavailable("the connection is lost")
        return await real(calls, *words)

    with monkeypatch.context() as cut:
        cut.setattr(Calls, "command", command)
        with pytest.raises(BackendUnavailable):
            await stage.theirs.deliver(QUEUE)
    assert len(reads) == 2


async def cancelled_before_it_says_so(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever delivers ends with everything handed over, and nothing taken out."""

    async def take_out(courier: Courier, outbox: str, entry_ids: Sequence[str]) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as cut:
        cut.setattr(Courier, "take_out", take_out)
        with pytest.raises(asyncio.CancelledError):
            await stage.theirs.deliver(QUEUE)


@pytest.mark.parametrize("cut_off", [cut_between_pages, cancelled_before_it_says_so])
async def test_what_a_delivery_has_led_to_is_handed_on_though_the_delivery_is_cut_off(
    stage: Stage, away: list[str], monkeypatch: pytest.MonkeyPatch, cut_off: Callable[..., Awaitable[None]]
) -> None:
    backend = stage.theirs
    await put(backend, "a")
    await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER)
    await put_dependant(backend, "c", f"{OTHER}/b", queue=THIRD)
    await settle(backend, (await claim(backend))[0], Failed(ERROR))
    await put(backend, *(f"failing-{number}" for number in range(120)))
    for lease in await claim(backend, 120):
        await settle(backend, lease, Failed(ERROR, dead_letter=AWAY))
    await cut_off(stage, monkeypatch)
    with contextlib.suppress(Undelivered):
        while await stage.ours.deliver(QUEUE):
            pass
    assert await states_of(backend, "c", queue=THIRD) == [JobState.FAILED]
    assert AWAY in away


async def put_line(backend: Backend) -> None:
    """A job that fails, one of another queue that waits for it, and one of a third queue that waits for that."""
    await put(backend, "a")
    await put_dependant(backend, "b", f"{QUEUE}/a", queue=OTHER)
    await put_dependant(backend, "c", f"{OTHER}/b", queue=THIRD)


@contextlib.contextmanager
def third_is_away(monkeypatch: pytest.MonkeyPatch, backend: Any) -> Any:
    """Nothing can be told there."""
    real = Calls.run

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if name == "resolve" and THIRD in prefix:
            raise BackendUnavailable("its node is away")
        return await real(calls, name, prefix, *words)

    with monkeypatch.context() as patch:
        patch.setattr(Calls, "run", run)
        patch.setattr(backend._calls, "_deadline", 0.0)
        yield


async def test_a_line_goes_on_though_its_end_was_away(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue in the middle has no workers: who has told it of the beginning comes by there again."""
    backend = stage.theirs
    await put_line(backend)
    with third_is_away(monkeypatch, backend):
        await settle(backend, (await claim(backend))[0], Failed(ERROR))
        with pytest.raises(Undelivered, match="what queue 'mail' owes queue 'billing'"):
            await backend.deliver(QUEUE)
        assert await states_of(backend, "b", queue=OTHER) == [JobState.FAILED]
        assert await states_of(backend, "c", queue=THIRD) == [JobState.BLOCKED]
    assert await stage.ours.deliver(QUEUE) == 1
    assert await states_of(backend, "c", queue=THIRD) == [JobState.FAILED]


async def test_a_queue_with_workers_goes_on_by_itself_when_its_end_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells it of the beginning again and again for as long as the end is away."""
    backend = stage.theirs
    await put_line(backend)
    await backend.upkeep(OTHER, Upkeep(1, presence=Presence("v", "host", 1, 1, 0, 0), presence_ms=60_000))
    with third_is_away(monkeypatch, backend):
        await settle(backend, (await claim(backend))[0], Failed(ERROR))
        assert await backend.deliver(QUEUE) == 1
    assert await states_of(backend, "c", queue=THIRD) == [JobState.BLOCKED]
    assert await stage.ours.deliver(OTHER) == 1
    assert await states_of(backend, "c", queue=THIRD) == [JobState.FAILED]


async def test_a_letter_is_not_written_twice_because_something_else_takes_long(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is out of the outbox before the ends of lines are looked for: it might have been run and forgotten."""
    backend, real, owed = stage.theirs, Calls.run, list[str]()
    await put_line(backend)

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if name == "resolve" and THIRD in prefix:
            outbox = await calls.command("XRANGE", keys.outbox("jobqueue", QUEUE), "-", "+")
            owed.extend("edge" if b"edge" in flat else "letter" for _, flat in outbox)
        return await real(calls, name, prefix, *words)

    monkeypatch.setattr(Calls, "run", run)
    with nobody_delivers(monkeypatch):
        await settle(backend, (await claim(backend))[0], Failed(ERROR, dead_letter=AWAY))
    assert await backend.deliver(QUEUE) == 2
    assert owed == ["edge"]


async def test_a_delivery_does_not_wait_for_a_queue_that_is_never_empty(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend, real, rounds = stage.theirs, Courier.take_out, list[str]()
    await put_line(backend)
    others = [f"b{number}" for number in range(30)]
    await put(backend, *others, queue=OTHER)
    leases = (await backend.exchange(OTHER, Exchange("v", "v/0", 1, claim=30))).leases
    for other in others:
        await put_dependant(backend, f"after-{other}", f"{OTHER}/{other}", queue=THIRD)

    async def take_out(courier: Courier, outbox: str, entry_ids: Sequence[str]) -> None:
        await real(courier, outbox, entry_ids)
        if OTHER in outbox and len(rounds) < len(leases):
            # Somebody there has brought something to an end meanwhile.
            lease = leases[len(rounds)]
            rounds.append(lease.id)
            failed = Settlement(lease.id, lease.token or 0, Failed(ERROR))
            await backend.exchange(OTHER, Exchange("v", "v/0", 1 + len(rounds), [failed]))

    monkeypatch.setattr(Courier, "take_out", take_out)
    with nobody_delivers(monkeypatch):
        await settle(backend, (await claim(backend))[0], Failed(ERROR))
        assert await backend.deliver(QUEUE) == 1
    assert await states_of(backend, "c", queue=THIRD) == [JobState.FAILED]
    assert 0 < len(rounds) < 5


async def test_a_queue_that_is_away_keeps_no_others_gate_shut(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, real = stage.theirs, Calls.run

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if name == "open_gate" and AWAY in prefix:
            raise BackendUnavailable("its node is away")
        return await real(calls, name, prefix, *words)

    with monkeypatch.context() as patch:
        patch.setattr(Calls, "run", run)
        patch.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
        members = [FlowMember(AWAY, job("m0")), FlowMember(OTHER, job("m1"))]
        await backend.submit(QUEUE, NewFlow("f", members))
        assert await states_of(backend, "m0", queue=AWAY) == [JobState.BLOCKED]
        assert await states_of(backend, "m1", queue=OTHER) == [JobState.WAITING]
    while await stage.ours.deliver(QUEUE):
        pass
    assert await states_of(backend, "m0", queue=AWAY) == [JobState.WAITING]


async def test_a_member_that_failed_before_its_gate_opened_is_heard_of(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails when it is written; then the gate of another queue cannot be opened."""
    backend, lost = stage.theirs, list[str]()
    await put(backend, "x", queue=OTHER)
    (lease,) = (await backend.exchange(OTHER, Exchange("v", "v/0", 1, claim=1))).leases
    failed = Settlement(lease.id, lease.token or 0, Failed(ERROR))
    await backend.exchange(OTHER, Exchange("v", "v/0", 2, [failed]))
    real = Calls.run

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if name == "open_gate" and AWAY in prefix and not lost:
            lost.append(name)
            raise BackendUnavailable("its node is away")
        return await real(calls, name, prefix, *words)

    monkeypatch.setattr(Calls, "run", run)
    monkeypatch.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
    middle = NewRecord("m1", "t", b"1", needs=(Need(OTHER, "x"),))
    last = NewRecord("m2", "t", b"1", needs=(Need(OTHER, "m1"),))
    members = [FlowMember(AWAY, job("m0")), FlowMember(OTHER, middle), FlowMember(THIRD, last)]
    await backend.submit(QUEUE, NewFlow("f", members))
    assert lost
    while await stage.ours.deliver(QUEUE):
        pass
    assert await states_of(backend, "m1", queue=OTHER) == [JobState.FAILED]
    assert await states_of(backend, "m2", queue=THIRD) == [JobState.FAILED]


async def test_large_results_are_carried_in_parts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    backend, sizes = stage.theirs, list[int]()
    real = Calls.run

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if name == "resolve":
            sizes.append(sum(len(word) for word in words if isinstance(word, bytes)))
        answer: Any = await real(calls, name, prefix, *words)
        if name == "link":
            sizes.append(sum(len(word) for one in answer for word in one))
        return answer

    result = b'"%s"' % (b"x" * 250_000)
    await put(backend, *(f"parent{number}" for number in range(40)))
    for lease in await claim(backend, 40):
        await settle(backend, lease, Completed(result))
    monkeypatch.setattr(Calls, "run", run)
    needs = tuple(Need(QUEUE, f"parent{number}") for number in range(40))
    await backend.submit(OTHER, NewFlow("f", [FlowMember(OTHER, NewRecord("a", "t", b"1", needs=needs))]))
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    assert [one.result for one in await backend.inputs(OTHER, "a")] == [result] * 40
    assert sum(sizes) > 80 * len(result)
    assert max(sizes) < MOST_BYTES + 2 * len(result)


async def test_a_flow_of_large_payloads_is_carried_in_parts(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither read nor written as a whole: no line carries a hundred megabytes within the time that a call has."""
    backend, sizes = stage.theirs, list[int]()
    real = Courier.write

    async def write(courier: Courier, queue: str, jobs: Sequence[NewRecord], *links: Any) -> Any:
        sizes.append(sum(len(one.data) for one in jobs))
        return await real(courier, queue, jobs, *links)

    monkeypatch.setattr(Courier, "write", write)
    data = b'"%s"' % (b"x" * 250_000)
    members = [FlowMember(OTHER, job(f"m{number}", data=data)) for number in range(60)]
    await backend.submit(QUEUE, NewFlow("f", members))
    assert (await backend.status(OTHER)).counts[JobState.WAITING] == 60
    assert sum(sizes) == 60 * len(data)
    # A part is read 25 jobs at a time.
    assert max(sizes) < MOST_BYTES + 25 * len(data)


async def test_letters_of_large_payloads_are_carried_in_parts(stage: Stage, away: list[str]) -> None:
    backend = stage.theirs
    data = b'"%s"' % (b"x" * 250_000)
    await backend.enqueue(QUEUE, [job(f"failing-{number}", data=data) for number in range(40)])
    for lease in await claim(backend, 40):
        await settle(backend, lease, Failed(ERROR, dead_letter=OTHER))
    while await backend.deliver(QUEUE):
        pass
    assert away == [OTHER] * 3
    assert (await backend.status(OTHER)).counts[JobState.WAITING] == 40


async def test_a_call_hands_over_all_that_it_has_left_though_something_is_stuck(
    stage: Stage, server: redis.asyncio.Redis, away: list[str]
) -> None:
    backend = stage.theirs
    await backend.submit(QUEUE, NewFlow("f", [FlowMember(AWAY, job("m"))]))
    await put(backend, *(f"parent{number}" for number in range(500)))
    heirs = [NewRecord(f"a{number}", "t", b"1", needs=(Need(QUEUE, f"parent{number}"),)) for number in range(500)]
    await backend.enqueue(OTHER, heirs)
    await backend.control(QUEUE, Purge())
    assert (await backend.status(OTHER)).counts[JobState.FAILED] == 500
    assert await server.xlen(keys.outbox("jobqueue", QUEUE)) == 1
    assert AWAY in away


async def test_a_receiver_is_not_told_again_because_another_one_is_away(stage: Stage, away: list[str]) -> None:
    backend = stage.theirs
    for endpoint, target in (("a", OTHER), ("b", AWAY), ("c", OTHER)):
        rules = Rules(frozenset({Occasion.COMPLETED}), target)
        assert await backend.write_endpoint(QUEUE, EndpointChange(endpoint, "", "r1", rules, b"{}"))
    await put(backend, "j")
    await complete(backend, 1)
    sent: list[str] = []
    for number in range(3):
        with contextlib.suppress(Undelivered):
            await backend.deliver(QUEUE)
        page = await backend.exchange(OTHER, Exchange("w", "w/h", 2 * number, claim=9))
        sent += (lease.id for lease in page.leases)
        # Nobody remembers that it was sent.
        done = [Settlement(lease.id, lease.token or 0, Completed(b"1", Retention(0))) for lease in page.leases]
        await backend.exchange(OTHER, Exchange("w", "w/h", 2 * number + 1, done))
    assert len(sent) == 2
    assert AWAY in away


async def test_no_receiver_is_told_before_all_that_share_its_queue_can_be(stage: Stage) -> None:
    memory = MemoryBackend()
    await memory.open()

    def notice(about: Notice) -> NewRecord | None:
        if about.endpoint == "b":
            raise KeyError("a codec's own fault")
        return plain_delivery(about)

    for backend in (stage.theirs, memory):
        for endpoint in ("a", "b"):
            rules = Rules(frozenset({Occasion.COMPLETED}), OTHER)
            assert await backend.write_endpoint(QUEUE, EndpointChange(endpoint, "", "r1", rules, b"{}"))
        await put(backend, "j")
        await complete(backend, 1)
        with pytest.raises(Undelivered, match="KeyError") as caught:
            await backend.deliver(QUEUE, plain_letter, notice)
        assert caught.value.queue == OTHER
        assert (await backend.status(OTHER)).counts[JobState.WAITING] == 0
        assert await backend.deliver(QUEUE) == 1
        assert (await backend.status(OTHER)).counts[JobState.WAITING] == 2


async def test_the_next_delivery_does_not_wait_for_whoever_was_away(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try may take a whole deadline. What goes elsewhere gets on; and a call may ask again."""
    backend, asked = stage.theirs, list[str]()
    real = Calls.run

    async def run(calls: Calls, name: str, prefix: str, *words: Any) -> Any:
        if AWAY in prefix:
            asked.append(name)
            raise BackendUnavailable("its node is away")
        return await real(calls, name, prefix, *words)

    await put(backend, "failing")
    await settle(backend, (await claim(backend))[0], Failed(ERROR, dead_letter=AWAY))
    await put(backend, "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    monkeypatch.setattr(Calls, "run", run)
    monkeypatch.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(reach, "_REST", 60.0)
    with pytest.raises(Undelivered):
        await backend.deliver(QUEUE)
    await complete(backend, 1)
    assert await backend.deliver(QUEUE) == 1
    assert len(asked) == 1
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    assert await backend.submit(QUEUE, NewFlow("f", [FlowMember(AWAY, job("m"))]))
    assert len(asked) == 2


async def test_edges_reach_a_queue_though_the_list_of_queues_is_out_of_reach(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a cluster it lies with another node."""
    backend = stage.theirs
    await put(backend, "failing-for-away", "failing")
    for lease, target in zip(await claim(backend, 2), (AWAY, OTHER), strict=True):
        await settle(backend, lease, Failed(ERROR, dead_letter=target))
    parents = [f"parent{number}" for number in range(150)]
    await put(backend, *parents)
    heirs = [NewRecord(f"a-{parent}", "t", b"1", needs=(Need(QUEUE, parent),)) for parent in parents]
    await backend.enqueue(OTHER, heirs)
    await complete(backend, 150)
    real = Calls.command

    async def command(calls: Calls, *words: Any) -> Any:
        if words[0] == "SADD":
            raise BackendUnavailable("its node is away")
        return await real(calls, *words)

    with monkeypatch.context() as away:
        away.setattr(Calls, "command", command)
        away.setattr(backend._calls, "_deadline", 0.0)  # pyright: ignore[reportPrivateUsage]
        # It knows one of them to be in the list.
        assert await backend.deliver(QUEUE) == 151
    assert (await backend.status(OTHER)).counts[JobState.WAITING] == 151
    assert await stage.ours.deliver(QUEUE) == 1
    assert (await backend.status(AWAY)).counts[JobState.WAITING] == 1
