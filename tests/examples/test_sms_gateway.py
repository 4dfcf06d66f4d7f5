"""The gateway's trouble is seeded, passes, and never doubles a message."""

from __future__ import annotations

from pathlib import Path

from examples.ticketing.desk.sms_gateway import Gateway, Trouble, Verdict, read_calls

PHONE = "+15550000001"
NO_TROUBLE = Trouble(shaky=0, broken=0, lost_replies=0)


def verdicts(gateway: Gateway, key: str, times: int) -> list[Verdict]:
    taken = [gateway.take(key, PHONE, attempt).verdict for attempt in range(1, times + 1)]
    gateway.close()
    return taken


def test_a_key_is_accepted_once(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "log", NO_TROUBLE)
    assert verdicts(gateway, "k", 3) == [Verdict.ACCEPTED, Verdict.REPEATED, Verdict.REPEATED]


def test_a_shaky_gateway_takes_the_third_call(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "log", Trouble(shaky=1, broken=0, lost_replies=0))
    assert verdicts(gateway, "k", 3) == [Verdict.REFUSED, Verdict.REFUSED, Verdict.ACCEPTED]


def test_a_broken_number_is_refused_until_the_repair(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "log", Trouble(broken=1))
    assert {gateway.take("k", PHONE, attempt).verdict for attempt in range(1, 9)} == {Verdict.REFUSED}
    gateway.repair()
    assert verdicts(gateway, "k", 1) == [Verdict.ACCEPTED]


def test_after_a_lost_reply_the_repeat_is_recognised(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "log", Trouble(shaky=0, broken=0, lost_replies=1))
    first = gateway.take("k", PHONE, 1)
    assert (first.verdict, first.reply_lost) == (Verdict.ACCEPTED, True)
    assert verdicts(gateway, "k", 1) == [Verdict.REPEATED]


def test_the_same_seed_gives_the_same_trouble(tmp_path: Path) -> None:
    def record(name: str, seed: int) -> list[Verdict]:
        gateway = Gateway(tmp_path / name, Trouble(seed, shaky=0.3))
        taken = [gateway.take(f"k{number}", PHONE, 1).verdict for number in range(100)]
        gateway.close()
        return taken

    assert record("one", 7) == record("two", 7)
    assert record("three", 7) != record("four", 8)


def test_the_log_tells_every_call(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "log", Trouble(shaky=1, broken=0, lost_replies=0))
    taken = [gateway.take("k", PHONE, attempt) for attempt in (1, 2, 3, 3)]
    gateway.close()
    assert list(read_calls(tmp_path / "log")) == taken
