"""Between a call that was cut off and its repeat somebody else acts; or the first try comes after its repeat.

Each call takes effect once, and its answer is what it came to, whatever happens in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.endpoints import EndpointChange, Rules
from jobqueue.backends.looking import Presence
from jobqueue.backends.operations import PauseGroup, ResumeGroup, SetLimits
from jobqueue.backends.protocol import (
    Amendment,
    Cancel,
    Checkpoint,
    FlowMember,
    LogLines,
    NewFlow,
    Pause,
    Progress,
    Promote,
    Remove,
    Reprioritize,
    Reschedule,
    Resume,
    Retry,
    Upkeep,
)
from jobqueue.backends.redis import keys
from jobqueue.backends.scheduling import Firing, ScheduleChange
from jobqueue.errors import BackendUnavailable, InvalidState, JobNotFound, JobQueueError, QueueFull
from jobqueue.model.limits import Limits
from jobqueue.model.links import Need
from jobqueue.model.notice import Occasion
from jobqueue.model.outcome import Cancelled, Completed, Failed, Outcome, Released, Retention, RetryAt
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.unique import Unique
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, run, settle, state
from tests.faults.interludes import Cut, How, Stage

OTHER = "other"
GONE = Retention(0)


async def finish(backend: RedisBackend, outcome: Outcome | None = None) -> JobRecord:
    """Claim the next job and settle it."""
    (lease,) = await claim(backend)
    assert (await settle(backend, lease, outcome or Completed(b"1"))).refused == frozenset()
    return lease


def schedule(schedule_id: str = "nightly", expected: str = "", revision: str = "r1") -> ScheduleChange:
    return ScheduleChange(schedule_id, expected, None, revision, b"{}", b"[]", None, None, anchor_ms=1)


def endpoint(endpoint_id: str = "books", expected: str = "", revision: str = "r1") -> EndpointChange:
    return EndpointChange(endpoint_id, expected, revision, Rules(frozenset(Occasion), "webhooks"), b"{}")


class TestLostReplies:
    """The call took effect; what it said is lost, and others go on from what it did."""

    async def test_retry_runs_a_job_once_though_it_has_ended_again(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await run(stage.theirs, "a", Completed(b"1"))
        cut = Cut(monkeypatch, stage.ours, How.LOST, "retry")
        cut.interlude = lambda: finish(stage.theirs)
        assert await stage.ours.amend(QUEUE, "a", Retry()) is JobState.WAITING
        assert cut.struck
        assert await state(stage.theirs, "a") is JobState.COMPLETED

    async def test_retry_succeeds_though_the_job_runs_already(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await run(stage.theirs, "a", Failed(ERROR))
        cut = Cut(monkeypatch, stage.ours, How.LOST, "retry")
        cut.interlude = lambda: claim(stage.theirs)
        assert await stage.ours.amend(QUEUE, "a", Retry()) is JobState.WAITING
        assert await state(stage.theirs, "a") is JobState.ACTIVE

    async def test_retry_succeeds_though_the_job_has_been_dropped(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await run(stage.theirs, "a", Failed(ERROR))
        cut = Cut(monkeypatch, stage.ours, How.LOST, "retry")
        cut.interlude = lambda: finish(stage.theirs, Completed(None, GONE))
        assert await stage.ours.amend(QUEUE, "a", Retry()) is JobState.WAITING

    async def test_remove_leaves_a_newer_job_of_that_id(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "remove")
        cut.interlude = lambda: put(stage.theirs, "a")
        assert await stage.ours.amend(QUEUE, "a", Remove()) is JobState.WAITING
        assert await state(stage.theirs, "a") is JobState.WAITING

    async def test_cancel_leaves_what_a_retry_began(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "cancel")

        async def retried() -> None:
            await stage.theirs.amend(QUEUE, "a", Retry())
            await claim(stage.theirs)

        cut.interlude = retried
        assert await stage.ours.amend(QUEUE, "a", Cancel("no")) is JobState.CANCELLED
        found = await stage.theirs.get(QUEUE, "a")
        assert found is not None
        assert (found.state, found.cancel_requested) == (JobState.ACTIVE, None)

    async def test_cancel_leaves_a_newer_job_of_that_id(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "cancel")
        cut.interlude = lambda: put(stage.theirs, "a")
        assert await stage.ours.amend(QUEUE, "a", Cancel("no", GONE)) is JobState.CANCELLED
        assert await state(stage.theirs, "a") is JobState.WAITING

    @pytest.mark.parametrize("dropped", [False, True])
    async def test_promote_succeeds_though_the_job_has_run(
        self, stage: Stage, dropped: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stage.theirs.enqueue(QUEUE, [job("a", delay_ms=60_000)])
        cut = Cut(monkeypatch, stage.ours, How.LOST, "promote")
        cut.interlude = lambda: finish(stage.theirs, Completed(None, GONE if dropped else Retention()))
        assert await stage.ours.amend(QUEUE, "a", Promote()) is JobState.WAITING

    async def test_reschedule_succeeds_though_the_job_was_promoted_and_runs(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "reschedule")

        async def promoted() -> None:
            await stage.theirs.amend(QUEUE, "a", Promote())
            await claim(stage.theirs)

        cut.interlude = promoted
        assert await stage.ours.amend(QUEUE, "a", Reschedule(delay_ms=60_000)) is JobState.DELAYED
        assert await state(stage.theirs, "a") is JobState.ACTIVE

    async def test_reprioritize_succeeds_though_the_job_is_done(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "reprioritize")
        cut.interlude = lambda: finish(stage.theirs)
        assert await stage.ours.amend(QUEUE, "a", Reprioritize(1)) is JobState.WAITING

    async def test_reprioritize_puts_a_job_at_the_end_once(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "reprioritize")
        cut.interlude = lambda: put(stage.theirs, "b")
        await stage.ours.amend(QUEUE, "a", Reprioritize(3))
        assert [lease.id for lease in await claim(stage.theirs, 2)] == ["a", "b"]

    async def test_log_lines_are_written_once_though_others_follow(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await put(stage.theirs, "a")
        (lease,) = await claim(stage.theirs)
        token = lease.token or 0
        cut = Cut(monkeypatch, stage.ours, How.LOST, "annotate")
        cut.interlude = lambda: stage.theirs.annotate(QUEUE, "a", token, LogLines((b'"two"',)))
        assert await stage.ours.annotate(QUEUE, "a", token, LogLines((b'"one"',)))
        assert list(await stage.theirs.logs(QUEUE, "a")) == [b'"one"', b'"two"']

    async def test_a_note_was_taken_though_the_lease_is_lost_since(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await put(stage.theirs, "a")
        (lease,) = await claim(stage.theirs)
        cut = Cut(monkeypatch, stage.ours, How.LOST, "annotate")
        cut.interlude = lambda: settle(stage.theirs, lease, RetryAt(0, ERROR))
        assert await stage.ours.annotate(QUEUE, "a", lease.token or 0, Checkpoint(b"1"))

    async def test_a_newer_checkpoint_stays(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a")
        (lease,) = await claim(stage.theirs)
        cut = Cut(monkeypatch, stage.ours, How.LOST, "annotate")
        cut.interlude = lambda: stage.theirs.annotate(QUEUE, "a", lease.token or 0, Checkpoint(b"2"))
        await stage.ours.annotate(QUEUE, "a", lease.token or 0, Checkpoint(b"1"))
        found = await stage.theirs.get(QUEUE, "a")
        assert found is not None
        assert found.checkpoint == b"2"

    @pytest.mark.parametrize("dropped", [False, True])
    async def test_a_job_was_created_though_it_has_run_since(
        self, stage: Stage, dropped: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "enqueue_one")

        async def ran() -> None:
            await stage.clock.advance(seconds=1)
            await finish(stage.theirs, Completed(None, GONE if dropped else Retention()))

        cut.interlude = ran
        made_ms = stage.clock.now_ms()
        (answer,) = await stage.ours.enqueue(QUEUE, [job("a")])
        assert cut.struck
        assert (answer.created, answer.record.state, answer.record.created_ms) == (True, JobState.WAITING, made_ms)
        assert await claim(stage.theirs) == []

    async def test_each_job_of_a_batch_is_what_it_was(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "known", "gone")
        held = Unique("k")
        await stage.theirs.enqueue(QUEUE, [replace(job("holder"), unique=held)])
        cut = Cut(monkeypatch, stage.ours, How.LOST, "enqueue")

        async def changed() -> None:
            await stage.theirs.amend(QUEUE, "gone", Remove())
            await stage.theirs.amend(QUEUE, "holder", Remove())
            await stage.theirs.amend(QUEUE, "later", Promote())

        cut.interlude = changed
        batch = [
            *(job("new"), job("later", delay_ms=5000), job("known"), job("gone")),
            replace(job("next"), needs=(Need(QUEUE, "new"),)),
            replace(job("fell"), unique=held),
        ]
        answers = await stage.ours.enqueue(QUEUE, batch)
        assert cut.struck
        assert [(answer.record.id, answer.created) for answer in answers] == [
            *(("new", True), ("later", True), ("known", False), ("gone", False), ("next", True), ("holder", False)),
        ]
        assert answers[1].record.state is JobState.DELAYED
        assert answers[1].record.run_at_ms == stage.clock.now_ms() + 5000

    async def test_what_was_refused_stays_refused_though_there_is_room_now(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stage.theirs.control(QUEUE, SetLimits(Limits(max_waiting=1)))
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "enqueue")
        cut.interlude = lambda: finish(stage.theirs)
        with pytest.raises(QueueFull):
            await stage.ours.enqueue(QUEUE, [job("b")])
        assert cut.struck
        assert await stage.theirs.get(QUEUE, "b") is None

    async def test_what_needed_a_missing_job_stays_refused(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "enqueue")
        cut.interlude = lambda: put(stage.theirs, "a")
        with pytest.raises(JobNotFound, match="'a'"):
            await stage.ours.enqueue(QUEUE, [replace(job("b"), needs=(Need(QUEUE, "a"),))])
        assert await stage.theirs.get(QUEUE, "b") is None

    async def test_a_flow_was_submitted_though_somebody_else_has_tried_since(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flow = NewFlow("f", [FlowMember(QUEUE, job("a"), b"{}")])
        cut = Cut(monkeypatch, stage.ours, How.LOST, "commit")
        told: list[bool] = []

        async def again() -> None:
            told.append(await stage.theirs.submit(QUEUE, flow))

        cut.interlude = again
        assert await stage.ours.submit(QUEUE, flow)
        assert told == [False]

    async def test_a_schedule_that_was_removed_since_stays_removed(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "write_schedule")
        cut.interlude = lambda: stage.theirs.remove_schedule(QUEUE, "nightly")
        assert await stage.ours.write_schedule(QUEUE, schedule())
        assert (await stage.theirs.find_schedules(QUEUE)).records == ()

    async def test_a_schedule_was_changed_though_it_has_been_changed_again(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "write_schedule")
        cut.interlude = lambda: stage.theirs.write_schedule(QUEUE, schedule(expected="r1", revision="r2"))
        assert await stage.ours.write_schedule(QUEUE, schedule())
        assert [one.revision for one in (await stage.theirs.find_schedules(QUEUE)).records] == ["r2"]

    async def test_removing_a_schedule_leaves_a_newer_one(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await stage.theirs.write_schedule(QUEUE, schedule())
        cut = Cut(monkeypatch, stage.ours, How.LOST, "remove_schedule")
        cut.interlude = lambda: stage.theirs.write_schedule(QUEUE, schedule(revision="r2"))
        assert await stage.ours.remove_schedule(QUEUE, "nightly")
        assert [one.revision for one in (await stage.theirs.find_schedules(QUEUE)).records] == ["r2"]

    async def test_a_schedule_was_run_by_hand_once_though_others_run_it_too(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stage.theirs.write_schedule(QUEUE, schedule())

        def by_hand(job_id: str) -> Firing:
            return Firing("nightly", "r1", None, (job(job_id),), by_hand=True)

        cut = Cut(monkeypatch, stage.ours, How.LOST, "fire_schedules")

        async def others() -> None:
            assert await stage.theirs.fire_schedules(QUEUE, [by_hand("theirs")]) == [1]
            for lease in await claim(stage.theirs, 2):
                await settle(stage.theirs, lease, Completed(None, GONE))

        cut.interlude = others
        assert await stage.ours.fire_schedules(QUEUE, [by_hand("ours")]) == [1]
        assert cut.struck
        assert await claim(stage.theirs, 2) == []

    async def test_an_endpoint_that_was_removed_since_stays_removed(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "write_endpoint")
        cut.interlude = lambda: stage.theirs.remove_endpoint(QUEUE, "books")
        assert await stage.ours.write_endpoint(QUEUE, endpoint())
        assert await stage.theirs.find_endpoints(QUEUE) == []

    async def test_removing_an_endpoint_leaves_a_newer_one(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await stage.theirs.write_endpoint(QUEUE, endpoint())
        cut = Cut(monkeypatch, stage.ours, How.LOST, "remove_endpoint")
        cut.interlude = lambda: stage.theirs.write_endpoint(QUEUE, endpoint(revision="r2"))
        assert await stage.ours.remove_endpoint(QUEUE, "books")
        assert [one.revision for one in await stage.theirs.find_endpoints(QUEUE)] == ["r2"]

    async def test_resuming_leaves_a_hold_that_came_after(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a", "b")
        cut = Cut(monkeypatch, stage.ours, How.LOST, "pause")

        async def limited() -> None:
            (lease,) = await claim(stage.theirs)
            await settle(stage.theirs, lease, Released("rate limited", hold_queue_ms=5000))

        cut.interlude = limited
        await stage.ours.control(QUEUE, Resume())
        assert cut.struck
        assert await claim(stage.theirs) == []

    async def test_pausing_does_not_undo_a_resume_that_came_after(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "pause")
        cut.interlude = lambda: stage.theirs.control(QUEUE, Resume())
        await stage.ours.control(QUEUE, Pause())
        assert not (await stage.theirs.status(QUEUE)).paused

    async def test_pausing_a_group_does_not_undo_a_resume_that_came_after(
        self, stage: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stage.theirs.enqueue(QUEUE, [replace(job("a"), group="g")])
        cut = Cut(monkeypatch, stage.ours, How.LOST, "group")
        cut.interlude = lambda: stage.theirs.control(QUEUE, ResumeGroup("g"))
        await stage.ours.control(QUEUE, PauseGroup("g"))
        assert cut.struck
        assert [lease.id for lease in await claim(stage.theirs)] == ["a"]

    async def test_limits_that_were_set_after_stay(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = Cut(monkeypatch, stage.ours, How.LOST, "limit")
        cut.interlude = lambda: stage.theirs.control(QUEUE, SetLimits(Limits(concurrency=2)))
        await stage.ours.control(QUEUE, SetLimits(Limits(concurrency=1)))
        assert cut.struck
        assert (await stage.theirs.limits(QUEUE)).concurrency == 2


async def test_two_copies_of_a_process_are_two_callers(stage: Stage) -> None:
    """A snapshot of a machine, or of a function's process, that is started twice."""
    one, other = stage.ours._calls, stage.theirs._calls  # pyright: ignore[reportPrivateUsage]
    other.__dict__.update(
        {name: value for name, value in one.__dict__.items() if name not in ("_lines", "_idle_channels")}
    )
    for backend, job_ids in ((stage.ours, "abc"), (stage.theirs, "de")):
        for job_id in job_ids:
            (answer,) = await backend.enqueue(QUEUE, [job(job_id)])
            assert answer.created
    assert [lease.id for lease in await claim(stage.ours, 5)] == list("abcde")


@pytest.mark.parametrize("calls", [1, 2, 5])
async def test_what_a_copy_calls_does_not_have_a_call_carried_out_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """It has the channel of the original, and comes to the number of the call whose reply was lost, or beyond it."""
    one, other = stage.ours._calls, stage.theirs._calls  # pyright: ignore[reportPrivateUsage]
    await put(stage.ours, "a")
    await finish(stage.ours, Failed(ERROR))
    names = {name: value for name, value in one.__dict__.items() if name != "_lines"}
    other.__dict__.update({**names, "_idle_channels": list(one._idle_channels)})  # pyright: ignore[reportPrivateUsage]
    cut = Cut(monkeypatch, stage.ours, How.LOST, "retry")

    async def meanwhile() -> None:
        await finish(stage.theirs, Failed(ERROR))
        for number in range(calls):
            await put(stage.theirs, f"copy-{number}")

    cut.interlude = meanwhile
    await stage.ours.amend(QUEUE, "a", Retry())
    assert cut.struck
    assert await state(stage.theirs, "a") is JobState.FAILED
    assert (await stage.theirs.status(QUEUE)).counts[JobState.WAITING] == calls


async def test_a_call_that_a_copy_has_overtaken_is_not_known_to_have_failed_or_not(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy was made later than the call: what it calls next has a higher number, and is all that is remembered."""
    one, other = stage.ours._calls, stage.theirs._calls  # pyright: ignore[reportPrivateUsage]
    await put(stage.ours, "a")
    await finish(stage.ours, Failed(ERROR))
    cut = Cut(monkeypatch, stage.ours, How.LOST, "retry")

    async def meanwhile() -> None:
        names = {name: value for name, value in one.__dict__.items() if name != "_lines"}
        channel = f"{one._identity}/1"  # pyright: ignore[reportPrivateUsage]
        other.__dict__.update({**names, "_idle_channels": [channel]})
        await finish(stage.theirs, Failed(ERROR))
        await put(stage.theirs, "copy")

    cut.interlude = meanwhile
    with pytest.raises(BackendUnavailable, match="not known"):
        await stage.ours.amend(QUEUE, "a", Retry())
    assert await state(stage.theirs, "a") is JobState.FAILED
    # From here on it has names of its own.
    await put(stage.ours, "b")
    assert await state(stage.theirs, "b") is JobState.WAITING


async def test_what_callers_that_are_gone_have_left_is_swept_as_fast_as_it_comes(
    stage: Stage, server: redis.asyncio.Redis
) -> None:
    """Processes that live for one call leave one memory each, and nobody else looks after them."""
    calls, now_ms = keys.named("jobqueue", QUEUE, "calls"), stage.clock.now_ms()
    await put(stage.theirs, "a")
    await claim(stage.theirs)
    old: dict[Any, Any] = {f"{number:012x}/1": f"000000000001000000 {now_ms}" for number in range(20_000)}
    await server.hset(calls, mapping=old)
    await stage.clock.advance(minutes=11)
    await stage.ours.enqueue(QUEUE, [job("b")])
    presence = Presence("w", "here", 1, 1, 0, 0)
    rounds = 1
    while (await stage.theirs.upkeep(QUEUE, Upkeep(presence=presence))).more:
        rounds += 1
        assert rounds < 100
    assert await server.hlen(calls) <= 1000 + 200
    assert rounds > 10, "a bounded number in one script"


class TestUnsentCalls:
    """A server closes idle lines: what was never sent is answered as if it came for the first time."""

    @pytest.mark.parametrize(
        "amendment", [Remove(), Retry(), Promote(), Cancel("no"), Reprioritize(1), Reschedule(delay_ms=1)]
    )
    async def test_a_job_that_is_not_there(
        self, stage: Stage, amendment: Amendment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cut = Cut(monkeypatch, stage.ours, How.UNSENT, *_SCRIPT_OF.values())
        with pytest.raises(JobNotFound):
            await stage.ours.amend(QUEUE, "nobody", amendment)
        assert cut.struck

    @pytest.mark.parametrize("amendment", [Retry(), Promote()])
    async def test_a_job_that_waits(self, stage: Stage, amendment: Amendment, monkeypatch: pytest.MonkeyPatch) -> None:
        await put(stage.theirs, "a")
        cut = Cut(monkeypatch, stage.ours, How.UNSENT, *_SCRIPT_OF.values())
        with pytest.raises(InvalidState):
            await stage.ours.amend(QUEUE, "a", amendment)
        assert cut.struck

    async def test_a_job_that_was_cancelled(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        await run(stage.theirs, "a", Cancelled("no"))
        Cut(monkeypatch, stage.ours, How.UNSENT, "cancel")
        with pytest.raises(InvalidState):
            await stage.ours.amend(QUEUE, "a", Cancel("no"))

    async def test_nothing_to_remove(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        cut = Cut(monkeypatch, stage.ours, How.UNSENT, "remove_schedule")
        assert not await stage.ours.remove_schedule(QUEUE, "nobody")
        assert cut.struck
        cut = Cut(monkeypatch, stage.ours, How.UNSENT, "remove_endpoint")
        assert not await stage.ours.remove_endpoint(QUEUE, "nobody")
        assert cut.struck


_SCRIPT_OF = {
    Retry: "retry",
    Promote: "promote",
    Cancel: "cancel",
    Remove: "remove",
    Reprioritize: "reprioritize",
    Reschedule: "reschedule",
}


@dataclass(frozen=True)
class Act:
    """A call, what there must be before it, and what somebody does after it that a second one of it would undo."""

    script: str
    call: Callable[[RedisBackend], Awaitable[Any]]
    before: Callable[[RedisBackend], Awaitable[Any]] | None = None
    after: Callable[[RedisBackend], Awaitable[Any]] | None = None
    error: type[JobQueueError] | None = None


def _amends(amendment: Amendment) -> Callable[[RedisBackend], Awaitable[Any]]:
    return lambda backend: backend.amend(QUEUE, "a", amendment)


def _puts(**more: Any) -> Callable[[RedisBackend], Awaitable[Any]]:
    return lambda backend: backend.enqueue(QUEUE, [job("a", **more)])


def _runs(outcome: Outcome) -> Callable[[RedisBackend], Awaitable[Any]]:
    return lambda backend: run(backend, "a", outcome)


def _notes(note: Progress | Checkpoint | LogLines) -> Callable[[RedisBackend], Awaitable[Any]]:
    return lambda backend: backend.annotate(QUEUE, "a", 1, note)


async def _put_and_claim(backend: RedisBackend) -> None:
    await put(backend, "a")
    await claim(backend)


def _writes(change: ScheduleChange | EndpointChange) -> Callable[[RedisBackend], Awaitable[Any]]:
    def write(backend: RedisBackend) -> Awaitable[Any]:
        if isinstance(change, ScheduleChange):
            return backend.write_schedule(QUEUE, change)
        return backend.write_endpoint(QUEUE, change)

    return write


ACTS = {
    "enqueue one": Act("enqueue_one", _puts(), None, lambda backend: finish(backend, Completed(None, GONE))),
    "enqueue": Act("enqueue", _puts(priority=1), None, lambda backend: finish(backend, Completed(None, GONE))),
    "enqueue in vain": Act(
        "enqueue",
        lambda backend: backend.enqueue(QUEUE, [replace(job("a"), needs=(Need(QUEUE, "b"),))]),
        None,
        lambda backend: put(backend, "b"),
        JobNotFound,
    ),
    "retry": Act("retry", _amends(Retry()), _runs(Completed(b"1")), finish),
    "retry in vain": Act("retry", _amends(Retry()), None, _runs(Completed(b"1")), JobNotFound),
    "remove": Act("remove", _amends(Remove()), _puts(), _puts()),
    "remove in vain": Act("remove", _amends(Remove()), None, _puts(), JobNotFound),
    "cancel": Act("cancel", _amends(Cancel("no", GONE)), _puts(), _puts()),
    "cancel in vain": Act("cancel", _amends(Cancel("no")), _runs(Completed(b"1")), _amends(Retry()), InvalidState),
    "promote": Act("promote", _amends(Promote()), _puts(delay_ms=5), _amends(Reschedule(delay_ms=9))),
    "reschedule": Act("reschedule", _amends(Reschedule(delay_ms=9)), _puts(), _amends(Promote())),
    "reprioritize": Act("reprioritize", _amends(Reprioritize(1)), _puts(), _amends(Reprioritize(4))),
    "progress": Act("annotate", _notes(Progress(b"1")), _put_and_claim, _notes(Progress(b"2"))),
    "log": Act("annotate", _notes(LogLines((b"1",))), _put_and_claim, _notes(LogLines((b"2",)))),
    "put a schedule": Act(
        "write_schedule", _writes(schedule()), None, lambda backend: backend.remove_schedule(QUEUE, "nightly")
    ),
    "remove a schedule": Act(
        "remove_schedule",
        lambda backend: backend.remove_schedule(QUEUE, "nightly"),
        _writes(schedule()),
        _writes(schedule(revision="r2")),
    ),
    "put an endpoint": Act(
        "write_endpoint", _writes(endpoint()), None, lambda backend: backend.remove_endpoint(QUEUE, "books")
    ),
    "remove an endpoint": Act(
        "remove_endpoint",
        lambda backend: backend.remove_endpoint(QUEUE, "books"),
        _writes(endpoint()),
        _writes(endpoint(revision="r2")),
    ),
    "run a schedule": Act(
        "fire_schedules",
        lambda backend: backend.fire_schedules(QUEUE, [Firing("nightly", "r1", None, (job("a"),), by_hand=True)]),
        _writes(schedule()),
        lambda backend: finish(backend, Completed(None, GONE)),
    ),
    "pause": Act(
        "pause",
        lambda backend: backend.control(QUEUE, Pause()),
        None,
        lambda backend: backend.control(QUEUE, Resume()),
    ),
    "limit": Act(
        "limit",
        lambda backend: backend.control(QUEUE, SetLimits(Limits(concurrency=1))),
        None,
        lambda backend: backend.control(QUEUE, SetLimits(Limits())),
    ),
    "submit": Act(
        "commit",
        lambda backend: backend.submit(QUEUE, NewFlow("f", [FlowMember(QUEUE, job("a"))], recorded=False)),
        None,
        lambda backend: finish(backend, Completed(None, GONE)),
    ),
}


class TestLateFirstTries:
    """The first try reaches the server when its repeat has been answered, and others have gone on from that."""

    @pytest.mark.parametrize("name", ACTS)
    async def test_it_does_nothing_any_more(self, stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        act = ACTS[name]
        if act.before is not None:
            await act.before(stage.theirs)
        cut = Cut(monkeypatch, stage.ours, How.LATE, act.script)
        if act.error is None:
            await act.call(stage.ours)
        else:
            with pytest.raises(act.error):
                await act.call(stage.ours)
        assert cut.struck
        if act.after is not None:
            await act.after(stage.theirs)
        before = await stage.seen()
        await cut.arrive()
        after = await stage.seen()
        for what, expected in before.items():
            assert after[what] == expected, what
