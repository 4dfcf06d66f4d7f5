"""S8: what was not sealed by a key of ours, or was changed or moved since, is never run and never taken for a result.

The hand that writes past the library (``stored.py``) does here what somebody with access to the server could do.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest
import redis.asyncio

from jobqueue import (
    BadSignature,
    Batch,
    Codec,
    ConfigurationError,
    DeadLetters,
    Encrypted,
    Job,
    JobState,
    NewJob,
    Queue,
    Registry,
    Retry,
    Signed,
    Worker,
    connect,
)
from jobqueue.backends import RedisBackend, SealedBackend
from jobqueue.backends.redis import keys
from jobqueue.codecs.codec import bound_to
from jobqueue.testing import ManualClock
from tests.security.stored import StoredJob

OLD, NEW, FOREIGN = b"o" * 32, b"n" * 32, b"f" * 32
KINDS: dict[str, Callable[..., Codec]] = {"signed": Signed, "encrypted": Encrypted}


class Bench:
    """A queue behind a codec on a real server, a hand that writes past it, and a worker that notes what it ran."""

    def __init__(self, client: redis.asyncio.Redis, kind: str) -> None:
        self.client = client
        self.kind = kind
        self.clock = ManualClock()
        self.bare = RedisBackend(client, clock=self.clock)
        self.registry = Registry()
        self.ran: list[Any] = []
        self.turn_to(keys={"2026-11": NEW}, current="2026-11")

        @self.registry.processor("pay", retry=Retry(attempts=2, delay=0))
        async def pay(job: Job[Any]) -> Any:
            self.ran.append(job.data)
            if job.data == "fails":
                raise ValueError("it fails")
            return {"paid": job.data}

        @self.registry.processor("refund")
        async def refund(job: Job[Any]) -> None:
            self.ran.append(("refund", job.data))

    def turn_to(self, **settings: Any) -> None:
        """From now on with these keys."""
        self.codec = KINDS[self.kind](**settings)
        self.backend = SealedBackend(self.bare, self.codec)
        self.queue = Queue("tickets", backend=self.backend)

    def queue_of(self, **settings: Any) -> Queue:
        """The same queue as a process with other keys sees it."""
        return Queue("tickets", backend=SealedBackend(self.bare, KINDS[self.kind](**settings)))

    def stored(self, job: Job[Any, Any], queue: str = "tickets") -> StoredJob:
        return StoredJob(self.client, queue, job.id)

    async def ending(self, job: Job[Any, Any]) -> bytes:
        """How it ended, as it is stored."""
        return cast("bytes", await self.client.get(self.stored(job).ending))

    async def work(self, queue: Queue | None = None) -> None:
        await Worker(queue or self.queue, registry=self.registry, clock=self.clock).drain()

    async def refused(self, job: Job[Any, Any], *, because: str) -> None:
        """Nothing of it was run, it failed with a reason, its neighbour went through, and the letter says why."""
        neighbour = await self.queue.enqueue("pay", "neighbour")
        self.ran.clear()
        await self.work()
        found = await self.queue.get(job.id)
        assert found is not None
        assert found.error is not None
        assert (found.state, found.error.type) == (JobState.FAILED, "BadSignature")
        assert because in found.error.message
        assert self.ran == ["neighbour"]
        assert await neighbour.result(5) == {"paid": "neighbour"}
        with pytest.raises(BadSignature, match=because):
            _ = found.data
        letters = await DeadLetters(backend=self.backend).letters(error="BadSignature")
        assert [(letter.content.job_id, letter.content.data) for letter in letters] == [(job.id, None)]
        assert because in letters[0].content.error.message


@pytest.fixture(params=sorted(KINDS))
async def bench(request: pytest.FixtureRequest, valkey_url: str) -> AsyncGenerator[Bench]:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        bench = Bench(client, request.param)
        await bench.backend.open()
        yield bench
        await bench.backend.close()


# Jobs.


async def test_what_was_not_touched_runs(bench: Bench) -> None:
    jobs = await bench.queue.enqueue_many([NewJob("pay", number, tags=["vip"], timeout=5) for number in range(20)])
    await bench.work()
    assert sorted(bench.ran) == list(range(20))
    assert [await job.result(5) for job in jobs] == [{"paid": number} for number in range(20)]
    found = await bench.queue.get(jobs[0].id)
    assert found is not None
    assert (found.tags, found.options.timeout, found.result_value) == (("vip",), 5, {"paid": 0})


async def test_every_changed_byte_is_found(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", {"amount": 10})
    data = (await bench.stored(job).fields())[b"data"]
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 0x01]) + data[place + 1 :]
        await bench.stored(job).put({b"data": changed})
        found = await bench.queue.get(job.id)
        assert found is not None
        with pytest.raises(BadSignature):
            _ = found.data
    await bench.stored(job).put({b"data": data})
    await bench.work()
    assert bench.ran == [{"amount": 10}]


async def test_changed_data_is_refused(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", {"amount": 10})
    data = (await bench.stored(job).fields())[b"data"]
    mark = data.rindex(b"10") if bench.kind == "signed" else len(data) - 20
    await bench.stored(job).put({b"data": data[:mark] + b"99" + data[mark + 2 :]})
    await bench.refused(job, because="was changed")


async def test_changed_options_are_refused_or_without_effect(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", 1, timeout=60, tags=["vip"])
    await bench.stored(job).put({b"options": b'{"retry":{"attempts":1000}}'})
    if bench.kind == "signed":
        await bench.refused(job, because="was changed")
        return
    await bench.work()
    await job.refresh()
    assert (job.state, job.tags, job.options.retry) == (JobState.COMPLETED, ("vip",), None)


async def test_another_type_is_refused(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", 1)
    await bench.stored(job).put({b"type": b"refund"})
    await bench.refused(job, because="another job, type or queue")


async def test_a_type_that_nobody_knows_fails_instead_of_waiting_for_a_worker(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", 1)
    await bench.stored(job).put({b"type": b"never.heard.of"})
    await bench.refused(job, because="another job, type or queue")


async def test_what_another_job_carries_is_refused(bench: Bench) -> None:
    poor, rich = await bench.queue.enqueue_many([NewJob("pay", 1, delay=60), NewJob("pay", 1_000_000, delay=60)])
    fields = await bench.stored(rich).fields()
    await bench.stored(poor).put({b"data": fields[b"data"], b"options": fields[b"options"]})
    await bench.queue.remove(rich.id)
    await bench.queue.promote(poor.id)
    await bench.refused(poor, because="another job, type or queue")


async def test_the_same_id_in_another_queue_is_refused(bench: Bench) -> None:
    other = await Queue("refunds", backend=bench.backend).enqueue("pay", 1_000_000, job_id="one")
    job = await bench.queue.enqueue("pay", 1, job_id="one")
    await bench.stored(job).put({b"data": (await bench.stored(other, "refunds").fields())[b"data"]})
    await bench.refused(job, because="another job, type or queue")


@pytest.mark.parametrize("plain", [b"1", b"null", b"", b'{"amount":10}', b"not json", b"\xff"])
async def test_plain_jobs_are_refused(bench: Bench, plain: bytes) -> None:
    job = await bench.queue.enqueue("pay", 1)
    await bench.stored(job).put({b"data": plain})
    await bench.refused(job, because=f"is not {bench.kind}")


async def test_jobs_of_a_producer_without_a_codec_are_refused(bench: Bench) -> None:
    job = await Queue("tickets", backend=bench.bare).enqueue("pay", 1)
    await bench.refused(job, because="accept_plain=True")


async def test_another_kind_of_codec_is_refused(bench: Bench) -> None:
    other = KINDS["signed" if bench.kind == "encrypted" else "encrypted"](keys={"2026-11": NEW}, current="2026-11")
    job = await Queue("tickets", backend=SealedBackend(bench.bare, other)).enqueue("pay", 1)
    await bench.refused(job, because=f"is not {bench.kind}")


Change = Callable[[bytes], bytes]
ENVELOPES: dict[str, tuple[Change, str]] = {
    "version": (lambda data: data.replace(b'":"1"', b'":"2"', 1), "form that this version does not know"),
    "cut": (lambda data: data[:60], "form that this version does not know"),
    "key": (lambda data: data.replace(b'"2026-11"', b'"2027-01"'), "'2027-01', which this process does not have"),
    "key's name": (lambda data: data.replace(b'"2026-11"', b'"../../x"'), "form that this version does not know"),
    "twice": (lambda data: data + data, "form that this version does not know|was changed"),
}


@pytest.mark.parametrize(("changed", "because"), ENVELOPES.values(), ids=list(ENVELOPES))
async def test_envelopes_that_are_none(bench: Bench, changed: Change, because: str) -> None:
    job = await bench.queue.enqueue("pay", 1)
    await bench.stored(job).put({b"data": changed((await bench.stored(job).fields())[b"data"])})
    await job.refresh()
    with pytest.raises(BadSignature, match=because):
        _ = job.data


async def test_a_refused_job_is_no_part_of_a_batch(bench: Bench) -> None:
    @bench.registry.processor("rows", batch=Batch(size=10, wait=0))
    async def rows(jobs: list[Job[Any]]) -> None:
        bench.ran.extend(job.data for job in jobs)

    jobs = await bench.queue.enqueue_many([NewJob("rows", number) for number in range(3)])
    await bench.stored(jobs[1]).put({b"data": b"1000000"})
    await bench.work()
    assert sorted(bench.ran) == [0, 2]
    await jobs[1].refresh()
    assert jobs[1].error is not None
    assert (jobs[1].state, jobs[1].error.type) == (JobState.FAILED, "BadSignature")


# Keys.


async def test_a_foreign_key_of_the_same_name_is_refused(bench: Bench) -> None:
    job = await bench.queue_of(keys={"2026-11": FOREIGN}, current="2026-11").enqueue("pay", 1)
    await bench.refused(job, because="was changed")


async def test_keys_are_changed_without_losing_a_job(bench: Bench) -> None:
    bench.turn_to(keys={"2026-05": OLD}, current="2026-05")
    before = await bench.queue.enqueue("pay", "before")
    # 1. Everybody learns the new key, 2. everybody uses it, 3. the old one goes.
    bench.turn_to(keys={"2026-05": OLD, "2026-11": NEW}, current="2026-05")
    during = await bench.queue.enqueue("pay", "during")
    bench.turn_to(keys={"2026-05": OLD, "2026-11": NEW}, current="2026-11")
    await bench.work()
    assert bench.ran == ["before", "during"]
    stored = await bench.ending(during)
    assert b'"2026-11"' in stored
    late = await bench.queue_of(keys={"2026-05": OLD}, current="2026-05").enqueue("pay", "late")
    bench.turn_to(keys={"2026-11": NEW}, current="2026-11")
    found = await bench.queue.get(before.id)
    assert found is not None
    assert found.result_value == {"paid": "before"}, "the result was written under the new key"
    await bench.refused(late, because="'2026-05', which this process does not have")


async def test_plain_jobs_are_taken_for_a_time(bench: Bench) -> None:
    plain = await Queue("tickets", backend=bench.bare).enqueue("pay", "plain", tags=["vip"])
    failed = await Queue("tickets", backend=bench.bare).enqueue("pay", "fails")
    bench.turn_to(keys={"2026-11": NEW}, current="2026-11", accept_plain=True)
    await bench.work()
    assert await plain.result(5) is not None
    assert (await bench.queue.get(plain.id) or plain).tags == ("vip",)
    assert bench.ran[0] == "plain"
    assert len(await DeadLetters(backend=bench.backend).letters()) == 1
    # What has a seal must have a right one all the same.
    forged = await bench.queue_of(keys={"2026-11": FOREIGN}, current="2026-11").enqueue("pay", "forged")
    bench.ran.clear()
    await bench.work()
    assert bench.ran == []
    for job in (failed, forged):
        await job.refresh()
        assert job.state is JobState.FAILED


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize(
    "settings",
    [
        {"keys": {}, "current": "a"},
        {"keys": {"a": b"canary"}, "current": "a"},
        {"keys": {"a": b"canary" * 6}, "current": "b"},
        {"keys": {"A b": NEW}, "current": "A b"},
        {"keys": {"a": "canary" * 6}, "current": "a"},
        {"keys": {f"k{number}": NEW for number in range(101)}, "current": "k1"},
    ],
    ids=["none", "short", "not there", "name", "text", "many"],
)
def test_keys_that_cannot_be_used_are_refused_and_not_shown(kind: str, settings: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KINDS[kind](**settings)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_codec_does_not_show_its_keys(kind: str) -> None:
    codec = KINDS[kind](keys={"a": b"canary-canary-canary-canary-cana", "b": NEW}, current="b")
    assert "canary" not in repr(codec)
    assert "canary" not in repr(SealedBackend(RedisBackend.from_url("redis://:canary@127.0.0.1:1"), codec))


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return True

    codec = Signed(keys={"a": NEW}, current="a")
    sealed = codec.seal(b"1", b"here")
    monkeypatch.setattr(hmac, "compare_digest", compare)
    # It alone decides: where it says yes, a wrong signature passes.
    assert codec.open(sealed, b"elsewhere") == b"1"
    ((ours, theirs),) = compared
    assert (len(ours), len(theirs)) == (43, 43)
    assert ours != theirs


def test_what_a_seal_is_bound_to_cannot_be_read_in_two_ways() -> None:
    assert bound_to(b"a", b"bc") != bound_to(b"ab", b"c")
    assert bound_to(b"a,1:b") != bound_to(b"a", b"b")
    assert bound_to(b"") != bound_to()


def test_nonces_are_fresh_and_derived_keys_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobqueue.codecs.encrypted._PAYLOADS_A_KEY", 10)
    codec = Encrypted(keys={"a": NEW}, current="a")
    sealed = [codec.seal(b"same", b"here") for _ in range(1000)]
    assert len(set(sealed)) == 1000
    assert len({envelope[36:56] for envelope in sealed}) == 100, "one salt for each ten"
    assert all(codec.open(envelope, b"here") == b"same" for envelope in sealed)


# What workers write.


@pytest.mark.parametrize("strike", ["event", "record", "both", "taken away"])
async def test_a_forged_result_is_not_taken_for_one(bench: Bench, strike: str) -> None:
    paid, other = await bench.queue.enqueue_many([NewJob("pay", 1), NewJob("pay", 1_000_000)])
    await bench.work()
    forged = (await bench.ending(other)).partition(b"\n")[2]
    result = b"" if strike == "taken away" else forged
    if strike != "event":
        await bench.stored(paid).put({b"result": result})
    if strike == "record":
        await paid.refresh()
        with pytest.raises(BadSignature, match="result"):
            _ = paid.result_value
    if strike in ("event", "both"):
        await bench.client.delete(keys.events("jobqueue", "tickets"))
        lines = b"completed " + paid.id.encode() + b" " + forged
        await bench.client.xadd(keys.events("jobqueue", "tickets"), {"at": 1, "lines": lines})
        if strike == "event":
            await bench.queue.remove(paid.id)
    with pytest.raises(BadSignature, match="result"):
        await paid.result(5)


async def test_notes_of_another_job_are_refused(bench: Bench) -> None:
    @bench.registry.processor("notes")
    async def notes(job: Job[Any]) -> None:
        await job.set_progress({"of": job.id})
        await job.checkpoint({"of": job.id})
        job.log("a line", of=job.id)
        raise ValueError("secret reason")

    jobs = await bench.queue.enqueue_many([NewJob("notes", retry=False), NewJob("notes", retry=False)])
    await bench.work()
    fields = await bench.stored(jobs[1]).fields()
    await bench.stored(jobs[0]).put({name: fields[name] for name in (b"progress", b"checkpoint", b"error")})
    logs = keys.logs("jobqueue", "tickets", jobs[0].id)
    assert await bench.client.exists(logs)
    await bench.client.rpush(logs, b'{"message":"forged"}')
    await jobs[0].refresh()
    for name in ("progress", "checkpoint_value"):
        with pytest.raises(BadSignature, match=name.removesuffix("_value")):
            getattr(jobs[0], name)
    assert jobs[0].error is not None
    assert jobs[0].error.type == "BadSignature"
    first, second = [line.message for line in await jobs[0].logs()]
    assert first == "a line"
    assert f"is not {bench.kind}" in second
    await jobs[1].refresh()
    assert jobs[1].error is not None
    assert (jobs[1].error.type, jobs[1].error.message) == ("ValueError", "secret reason")


async def test_a_checkpoint_cannot_pass_for_progress(bench: Bench) -> None:
    @bench.registry.processor("notes")
    async def notes(job: Job[Any]) -> None:
        await job.checkpoint("secret position")
        raise ValueError

    job = await bench.queue.enqueue("notes", retry=False)
    await bench.work()
    await bench.stored(job).put({b"progress": (await bench.stored(job).fields())[b"checkpoint"]})
    await job.refresh()
    assert job.checkpoint_value == "secret position"
    with pytest.raises(BadSignature):
        _ = job.progress


# Dead letters.


async def test_a_letter_is_retried_with_a_signature_of_its_own(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", "fails")
    await bench.work()
    letters = DeadLetters(backend=bench.backend)
    (letter,) = await letters.letters()
    assert letter.content.data == "fails"
    assert await letters.retry(letter.id, data="mended")
    await bench.work()
    assert bench.ran[-1] == "mended"
    assert await job.result(5) == {"paid": "mended"}


async def test_a_letter_is_retried_after_its_job_is_gone(bench: Bench) -> None:
    job = await bench.queue.enqueue("pay", "fails")
    await bench.work()
    await bench.queue.remove(job.id)
    letters = DeadLetters(backend=bench.backend)
    (letter,) = await letters.letters()
    assert await letters.retry(letter.id)
    bench.ran.clear()
    await bench.work()
    assert bench.ran == ["fails", "fails"]


@pytest.mark.parametrize("by_whom", ["worker", "server"])
async def test_a_letter_does_not_put_our_name_under_a_refused_job(bench: Bench, by_whom: str) -> None:
    """Neither where a worker refused it, nor where the server let it expire before any worker saw it."""
    job = await bench.queue.enqueue("pay", 1, expires_in=60 if by_whom == "server" else None)
    await bench.stored(job).put({b"data": b"1000000"})
    await bench.clock.advance(hours=1)
    await bench.work()
    letters = DeadLetters(backend=bench.backend)
    (letter,) = await letters.letters()
    assert (letter.content.error.type, letter.content.data) == ("BadSignature", None)
    assert await letters.retry_all() == 1, "while the job is there it goes back, and is refused again"
    await bench.clock.advance(hours=1)
    await bench.work()
    (letter,) = await letters.letters()
    with pytest.raises(BadSignature):
        await letters.retry(letter.id, data=1)
    await bench.queue.remove(job.id)
    with pytest.raises(BadSignature):
        await letters.retry(letter.id)
    with pytest.raises(BadSignature):
        await letters.retry(letter.id, data=1)
    assert await letters.retry_all() == 0
    assert len(await letters.letters()) == 1
    assert (await bench.queue.counts()).waiting == 0
    assert bench.ran == []


async def test_a_forged_letter_is_not_shown(bench: Bench) -> None:
    bare = Queue("tickets", backend=bench.bare)
    job = await bare.enqueue("pay", "fails")
    await bench.work(bare)
    await bench.bare.deliver("tickets")
    assert len(await DeadLetters(backend=bench.bare).letters()) == 1, "somebody without a codec has written a letter"
    assert await DeadLetters(backend=bench.backend).letters() == []
    assert await DeadLetters(backend=bench.backend).retry_all() == 0
    await job.refresh()
    assert job.state is JobState.FAILED


# From the environment.


async def test_the_environment_may_hold_the_keys(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "JOBQUEUE_SIGNING_KEYS", "2026-11:bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=, 2026-05:" + "b29v" * 11
    )
    async with connect(valkey_url, fallback="never") as backend:
        assert "Signed(current='2026-11', keys=['2026-05', '2026-11'])" in repr(backend)
    monkeypatch.setenv("JOBQUEUE_ENCRYPTION_KEYS", "2026-11:bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=")
    with pytest.raises(ConfigurationError, match="both set"):
        await connect("memory://")
    monkeypatch.delenv("JOBQUEUE_SIGNING_KEYS")
    async with connect("memory://") as backend:
        assert "Encrypted" in repr(backend)
        assert await Queue("tickets", backend=backend).enqueue("t", 1)
        own = Signed(keys={"mine": NEW}, current="mine")
        async with connect("memory://", codec=own) as chosen:
            assert "mine" in repr(chosen)


@pytest.mark.parametrize(
    "value", ["canary", "a:canary!", "a:Y2FuYXJ5", "a:" + "b29v" * 11 + ",a:" + "b29v" * 11, ",", "A:" + "b29v" * 11]
)
async def test_keys_in_the_environment_that_cannot_be_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOBQUEUE_SIGNING_KEYS", value)
    with pytest.raises(ConfigurationError, match="JOBQUEUE_SIGNING_KEYS") as caught:
        await connect("memory://")
    assert "canary" not in str(caught.value)
    assert "Y2FuYXJ5" not in str(caught.value)
