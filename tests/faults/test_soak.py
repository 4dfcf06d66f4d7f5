"""F24: the soak itself, for seconds; and that it would find what grows."""

from __future__ import annotations

import random

import pytest

from tests.faults.soak import BOUNDS, grown, soak


@pytest.mark.timeout(180)
async def test_a_few_seconds_of_it() -> None:
    report = await soak(minutes=0.2, seed=random.randrange(2**32), every=0.7)
    assert not report.judgement.lost, report
    assert not report.judgement.unexpected, report
    assert not report.complaints, report
    assert report.struck, report
    assert report.jobs > 0
    # How much grows in seconds says nothing, but every series is there to be judged.
    assert {(each.of, each.what) for each in report.growth} == {
        *((who, what) for who in ("worker 0", "worker 1", "producer") for what in ("memory", "files", "tasks")),
        ("server", "keys"),
    }


@pytest.mark.parametrize("what", BOUNDS)
def test_what_grows_is_found(what: str) -> None:
    bound, hours, chance = BOUNDS[what], 2, random.Random(7)
    moments = range(0, hours * 3600, 10)

    def series(hourly: float) -> list[tuple[float, float]]:
        # Warm for a while, then steady but for some wavering, then what is to be found.
        return [
            (float(at), 100 * min(at, 60) + hourly * at / 3600 + chance.uniform(-1, 1) * bound.wavering)
            for at in moments
        ]

    steady = grown(what, "it", series(0))
    assert steady is not None
    assert steady.sound, steady
    growing = grown(what, "it", series(2 * bound.hourly + bound.wavering))
    assert growing is not None
    assert not growing.sound, growing


def test_too_little_says_nothing() -> None:
    assert grown("keys", "it", [(0, 1), (1, 2)]) is None
