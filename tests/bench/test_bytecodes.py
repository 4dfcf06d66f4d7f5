"""What a queue does not use costs its jobs nothing: no function of it runs for each of them."""

from __future__ import annotations

from pathlib import Path

import jobqueue
from benchmarks.bytecodes import Steps, count

JOBS = 1000
SOURCE = Path(jobqueue.__file__).parent
OWN_WORK = {
    "codec", "executor", "job", "lane", "logs", "payloads", "prefetch", "processors", "quarantine", "ready", "running",
    "slots", "stats",
}  # fmt: skip
"""The modules that have something to do for every job. What is not named here belongs to a feature, or to the round."""


FEATURES = {"controlling", "delivering", "effects", "endpoints", "groups", "limiting", "links", "turns", "unique"}
"""Modules of the memory backend that a plain job has no business with."""
ONE_LOOK = {"Links.forget", "Keys.forget"}
"""Whoever forgets a job looks whether anything is kept of it there."""


async def test_no_feature_that_is_not_used_is_asked_for_each_job(valkey_url: str) -> None:
    steps, jobs = await count(valkey_url, JOBS, 10)
    each = {
        Path(code.co_filename).stem
        for code, calls in steps.calls.items()
        if Path(code.co_filename).is_relative_to(SOURCE) and calls > jobs / 2
    }
    assert each <= OWN_WORK
    assert {"executor", "slots", "codec"} <= each


async def test_nor_by_the_memory_backend() -> None:
    steps, jobs = await count("memory://", JOBS, 10)
    each = {
        code.co_qualname
        for code, calls in steps.calls.items()
        if Path(code.co_filename).parent.name == "memory"
        and Path(code.co_filename).stem in FEATURES
        and calls > jobs / 2
    }
    assert each <= ONE_LOOK
    assert any(code.co_qualname == "Shelf.finish" and calls > jobs / 2 for code, calls in steps.calls.items())


def test_steps_are_those_between_the_two_moments() -> None:
    def added(one: int, other: int) -> int:
        return one + other

    steps = Steps()
    steps.begin()
    added(1, 2)
    added(3, 4)
    steps.end()
    added(5, 6)
    assert steps.calls[added.__code__] == 2
    assert steps.bytecodes[added.__code__] % 2 == 0
    assert steps.bytecodes[added.__code__] > 2
