"""The quick form of the fuzzing of stored jobs; JOBQUEUE_FUZZ_MUTATIONS and JOBQUEUE_FUZZ_SEED ask for more.

JOBQUEUE_FUZZ_MUTATIONS=10000 python -m pytest tests/security/test_fuzz.py
"""

from __future__ import annotations

import os
import random

import pytest

from tests.codecs import CODECS
from tests.security.fuzz import fuzz

MUTATIONS = int(os.environ.get("JOBQUEUE_FUZZ_MUTATIONS", "500"))
SEED = int(os.environ.get("JOBQUEUE_FUZZ_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)


@pytest.mark.timeout(max(120, MUTATIONS // 10))
@pytest.mark.parametrize("codec", [None, "signed", "encrypted"])
async def test_changed_records_end_with_a_reason_and_harm_nobody(valkey_url: str, codec: str | None) -> None:
    report = await fuzz(valkey_url, mutations=MUTATIONS, seed=SEED, codec=CODECS.get(codec or ""))
    asked = f" --codec {codec}" if codec else ""
    again = f"python -m tests.security.fuzz --mutations {MUTATIONS} --seed {SEED}{asked}"
    assert report.violations == [], again
    assert report.mutations >= MUTATIONS
    assert report.untouched
    # The mutations bite: a run in which everything completes has tested nothing.
    assert report.reasons["Unreadable"]
    if codec:
        assert report.reasons["BadSignature"] > MUTATIONS / 10
        assert not report.reasons["InvalidData"], again
    else:
        assert report.reasons["InvalidData"] > MUTATIONS / 50
        assert report.reasons["InvalidType"]
