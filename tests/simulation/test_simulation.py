"""F23: two hundred histories that nobody has seen before. A failing one is named, and can be run again."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from jobqueue.backends.memory import exchanging
from jobqueue.backends.memory.groups import Groups
from jobqueue.backends.memory.shelf import Shelf
from jobqueue.backends.protocol import Exchange, Extension, Settlement
from jobqueue.model.pace import Pace
from jobqueue.model.record import JobRecord
from jobqueue.worker.lane import Lane
from jobqueue.worker.quarantine import Quarantine
from tests.simulation.invariants import Broken
from tests.simulation.world import World

HISTORIES = 200


@pytest.mark.timeout(300)
def test_no_promise_is_broken_in_any_history() -> None:
    first = secrets.randbelow(2**32)
    for seed in range(first, first + HISTORIES):
        try:
            World(seed).run()
        except Exception as error:
            raise AssertionError(f"python -m tests.simulation --seed {seed}") from error


@pytest.mark.timeout(300)
def test_none_is_with_groups_and_limits_either() -> None:
    first = secrets.randbelow(2**32)
    for seed in range(first, first + HISTORIES // 4):
        try:
            World(seed, limited=True).run()
        except Exception as error:
            raise AssertionError(f"python -m tests.simulation --limited --seed {seed}") from error


@pytest.mark.parametrize("seed", range(10))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    first, again = World(seed), World(seed)
    first.run()
    again.run()
    assert first.trace == again.trace
    assert len(first.trace) > 1


def _breaks_a_promise(seeds: range, *, limited: bool = False, kind: str = "") -> bool:
    for seed in seeds:
        try:
            World(seed, limited=limited, kind=kind).run()
        except Broken:
            return True
    return False


def _forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that does not recognise a repeated exchange."""
    real = exchanging.exchange

    def exchange(shelf: Shelf, request: Exchange, now_ms: int) -> Any:
        shelf.crew.calls.clear()
        return real(shelf, request, now_ms)

    monkeypatch.setattr("jobqueue.backends.memory.backend.exchange", exchange)


def _credulous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that takes results under any token."""
    real = exchanging.settle

    def settle(shelf: Shelf, settlements: Sequence[Settlement], now_ms: int) -> Any:
        held = [
            dataclasses.replace(each, token=record.token)
            if (record := shelf.jobs.get(each.job_id)) is not None and record.token is not None
            else each
            for each in settlements
        ]
        return real(shelf, held, now_ms)

    monkeypatch.setattr(exchanging, "settle", settle)


def _sociable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that have cost workers run beside others."""

    def any_number(self: Quarantine) -> int:
        return 1000

    def all_of_them(self: Quarantine, claimed: Sequence[object]) -> tuple[Sequence[object], Sequence[object]]:
        return claimed, ()

    monkeypatch.setattr(Quarantine, "ask", any_number)
    monkeypatch.setattr(Quarantine, "sift", all_of_them)


def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that takes what is said of a lease it had for what is said of the one it has."""
    real = Lane.extended

    def extended(self: Lane, asked: Mapping[str, int], extension: Extension) -> None:
        real(self, self.held, extension)

    monkeypatch.setattr(Lane, "extended", extended)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("plant", [_forgetful, _credulous, _sociable, _hasty])
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert _breaks_a_promise(range(1, 200))


def _rash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that takes a job for begun when it is claimed, while others still run there."""
    real = exchanging.exchange

    def exchange(shelf: Shelf, request: Exchange, now_ms: int) -> Any:
        return real(shelf, dataclasses.replace(request, reserve=False), now_ms)

    monkeypatch.setattr("jobqueue.backends.memory.backend.exchange", exchange)


@pytest.mark.timeout(300)
def test_blame_that_is_laid_too_early_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    _rash(monkeypatch)
    assert _breaks_a_promise(range(1, 300), kind="poisonous jobs")


def _grasping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups whose places never come back."""

    def keep(self: Groups, record: JobRecord) -> None:
        """The lease is over, and the place stays taken."""

    monkeypatch.setattr(Groups, "free_place", keep)


def _generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates that forget what has started."""

    def take(self: Pace, now_ms: int, count: int) -> None:
        """Nothing is noted."""

    monkeypatch.setattr(Pace, "take", take)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("plant", [_grasping, _generous])
def test_a_bug_planted_in_the_limits_is_found(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    assert _breaks_a_promise(range(1, 100), limited=True)
