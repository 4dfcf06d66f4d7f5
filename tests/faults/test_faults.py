"""Each fault in a form of seconds. The long forms are ``make faults``."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import redis.asyncio

from jobqueue.backends import RedisBackend
from jobqueue.backends.protocol import Exchange, NewRecord
from tests.faults import releases
from tests.faults.__main__ import line
from tests.faults.catalogue import FAULTS, LONG, QUICK
from tests.faults.crew import WorkerProcesses
from tests.faults.judge import judge
from tests.faults.ledger import Entry, Ledger, entries
from tests.faults.runs import Report, run
from tests.faults.scene import Plan
from tests.faults.summary import page
from tests.faults.whole import torn

pytestmark = pytest.mark.timeout(180)

SPARED = {"F1", "F3", "F6", "F8", "F10", "F14", "F16", "F17", "F21", "F25", "F26", "F27", "F29", "F31"}
"""Leases outlive the outage, a repeat is recognised, and who stops finishes first: nobody runs anything again."""


def test_every_fault_has_a_quick_and_a_long_form() -> None:
    assert list(QUICK) == list(FAULTS) == list(LONG)


@pytest.mark.parametrize("fault", QUICK)
async def test_nothing_is_lost_and_nothing_repeated_without_a_reason(fault: str) -> None:
    if fault == "F26" and not releases.available():
        pytest.skip(releases.MISSING)
    plan = QUICK[fault]
    report = await run(fault, replace(plan, seed=random.randrange(2**32)))
    assert report.sound, line(report)
    assert report.struck >= (plan.times if fault != "F21" else 1), report
    assert report.judgement.acknowledged >= plan.jobs, report
    assert set(report.exit_codes) == {0}, report
    if fault in {"F2", "F7"}:
        assert report.judgement.repeated > 0, f"the fault did not hit anything: {report}"
    if fault in SPARED:
        assert report.judgement.repeated == 0, report


def test_the_report_is_a_page() -> None:
    judgement = judge(_entries("acknowledged a 1", "acknowledged b 1"), ["a"], ["a", "b"])
    report = Report("F2", Plan(jobs=2, times=1, seed=7), 1, judgement, (0,), ("a complaint",), {"a figure": 1.5})
    about: dict[str, object] = {"at": "now", "command": "make faults", "python": "3", "machine": "m", "versions": "v"}
    text = page(about, [report])
    assert "0 of 1 sound" in text
    assert "| F2 | 7 | 1 | 2 | 1 | 0 |" in text
    assert "- a figure: 1.5" in text
    assert "- **a complaint**" in text


def test_what_a_power_failure_took_is_counted_apart() -> None:
    judgement = judge(_entries("acknowledged a 1", "acknowledged b 1"), ["a"], ["a", "b"], mortal=["b", "c"])
    assert (judgement.lost, judgement.gone) == ((), ("b",))
    assert judgement.sound


async def test_what_is_torn_is_found(valkey_url: str) -> None:
    async with redis.asyncio.Redis.from_url(valkey_url) as client:  # pyright: ignore[reportUnknownMemberType]
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        backend = RedisBackend(client)
        await backend.open()
        await backend.enqueue("tickets", [NewRecord(job_id, "n", b"1") for job_id in ("a", "b", "c", "d")])
        await backend.exchange("tickets", Exchange("w", "w/0", 1, claim=1))
        assert torn(valkey_url, "tickets") == []
        keys = "jobqueue:{tickets}:"
        await client.zadd(keys + "delayed", {"b": 1})
        await client.delete(keys + "job:c")
        await client.zrem(keys + "waiting", "d")
        await client.hdel(keys + "leases", "a")
        found = torn(valkey_url, "tickets")
        assert any("b is both" in words for words in found), found
        assert "c is waiting without a record" in found
        assert f"{keys}job:d belongs to no job" in found
        assert "a is active without a lease" in found
        await client.flushall()  # pyright: ignore[reportUnknownMemberType]
        await backend.close()


def _entries(*words: str) -> list[Entry]:
    made: list[Entry] = []
    for at, word in enumerate(words):
        deed, job, process = word.split()
        made.append(Entry(deed, job, int(process), float(at)))  # pyright: ignore[reportArgumentType]
    return made


def test_the_judge_finds_what_was_lost() -> None:
    judgement = judge(_entries("acknowledged a 1", "acknowledged b 1"), ["a"], ["a", "b"])
    assert judgement.lost == ("b",)
    assert not judgement.sound


def test_a_buried_job_is_not_lost_and_is_told_of() -> None:
    judgement = judge(_entries("acknowledged a 1", "acknowledged b 1"), ["a"], ["a", "b"], buried=["b"])
    assert (judgement.lost, judgement.buried) == ((), ("b",))


def test_the_judge_finds_what_nobody_asked_for() -> None:
    judgement = judge(_entries("acknowledged a 1"), ["a", "z"], ["a"])
    assert judgement.unexpected == ("z",)
    assert not judgement.sound


async def test_an_entry_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.write("ready")
    with ledger.path.open("a", encoding="ascii") as file:
        file.write("star")
    workers = WorkerProcesses("redis://", ledger, ledger.path, lease=1, longest=1, grace=1)
    await workers.all_ready()
    assert [entry.deed for entry in entries(ledger.path)] == ["ready"]
    with ledger.path.open("a", encoding="ascii") as file:
        file.write("ted a 1 1.0\n")
    assert [entry.deed for entry in entries(ledger.path)] == ["ready", "started"]
    ledger.close()


def test_a_repeat_needs_a_reason() -> None:
    twice = _entries("acknowledged a 1", "started a 2", "ended a 2", "started a 3", "ended a 3")
    assert judge(twice, ["a"], ["a"]).unexplained == ("a",)
    assert judge(twice, ["a"], ["a"], outages=True).unexplained == ()
    killed = _entries("acknowledged a 1", "started a 2", "disturbed - 2", "started a 3", "ended a 3")
    judgement = judge(killed, ["a"], ["a"])
    assert (judgement.unexplained, judgement.repeated, judgement.recovery) == ((), 1, (1.0,))
    again = _entries(
        "acknowledged a 1",
        "started a 2",
        "disturbed - 2",
        "recovered a 3",
        "disturbed - 4",
        "recovered a 5",
        "started a 5",
    )
    judgement = judge(again, ["a"], ["a"])
    assert (judgement.recovery, judgement.lost_again) == ((1.0,), 1)
    too_late = _entries("acknowledged a 1", "started a 2", "started a 3", "disturbed - 2")
    assert judge(too_late, ["a"], ["a"]).unexplained == ("a",)
    assert judge(too_late, ["a"], ["a"]).trail[-1] == "3.000000 disturbed - by 2"
    another = _entries("acknowledged a 1", "disturbed - 2", "started a 2", "started a 3")
    assert judge(another, ["a"], ["a"]).unexplained == ("a",)


def test_a_worker_that_was_stopped_on_the_way_to_a_start_starts_one_job_late() -> None:
    stopped = ("acknowledged a 1", "acknowledged b 1", "disturbed - 2", "started a 3", "ended a 3", "started b 3")
    assert judge(_entries(*stopped, "started a 2"), ["a", "b"], ["a", "b"]).unexplained == ()
    assert judge(_entries(*stopped, "ended c 2", "started a 2"), ["a", "b"], ["a", "b"]).unexplained == ("a",)
    both = judge(_entries(*stopped, "started a 2", "started b 2"), ["a", "b"], ["a", "b"])
    assert both.unexplained == ("b",)
    assert "6.000000 started a by 2" not in both.trail
    assert "7.000000 started b by 2" in both.trail
    earlier = _entries("acknowledged a 1", "started a 3", "disturbed - 2", "started a 2")
    assert judge(earlier, ["a"], ["a"]).unexplained == ("a",)
