"""Endpoints, and that each change of a job that they want to hear of becomes one delivery, whatever happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobqueue.backends.endpoints import MOST_ENDPOINTS, EndpointChange, EndpointState, Rules
from jobqueue.backends.protocol import (
    Backend,
    Cancel,
    Clean,
    Exchange,
    NewRecord,
    Obliterate,
    Purge,
    Remove,
    Retry,
    Settlement,
    Upkeep,
)
from jobqueue.errors import BackendFull
from jobqueue.model.links import Need
from jobqueue.model.notice import WEBHOOK_DELIVERY, Occasion, Part, WebhookDelivery
from jobqueue.model.outcome import Cancelled, Completed, Failed, Released, Retention, RetryAt
from jobqueue.model.record import JobRecord, JobState
from jobqueue.testing.clock import ManualClock
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, job, put, run, settle

HOOKS = "webhooks"
EVERYTHING = frozenset(Occasion)


def change(
    endpoint: str = "accounting",
    *,
    expected: str = "",
    revision: str = "r1",
    occasions: frozenset[Occasion] = EVERYTHING,
    types: tuple[str, ...] = ("*",),
    include: frozenset[Part] = frozenset(),
    target: str = HOOKS,
    state: EndpointState = EndpointState.ON,
    reason: str = "",
) -> EndpointChange:
    """An endpoint to be written."""
    rules = Rules(occasions, target, types, include)
    return EndpointChange(endpoint, expected, revision, rules, b'{"url":"https://a.example"}', state, reason)


async def deliveries(backend: Backend, queue: str = HOOKS) -> list[JobRecord]:
    """What is to be sent, in order, once the outbox is empty."""
    while await backend.deliver(QUEUE):
        pass
    return await backend.find(queue, JobState.WAITING, limit=1000)


async def told(backend: Backend) -> list[dict[str, Any]]:
    """The bodies."""
    return [
        json.loads(WebhookDelivery.model_validate_json(record.data).body)
        for record in await deliveries(backend)
    ]  # fmt: skip


class WebhookContract:
    """``write_endpoint``, ``remove_endpoint``, ``find_endpoints``, and what transitions leave in the outbox."""

    # Endpoints.

    async def test_an_endpoint_is_kept_as_written(self, backend: Backend, clock: ManualClock) -> None:
        await backend.write_endpoint(QUEUE, change("b"))
        wanted = change(
            "a", occasions=frozenset({Occasion.FAILED}), types=("ticket.*", "invoice.sent"),
            include=frozenset({Part.DATA, Part.ERROR}), target="other",
        )  # fmt: skip
        assert await backend.write_endpoint(QUEUE, wanted)
        first, second = await backend.find_endpoints(QUEUE)
        assert (first.id, second.id) == ("a", "b")
        assert first.rules == wanted.rules
        assert (first.definition, first.revision, first.state) == (wanted.definition, "r1", EndpointState.ON)
        assert first.since_ms == clock.now_ms()
        assert [found.id for found in await backend.find_endpoints(QUEUE, ids=["b", "none"])] == ["b"]
        assert await backend.find_endpoints("elsewhere") == []
        assert QUEUE in await backend.queues()

    async def test_an_endpoint_changes_only_from_what_was_seen(self, backend: Backend, clock: ManualClock) -> None:
        await backend.write_endpoint(QUEUE, change())
        assert not await backend.write_endpoint(QUEUE, change(revision="r2"))
        await clock.advance(seconds=1)
        paused = change(expected="r1", revision="r2", state=EndpointState.PAUSED, reason="they move\nhouse")
        assert await backend.write_endpoint(QUEUE, paused)
        assert await backend.write_endpoint(QUEUE, paused), "a repeat is recognised"
        (found,) = await backend.find_endpoints(QUEUE)
        assert (found.state, found.reason.split()) == (EndpointState.PAUSED, ["they", "move", "house"])
        assert found.since_ms == clock.now_ms()
        await clock.advance(seconds=1)
        await backend.write_endpoint(QUEUE, change(expected="r2", revision="r3", state=EndpointState.PAUSED))
        (again,) = await backend.find_endpoints(QUEUE)
        assert again.since_ms == found.since_ms, "it has been paused since then"

    async def test_an_endpoint_is_removed_once(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        assert await backend.remove_endpoint(QUEUE, "accounting")
        assert not await backend.remove_endpoint(QUEUE, "accounting")
        await run(backend, "a", Completed())
        assert await deliveries(backend) == []

    async def test_a_queue_has_so_many_endpoints_at_the_most(self, backend: Backend) -> None:
        for number in range(MOST_ENDPOINTS):
            await backend.write_endpoint(QUEUE, change(f"e{number}"))
        with pytest.raises(BackendFull):
            await backend.write_endpoint(QUEUE, change("one-more"))
        assert await backend.write_endpoint(QUEUE, change("e0", expected="r1", revision="r2"))
        await run(backend, "a", Completed())
        assert len(await deliveries(backend)) == MOST_ENDPOINTS

    async def test_obliterate_forgets_endpoints(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        await run(backend, "a", Completed())
        await backend.control(QUEUE, Obliterate())
        assert await backend.find_endpoints(QUEUE) == []
        await run(backend, "a", Completed())
        assert await deliveries(backend) == []

    # What is told.

    async def test_each_way_to_end_is_told(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        await run(backend, "well", Completed(b"42"))
        await run(backend, "badly", Failed(ERROR))
        await run(backend, "stopped", Cancelled("enough"))
        await put(backend, "never")
        await backend.amend(QUEUE, "never", Cancel("changed my mind"))
        bodies = await told(backend)
        assert [(body["type"], body["data"]["job_id"]) for body in bodies] == [
            ("job.completed", "well"),
            ("job.failed", "badly"),
            ("job.cancelled", "stopped"),
            ("job.cancelled", "never"),
        ]
        first = bodies[0]["data"]
        assert (first["queue"], first["job_type"], first["attempt"]) == (QUEUE, "ticket.created", 1)
        assert first["started_at"] == first["finished_at"] == bodies[0]["timestamp"]
        assert first["created_at"] == first["started_at"]
        assert bodies[1]["data"]["error"] == {"type": "ValueError"}
        assert bodies[2]["data"]["reason"] == "enough"
        assert bodies[3]["data"]["started_at"] is None
        assert bodies[3]["data"]["attempt"] == 0
        assert not {"data", "result"} & first.keys(), "payloads leave the house only if they are asked for"

    async def test_tries_that_are_not_the_last_are_told(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        lease = await run(backend, "a", RetryAt(1500, ERROR))
        assert lease.id == "a"
        (body,) = await told(backend)
        assert (body["type"], body["data"]["retry_in"], body["data"]["attempt"]) == ("job.retrying", 1.5, 1)
        assert "finished_at" not in body["data"]

    async def test_payloads_are_told_where_they_are_asked_for(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(include=frozenset(Part)))
        await backend.enqueue(QUEUE, [job("a", data=b'{"n":1}'), job("b", data=b'{"n":2}')])
        first, second = await claim(backend, 2)
        await settle(backend, first, Completed(b'{"r":[1.50]}'))
        await settle(backend, second, Failed(ERROR))
        done, failed = await told(backend)
        assert (done["data"]["data"], done["data"]["result"]) == ({"n": 1}, {"r": [1.5]})
        assert failed["data"]["data"] == {"n": 2}
        assert failed["data"]["error"] == {"type": "ValueError", "message": "no"}
        assert "result" not in failed["data"]
        raw = (await deliveries(backend))[0].data
        assert b"1.50" in raw, "byte for byte as they are stored"

    async def test_each_endpoint_gets_what_it_asked_for(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change("bare"))
        await backend.write_endpoint(QUEUE, change("curious", include=frozenset({Part.DATA}), target="hooks-2"))
        await run(backend, "a", Completed(b"42"))
        (bare,) = await deliveries(backend)
        (curious,) = await deliveries(backend, "hooks-2")
        bare_data, curious_data = (WebhookDelivery.model_validate_json(found.data) for found in (bare, curious))
        assert (bare_data.endpoint, curious_data.endpoint) == ("bare", "curious")
        assert "data" not in json.loads(bare_data.body)["data"]
        assert json.loads(curious_data.body)["data"]["data"] == 1
        assert bare.id != curious.id
        assert (bare.group, curious.group) == (f"{QUEUE}/bare", f"{QUEUE}/curious"), "they take turns"
        assert {HOOKS, "hooks-2"} <= set(await backend.queues())

    async def test_what_would_be_too_large_is_left_out_and_named(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(include=frozenset(Part)))
        large = b'"' + b"x" * 250_000 + b'"'
        await backend.enqueue(QUEUE, [job("a", data=large)])
        (lease,) = await claim(backend)
        await settle(backend, lease, Completed(large))
        (body,) = await told(backend)
        assert len(body["data"]["result"]) == 250_000
        assert body["data"]["omitted"] == ["data"]

    async def test_only_what_was_asked_for_is_told(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(occasions=frozenset({Occasion.FAILED}), types=("invoice.*", "x.y")))
        await backend.enqueue(QUEUE, [NewRecord(f"{n}", kind, b"1") for n, kind in enumerate(
            ["ticket.created", "invoice.sent", "x.y", "x.yz", "invoice", "invoice.paid"]
        )])  # fmt: skip
        for lease in await claim(backend, 6):
            await settle(backend, lease, Completed() if lease.id == "5" else Failed(ERROR))
        assert [body["data"]["job_id"] for body in await told(backend)] == ["1", "2"]

    async def test_many_that_complete_at_once_are_all_told(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(include=frozenset({Part.RESULT})))
        await put(backend, *(f"j{number}" for number in range(150)))
        leases = await claim(backend, 150)
        done = [
            Settlement(one.id, one.token or 0, Completed(b'"%s"' % one.id.encode(), Retention(1))) for one in leases
        ]
        page = await backend.exchange(QUEUE, Exchange("w", "w/0", 1_000_000, done))
        assert page.outbox
        bodies = await told(backend)
        assert [body["data"]["job_id"] for body in bodies] == [f"j{number}" for number in range(150)]
        assert all(body["data"]["result"] == body["data"]["job_id"] for body in bodies)

    async def test_very_many_endpoints_of_many_jobs(self, backend: Backend) -> None:
        for number in range(MOST_ENDPOINTS):
            assert await backend.write_endpoint(QUEUE, change(f"e{number}", occasions=frozenset({Occasion.COMPLETED})))
        await put(backend, *(f"j{number}" for number in range(60)))
        leases = await claim(backend, 60)
        done = [Settlement(lease.id, lease.token or 0, Completed(b"1")) for lease in leases]
        await backend.exchange(QUEUE, Exchange("w", "w/9", 1, done))
        while await backend.deliver(QUEUE):
            pass
        assert (await backend.status(HOOKS)).counts[JobState.WAITING] == 60 * MOST_ENDPOINTS

    async def test_jobs_that_are_not_kept_are_told(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(include=frozenset(Part)))
        await run(backend, "a", Completed(b"42", Retention(0)))
        await run(backend, "b", Failed(ERROR, Retention(0)))
        await run(backend, "c", Cancelled("no", Retention(0)))
        assert [(body["data"]["job_id"], body["data"]["data"]) for body in await told(backend)] == [
            ("a", 1), ("b", 1), ("c", 1),
        ]  # fmt: skip

    async def test_what_nobody_works_on_is_told(self, backend: Backend, clock: ManualClock) -> None:
        await backend.write_endpoint(QUEUE, change())
        await backend.enqueue(QUEUE, [
            job("parent"),
            NewRecord("child", "t", b"1", needs=(Need(QUEUE, "parent"),)),
            NewRecord("stale", "t", b"1", expires_in_ms=1000),
        ])  # fmt: skip
        (lost,) = await claim(backend, lease_ms=1000)
        assert lost.id == "parent"
        await clock.advance(seconds=1)
        report = await backend.upkeep(QUEUE, Upkeep(max_stalls=1))
        assert report.outbox
        found = {body["data"]["job_id"]: body["data"]["error"]["type"] for body in await told(backend)}
        assert found == {"parent": "WorkerLost", "stale": "Expired", "child": "DependencyFailed"}

    async def test_that_a_dependant_failed_is_told_at_once(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(occasions=frozenset({Occasion.FAILED})))
        await backend.enqueue(QUEUE, [job("parent"), NewRecord("child", "t", b"1", needs=(Need(QUEUE, "parent"),))])
        (lease,) = await claim(backend)
        page = await settle(backend, lease, Cancelled("no"))
        assert page.outbox, "whoever has settled it hands that over"
        assert [body["data"]["job_id"] for body in await told(backend)] == ["child"]

    async def test_what_expired_is_told_when_it_is_met(self, backend: Backend, clock: ManualClock) -> None:
        await backend.write_endpoint(QUEUE, change())
        await backend.enqueue(QUEUE, [NewRecord("stale", "t", b"1", expires_in_ms=1000)])
        await clock.advance(seconds=1)
        await claim(backend)
        (body,) = await told(backend)
        assert body["data"]["error"] == {"type": "Expired"}

    async def test_what_is_no_end_is_told_to_nobody(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        await put(backend, "a", "b", "c")
        (lease,) = await claim(backend)
        await settle(backend, lease, Released("shutdown"))
        await backend.amend(QUEUE, "a", Remove())
        await backend.control(QUEUE, Purge())
        await run(backend, "d", Completed())
        await backend.control(QUEUE, Clean(JobState.COMPLETED, 0, 10))
        assert [body["data"]["job_id"] for body in await told(backend)] == ["d"]

    async def test_what_was_refused_is_told_to_nobody(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        lease = await run(backend, "a", Released("shutdown"))
        await settle(backend, lease, Completed())
        assert await told(backend) == []

    async def test_deliveries_themselves_are_told_to_nobody(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        await backend.enqueue(QUEUE, [NewRecord("a", WEBHOOK_DELIVERY, b"1"), NewRecord("b", WEBHOOK_DELIVERY, b"1")])
        first, second = await claim(backend, 2)
        await settle(backend, first, Completed())
        await settle(backend, second, Failed(ERROR))
        assert await told(backend) == []

    async def test_no_endpoint_delivers_into_its_own_queue(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change(target=QUEUE))
        await run(backend, "a", Completed())
        assert await deliveries(backend, QUEUE) == []

    # None is lost, none doubled.

    async def test_it_is_settled_in_the_step_itself_who_is_told(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change("first"))
        await run(backend, "a", Completed())
        await backend.write_endpoint(QUEUE, change("later"))
        await backend.remove_endpoint(QUEUE, "first")
        (found,) = await deliveries(backend)
        assert WebhookDelivery.model_validate_json(found.data).endpoint == "first"

    async def test_paused_ones_are_told_disabled_ones_are_not(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change("paused", state=EndpointState.PAUSED))
        await backend.write_endpoint(QUEUE, change("gone", state=EndpointState.DISABLED, reason="410"))
        await run(backend, "a", Completed())
        (found,) = await deliveries(backend)
        assert WebhookDelivery.model_validate_json(found.data).endpoint == "paused"
        await backend.write_endpoint(QUEUE, change("gone", expected="r1", revision="r2"))
        await run(backend, "b", Completed())
        assert len(await deliveries(backend)) == 3

    async def test_whoever_comes_next_hands_over_what_a_settler_left(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        lease = await run(backend, "a", Completed())
        assert lease.worker
        assert (await backend.upkeep(QUEUE, Upkeep())).outbox, "any worker's upkeep sees what is left to deliver"
        assert await backend.deliver(QUEUE) == 1
        assert await backend.deliver(QUEUE) == 0

    async def test_ids_are_made_of_what_happened(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        await run(backend, "a", Completed())
        (first,) = await deliveries(backend)
        await backend.amend(QUEUE, "a", Retry())
        (lease,) = await claim(backend)
        await settle(backend, lease, Completed())
        again = [record.id for record in await deliveries(backend)]
        assert len(again) == len(set(again)) == 2, "it has completed twice"
        assert again[0] == first.id
        assert first.id.startswith("msg_")
        assert "." not in first.id

    async def test_a_repeated_settlement_is_told_once(self, backend: Backend) -> None:
        await backend.write_endpoint(QUEUE, change())
        await put(backend, "a")
        (lease,) = await claim(backend)
        done = [Settlement(lease.id, lease.token or 0, Completed())]
        await backend.exchange(QUEUE, Exchange("w", "w/0", 2_000_000, done))
        await backend.exchange(QUEUE, Exchange("w", "w/0", 2_000_000, done, repeated=True))
        await backend.exchange(QUEUE, Exchange("w", "w/0", 2_000_001, done))
        assert len(await deliveries(backend)) == 1
