"""What the judges of groups, webhooks and keys find, by ledgers that are made up."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

from tests.faults.groups import begun_while_paused
from tests.faults.hooks import Change, Heard, misheard
from tests.faults.keys import crowded_times, last_is_not_least
from tests.faults.ledger import Deed, Entry
from tests.faults.spans import Span, most_at_once, most_within, of, overlaps, spans


def _entries(*lines: str) -> list[Entry]:
    """Deed, job and process; a line happens a second after the one before."""
    made: list[Entry] = []
    for at, line in enumerate(lines):
        deed, job, process = line.split()
        made.append(Entry(cast("Deed", deed), job, int(process), float(at)))
    return made


def test_a_run_is_over_when_it_has_ended_or_its_process_is_dead() -> None:
    found = _entries(
        "started a.1 1",
        "ended a.1 1",
        "started a.2 1",
        "started b.1 2",
        "disturbed - 2",
        "disturbed - 2",
        "ended a.2 1",
    )
    assert spans(found) == [Span("a.1", 1, 0, 1), Span("a.2", 1, 2, 6), Span("b.1", 2, 3, 5)]
    assert overlaps(spans(found), of) == []
    assert most_at_once(spans(found)) == 2


def test_the_same_job_may_run_twice_in_one_process() -> None:
    found = _entries("started a.1 1", "ended a.1 1", "started a.1 1", "ended a.1 1")
    assert [(run.began, run.over) for run in spans(found)] == [(0, 1), (2, 3)]


def test_two_of_one_group_at_once_are_found() -> None:
    both = spans(_entries("started a.1 1", "started a.2 2", "ended a.2 2", "ended a.1 1"))
    assert len(overlaps(both, of)) == 1
    assert overlaps(both, lambda _: None) == []
    assert overlaps(spans(_entries("started a.1 1", "started b.1 2", "ended a.1 1", "ended b.1 2")), of) == []


def test_one_that_never_ended_in_a_process_that_lives_is_still_at_it() -> None:
    found = spans(_entries("started a.1 1", "started b.1 1", "ended b.1 1", "started a.2 2", "ended a.2 2"))
    assert len(overlaps(found, of)) == 1


def test_a_longer_run_is_not_forgotten_for_a_shorter_one_within_it() -> None:
    found = spans(
        _entries("started a.1 1", "started a.2 2", "ended a.2 2", "started a.3 2", "ended a.1 1", "ended a.3 2")
    )
    assert len(overlaps(found, of)) == 2


def test_starts_within_a_time_are_counted_wherever_it_begins() -> None:
    runs = [Span("a", 1, at, at) for at in (0.0, 0.5, 0.9, 1.0, 1.4, 3.0)]
    assert most_within(runs, 1) == 4
    assert most_within([], 1) == 0


def test_a_paused_group_may_begin_what_was_in_hand_and_nothing_more() -> None:
    in_hand = ["paused a 9", "started a.1 1", "ended a.1 1", "resumed a 9", "started a.2 1", "started a.3 1"]
    assert begun_while_paused(_entries(*in_hand)) == []
    assert len(begun_while_paused(_entries("paused a 9", "started a.1 1", "started b.1 1", "started a.2 1"))) == 1


_DONE = ("/books", "job.completed", "done.1")
_HEARD = Heard(*("/books", "msg_1", "job.completed", "done.1", "body", 204))


def test_what_was_heard_is_what_happened() -> None:
    changes = Counter[Change]({_DONE: 1})
    assert misheard(changes, [_HEARD]) == []
    assert misheard(changes, [replace(_HEARD, status=500), replace(_HEARD, status=0), _HEARD, _HEARD]) == []
    assert misheard(Counter[Change]({_DONE: 2}), [_HEARD, replace(_HEARD, id="msg_2")]) == []


def test_what_was_misheard_is_found() -> None:
    changes = Counter[Change]({_DONE: 1})
    other = replace(_HEARD, job="done.2")
    for heard, what in (
        ([], "told under []"),
        ([replace(_HEARD, status=500)], "never taken"),
        ([_HEARD, replace(_HEARD, id="msg_2")], "told under ['msg_1', 'msg_2']"),
        ([_HEARD, replace(_HEARD, body="another")], "stands for"),
        ([_HEARD, replace(_HEARD, to="/losses", id="msg_2")], "happened 0 times"),
        ([_HEARD, replace(_HEARD, type="unverified", job="?")], "happened 0 times"),
    ):
        assert any(what in words for words in misheard(changes, heard)), (heard, misheard(changes, heard))
    assert any("stands for" in words for words in misheard(Counter([_DONE, other.change]), [_HEARD, other]))


def test_a_key_that_lasts_lets_one_in_for_its_time() -> None:
    assert crowded_times([("lasting-1.a", 10.0), ("lasting-1.b", 11.5), ("lasting-2.c", 10.1)]) == []
    assert len(crowded_times([("lasting-1.b", 11.4), ("lasting-1.a", 10.0)])) == 1


def test_the_last_data_is_what_the_last_run_saw() -> None:
    one = ["attempted last-1.a 9", "acknowledged last-1.a 9", "started last-1.a 1", "saw last-1.a 1"]
    two = ["attempted last-1.b 9", "fallen last-1.b 9"]
    assert last_is_not_least(_entries(*one)) == []
    assert last_is_not_least(_entries(*one, *two, "started last-1.c 1", "saw last-1.b 1")) == []
    (complaint,) = last_is_not_least(_entries(*one, *two))
    assert "others were wanted after that" in complaint
    assert len(last_is_not_least(_entries(*two))) == 1, "nobody saw it"


def test_of_those_that_raced_any_may_be_last() -> None:
    race = ["attempted last-1.a 8", "attempted last-1.b 9", "acknowledged last-1.b 9", "fallen last-1.a 8"]
    for seen in "ab":
        assert last_is_not_least(_entries(*race, "started last-1.b 1", f"saw last-1.{seen} 1")) == []
    # It was said to nobody that this one had come in: it may have, at any time.
    unheard = ["attempted last-1.a 8", "attempted last-1.b 9", "acknowledged last-1.b 9"]
    for seen in "ab":
        assert last_is_not_least(_entries(*unheard, "started last-1.b 1", f"saw last-1.{seen} 1")) == []


def test_a_job_that_has_begun_sees_the_same_when_it_runs_again() -> None:
    found = ["attempted plain-1.a 9", "started plain-1.a 1", "saw plain-1.a 1", "started plain-1.a 2"]
    assert last_is_not_least(_entries(*found, "saw plain-1.a 2")) == []
    assert len(last_is_not_least(_entries(*found, "saw plain-1.b 2"))) == 1
