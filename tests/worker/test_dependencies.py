"""Jobs that depend on others, as the programs that use them see it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel

from jobqueue import (
    After,
    Batch,
    Flow,
    FlowHandle,
    InvalidName,
    InvalidOption,
    Job,
    JobFailed,
    JobNotFound,
    JobState,
    JobType,
    Keep,
    NewJob,
    Queue,
    Registry,
    Unrecoverable,
    Worker,
)
from jobqueue.backends import Backend
from jobqueue.backends.protocol import EventPage


class Invoice(BaseModel):
    ticket: int
    total: float


@pytest.fixture
def mail(backend: Backend) -> Queue:
    return Queue("mail", backend=backend)


@pytest.fixture
def ran(registry: Registry) -> list[str]:
    """What ran, in order: "note" returns its data, "sum" adds up its results, "break" fails for good."""
    order: list[str] = []

    @registry.processor("note")
    async def note(job: Job) -> Any:
        order.append(job.id)
        return job.data

    @registry.processor("sum")
    async def add_up(job: Job) -> Any:
        order.append(job.id)
        return sum(job.results.values())

    @registry.processor("break")
    async def fail(job: Job) -> None:
        order.append(job.id)
        raise Unrecoverable("out of order")

    return order


class TestDependsOn:
    """``enqueue(..., depends_on=)``."""

    async def test_a_job_sees_the_results_of_those_before_it(
        self, tickets: Queue, mail: Queue, registry: Registry, ran: list[str]
    ) -> None:
        one = await tickets.enqueue("note", 1, job_id="one", keep=Keep(completed=0))
        two = await mail.enqueue("note", 2, job_id="two")
        both = await tickets.enqueue("sum", depends_on=[one, two], job_id="both", priority=0)
        assert both.state is JobState.BLOCKED
        assert (await tickets.counts()).blocked == 1
        assert [job.id for job in await tickets.jobs("blocked")] == ["both"]
        async with Worker(tickets, mail, registry=registry):
            assert await both.result(timeout=20) == 3
        assert ran[-1] == "both"

    async def test_names_and_policies(self, tickets: Queue, registry: Registry, ran: list[str]) -> None:
        seen: dict[str, Any] = {}

        @registry.processor("look")
        async def look(job: Job) -> None:
            broken = job.dependencies["broken"]
            seen["state"], seen["error"] = broken.state, broken.error.type if broken.error else ""
            seen["names"] = list(job.dependencies)
            seen["fine"] = job.results[fine]
            with pytest.raises(JobFailed, match="out of order"):
                _ = job.results["broken"]
            with pytest.raises(KeyError, match="ignored"):
                _ = job.results["ignored"]

        fine = await tickets.enqueue("note", "yes", job_id="fine")
        broken = await tickets.enqueue("break", job_id="broken")
        ignored = await tickets.enqueue("break", job_id="ignored")
        job = await tickets.enqueue(
            "look",
            depends_on=[fine, After(broken, on_failure="run"), After(("tickets", ignored.id), on_failure="ignore")],
        )
        doomed = await tickets.enqueue("note", depends_on=[broken])
        async with Worker(tickets, registry=registry):
            await job.result(timeout=20)
            with pytest.raises(JobFailed, match="dependency tickets/broken failed: Unrecoverable") as failure:
                await doomed.result(timeout=20)
        assert failure.value.error_type == "DependencyFailed"
        assert seen == {
            "state": "failed",
            "error": "Unrecoverable",
            "names": ["tickets/broken", "tickets/fine"],
            "fine": "yes",
        }
        assert doomed.id not in ran

    async def test_in_a_batch_and_by_hand(self, tickets: Queue, registry: Registry, ran: list[str]) -> None:
        @registry.processor("totals", batch=Batch(size=2, wait=0.01))
        async def totals(jobs: list[Job[Any]]) -> list[int]:
            return [sum(job.results.values()) + job.data["one"] for job in jobs]

        flow = Flow(tickets)
        one = flow.add("note", 1, name="one")
        flow.add("totals", {"one": one.result}, name="total")
        handle = await flow.submit()
        async with Worker(tickets, registry=registry):
            assert await handle.result(timeout=20) == {"total": 2}
        hand = await tickets.enqueue("hand", depends_on=[("tickets", one.id)])
        async with tickets.claim() as job:
            assert job.id == hand.id
            assert list(job.results.values()) == [1]

    async def test_what_is_not_there_is_refused(self, tickets: Queue) -> None:
        for gone in (("tickets", "nobody"), ("mail", "nobody")):
            with pytest.raises(JobNotFound, match="nobody"):
                await tickets.enqueue("note", depends_on=[gone])
        assert (await tickets.counts()).total == 0

    async def test_bad_input_is_refused(self, tickets: Queue) -> None:
        job = await tickets.enqueue("note")
        bad: list[dict[str, Any]] = [
            {"depends_on": job},
            {"depends_on": "job"},
            {"depends_on": 5},
            {"depends_on": [job.id]},
            {"depends_on": [("a",)]},
            {"depends_on": [job], "on_failure": "explode"},
            {"depends_on": [("tickets", str(number)) for number in range(1001)]},
        ]
        for options in bad:
            with pytest.raises(InvalidOption):
                await tickets.enqueue("note", **options)


class TestFlow:
    """The builder and the handle."""

    async def test_a_graph_over_two_queues(
        self, tickets: Queue, mail: Queue, registry: Registry, ran: list[str]
    ) -> None:
        flow = Flow(tickets, id="order-7")
        first = flow.add("note", {"n": 5}, name="first")
        wide = flow.fan_out([NewJob("note", number) for number in range(3)], after=[first])
        total = flow.fan_in(NewJob("sum"), after=wide)
        flow.add(
            "note", {"total": total.result, "n": [first.result["n"]], "all": first.result}, name="last", queue=mail
        )
        handle = await flow.submit()
        assert (await handle.status()).counts == {"waiting": 1, "blocked": 5}
        async with Worker(tickets, mail, registry=registry):
            assert await handle.result(timeout=20) == {"last": {"total": 3, "n": [5], "all": {"n": 5}}}
        status = await FlowHandle(tickets, "order-7").status()
        assert status.finished
        assert status.succeeded
        assert ran[0] == "order-7/first"
        assert ran[-1] == "order-7/last"

    async def test_the_graph_as_mermaid(self, tickets: Queue) -> None:
        outside = await tickets.enqueue("note", job_id="outside")
        flow = Flow(tickets)
        a = flow.add("note", name="a", after=[outside])
        flow.add("note", name="b", after=[a])
        handle = await flow.submit()
        assert (await handle.status()).mermaid() == (
            "flowchart TD\n"
            '    n0["a<br/>blocked"]:::blocked\n'
            '    n1["b<br/>blocked"]:::blocked\n'
            '    n2["tickets/outside"]\n'
            "    n2 --> n0\n"
            "    n0 --> n1\n"
            "    classDef blocked fill:#ffffff,stroke:#868e96\n"
        )

    async def test_results_are_typed_and_checked_where_they_arrive(self, tickets: Queue, registry: Registry) -> None:
        bill = JobType("bill", int, result=Invoice)
        send = JobType("send", Invoice, result=str)

        @registry.processor(bill)
        async def make(job: Job[int]) -> Any:
            return {"ticket": job.data, "total": 9.5} if job.data else {"ticket": 1, "total": 2}

        @registry.processor(send)
        async def deliver(job: Job[Invoice]) -> str:
            return f"{job.data.ticket}: {job.data.total}"

        @registry.processor("garble")
        async def garble(job: Job) -> str:
            return "no invoice"

        flow = Flow(tickets)
        invoice = flow.add(bill, 7)
        sent = flow.add(send, invoice.result, name="sent")
        wrong = flow.add(send, flow.add("garble").result, name="wrong")
        handle = await flow.submit()
        async with Worker(tickets, registry=registry):
            status = await handle.wait(timeout=20)
        states = {node.name: node.state for node in status.nodes}
        assert (states["sent"], states["wrong"]) == ("completed", "failed")
        job = await tickets.get(sent.id)
        assert job is not None
        assert job.result_value == "7: 9.5"
        refused = await tickets.get(wrong.id)
        assert refused is not None
        assert refused.error is not None
        assert refused.error.type == "InvalidData"

    async def test_a_failed_branch_is_retried(self, tickets: Queue, registry: Registry, ran: list[str]) -> None:
        broken = True

        @registry.processor("sometimes")
        async def sometimes(job: Job) -> str:
            if broken:
                raise Unrecoverable("not yet")
            return "now"

        flow = Flow(tickets)
        fine = flow.add("note", 1, name="fine")
        bad = flow.add("sometimes", name="bad")
        last = flow.add("note", {"got": bad.result}, name="last", after=[fine])
        flow.chain(NewJob("note", 2), NewJob("note", 3), after=[last])
        handle = await flow.submit()
        async with Worker(tickets, registry=registry):
            with pytest.raises(JobFailed, match="'bad' failed: Unrecoverable: not yet") as failure:
                await handle.result(timeout=20)
            assert (failure.value.error_type, failure.value.error_message) == ("Unrecoverable", "not yet")
            assert (await handle.status()).counts == {"completed": 1, "failed": 4}
            broken = False
            assert await handle.retry(branch="bad") == 4
            assert await handle.result(timeout=20) == {"note-4": 3}
            job = await tickets.get(last.id)
            assert job is not None
            assert job.result_value == {"got": "now"}
        assert ran.count(fine.id) == 1, "what completed is not run again"

    async def test_a_failure_that_is_put_up_with_leaves_the_result(
        self, tickets: Queue, registry: Registry, ran: list[str]
    ) -> None:
        flow = Flow(tickets)
        bad = flow.add("break", name="bad")
        flow.add("note", 1, name="seen", after=[After(bad, on_failure="run")])
        flow.add("note", 2, name="ignored", after=[bad], on_failure="ignore")
        handle = await flow.submit()
        async with Worker(tickets, registry=registry):
            assert await handle.result(timeout=20) == {"seen": 1, "ignored": 2}
            status = await handle.status()
            assert (status.counts, status.succeeded) == ({"failed": 1, "completed": 2}, False)
        assert len(ran) == 3

    async def test_a_flow_is_cancelled_from_the_end(self, tickets: Queue, registry: Registry, ran: list[str]) -> None:
        flow = Flow(tickets)
        a, b, *_ = flow.chain(*(NewJob("note", number) for number in range(5)))
        flow.add("note", name="whatever", after=[b], on_failure="run")
        handle = await flow.submit()
        assert await handle.cancel("enough", branch=b.name) == 5
        assert (await handle.status()).counts == {"waiting": 1, "cancelled": 5}
        async with Worker(tickets, registry=registry) as worker:
            await worker.drain()
        assert ran == [a.id]
        assert await handle.retry() == 5
        async with Worker(tickets, registry=registry):
            assert (await handle.wait(timeout=20)).succeeded

    async def test_submitting_again_adds_nothing(self, tickets: Queue, registry: Registry, ran: list[str]) -> None:
        async def submit() -> FlowHandle:
            flow = Flow(tickets, id="nightly")
            flow.chain(NewJob("note", 1), NewJob("note", 2))
            return await flow.submit()

        handle = await submit()
        async with Worker(tickets, registry=registry):
            await handle.wait(timeout=20)
            assert (await (await submit()).wait(timeout=20)).succeeded
        assert len(ran) == 2

    async def test_those_who_wait_share_one_reader(
        self, tickets: Queue, registry: Registry, ran: list[str], backend: Backend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read, reading, most = backend.events, 0, 0

        async def counted(queue: str, cursor: str | None, wait: float) -> EventPage:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            try:
                return await read(queue, cursor, wait)
            finally:
                reading -= 1

        monkeypatch.setattr(backend, "events", counted)
        flows = [Flow(tickets) for _ in range(20)]
        for number, flow in enumerate(flows):
            flow.add("note", number, name="a")
        handles = [await flow.submit() for flow in flows]
        results = asyncio.gather(*(handle.result(timeout=20) for handle in handles))
        async with Worker(tickets, registry=registry):
            assert await results == [{"a": number} for number in range(20)]
        assert len(ran) == 20
        assert most == 1

    async def test_bad_graphs_are_refused(self, tickets: Queue) -> None:
        flow, other = Flow(tickets), Flow(tickets)
        node = flow.add("note", name="a")
        with pytest.raises(InvalidOption, match="already"):
            flow.add("note", name="a")
        with pytest.raises(InvalidOption, match="another flow"):
            other.add("note", after=[node])
        with pytest.raises(InvalidOption, match="another flow"):
            other.add("note", {"x": node.result})
        with pytest.raises(InvalidOption, match="empty"):
            await other.submit()
        with pytest.raises(InvalidOption, match="list of nodes"):
            flow.add("note", after=node)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidOption, match="must be a NewJob"):
            flow.chain([NewJob("note")])  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidOption, match="list of jobs"):
            flow.fan_out(NewJob("note"))  # pyright: ignore[reportArgumentType]
        for name in ("", 5, "a b"):
            with pytest.raises(InvalidName, match="for a node"):
                flow.add("note", name=name)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidOption, match="looped"):
            list(node.result)
        with pytest.raises(JobNotFound):
            await _of(tickets, after=("tickets", "nobody")).submit()
        with pytest.raises(JobNotFound):
            await FlowHandle(tickets, "nothing").status()
        assert (await tickets.counts()).total == 0


class TestSpawning:
    """Jobs added from inside a running job."""

    async def test_a_job_waits_for_those_it_adds(
        self, tickets: Queue, mail: Queue, registry: Registry, ran: list[str]
    ) -> None:
        runs: list[int] = []

        @registry.processor("report")
        async def report(job: Job) -> Any:
            runs.append(job.attempt)
            await job.spawn([NewJob("note", number) for number in range(3)])
            await job.spawn([NewJob("note", 10)], queue="mail")
            first = await job.wait_for_children()
            await job.spawn([NewJob("note", sum(first))])
            return (await job.wait_for_children())[-1]

        job = await tickets.enqueue("report", job_id="r")
        async with Worker(tickets, mail, registry=registry, concurrency=1):
            assert await job.result(timeout=20) == 13
        assert runs == [1, 1, 1], "waiting spends no attempt"
        assert sorted(ran) == ["r/1.0", "r/1.1", "r/1.2", "r/2.0", "r/3.0"], "each child ran once"

    async def test_a_failed_child_is_seen_or_fails_its_parent(
        self, tickets: Queue, registry: Registry, ran: list[str]
    ) -> None:
        @registry.processor("tolerant")
        async def tolerant(job: Job) -> Any:
            await job.spawn([NewJob("break"), NewJob("note", 1)], on_failure="run")
            failed, fine = await job.wait_for_children()
            assert isinstance(failed, JobFailed)
            return [failed.error_message, fine]

        @registry.processor("strict")
        async def strict(job: Job) -> None:
            await job.spawn([NewJob("break")])
            await job.wait_for_children()

        seeing = await tickets.enqueue("tolerant")
        failing = await tickets.enqueue("strict", job_id="s")
        async with Worker(tickets, registry=registry):
            assert await seeing.result(timeout=20) == ["out of order", 1]
            with pytest.raises(JobFailed, match=r"dependency tickets/s/1\.0 failed: Unrecoverable"):
                await failing.result(timeout=20)

    async def test_a_failed_run_does_not_add_its_children_again(
        self, tickets: Queue, registry: Registry, ran: list[str]
    ) -> None:
        @registry.processor("shaky", retry=3)
        async def shaky(job: Job) -> Any:
            await job.spawn([NewJob("note", 1, keep=Keep(completed=0))])
            if job.attempt == 1:
                raise RuntimeError("once")
            return await job.wait_for_children()

        from jobqueue import Retry

        job = await tickets.enqueue("shaky", retry=Retry(attempts=3, backoff="fixed", delay=0.01))
        async with Worker(tickets, registry=registry):
            assert await job.result(timeout=20) == [1]
        assert len(ran) == 1

    async def test_only_inside_a_processor(self, tickets: Queue) -> None:
        job = await tickets.enqueue("note")
        with pytest.raises(Exception, match="inside its processor"):
            await job.spawn([NewJob("note")])

    async def test_bad_children_are_refused(self, tickets: Queue, registry: Registry) -> None:
        refused: list[str] = []

        @registry.processor("bad")
        async def bad(job: Job) -> None:
            for jobs, options in (
                ([NewJob("note")], {"on_failure": "ignore"}),
                ([NewJob("note", depends_on=[("tickets", job.id)])], {}),
                ([NewJob("note")] * 10_001, {}),
            ):
                try:
                    await job.spawn(jobs, **options)
                except InvalidOption as error:
                    refused.append(str(error))

        await tickets.enqueue("bad")
        async with Worker(tickets, registry=registry) as worker:
            await worker.drain()
        assert len(refused) == 3


def _of(queue: Queue, after: tuple[str, str]) -> Flow:
    flow = Flow(queue)
    flow.add("note", after=[after])
    return flow
