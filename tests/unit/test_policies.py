"""The pure decisions: when to try again, what an exception means, what options come to, what ids look like."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel, SecretStr

from jobqueue import InvalidData, InvalidOption, JobOptions, Keep, RateLimited, Retry, Snooze, Unrecoverable
from jobqueue.ids import IdMaker
from jobqueue.model.options import options
from jobqueue.model.outcome import Failed, Released, RetryAt
from jobqueue.model.payloads import Payload, masked
from jobqueue.model.record import JobRecord
from jobqueue.verdict import Policy, describe, refused, verdict

RECORD = JobRecord("a", "tickets", "ticket.created")
POLICY = Policy.of(JobOptions(), "dead-letter")


def test_the_usual_rests() -> None:
    retry = Retry(attempts=5)
    assert [retry.delay_ms(failed, ValueError()) for failed in range(1, 6)] == [2000, 4000, 8000, 16_000, None]


@given(
    failed=st.integers(1, 5000),
    delay=st.floats(0, 1000),
    cap=st.floats(0, 100_000),
    jitter=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
    backoff=st.sampled_from(["fixed", "exponential"]),
)
def test_no_rest_is_longer_than_its_cap(
    failed: int, delay: float, cap: float, jitter: float, draw: float, backoff: str
) -> None:
    retry = Retry(attempts=1000, delay=delay, cap=cap, jitter=jitter, backoff=backoff)  # pyright: ignore[reportArgumentType]
    rest = retry.delay_ms(failed, ValueError(), lambda: draw)
    if failed >= 1000:
        assert rest is None
    else:
        assert rest is not None
        assert 0 <= rest <= cap * 1000 + 1


@given(st.integers(1, 60))
def test_exponential_rests_never_shrink(failed: int) -> None:
    retry = Retry(attempts=1000)
    assert (retry.delay_ms(failed, ValueError()) or 0) <= (retry.delay_ms(failed + 1, ValueError()) or 0)


def test_a_function_may_give_up() -> None:
    retry = Retry(attempts=9, backoff=lambda attempt, error: -1 if isinstance(error, KeyError) else attempt)
    assert retry.delay_ms(3, ValueError()) == 3000
    assert retry.delay_ms(3, KeyError()) is None


@pytest.mark.parametrize("signal", [Snooze, RateLimited])
@pytest.mark.parametrize("after", ["10", None, True])
def test_signals_take_seconds(signal: type[Snooze | RateLimited], after: Any) -> None:
    with pytest.raises(InvalidOption, match=f"{signal.__name__}: after must be seconds or a timedelta"):
        signal(after)


def test_what_exceptions_mean() -> None:
    assert isinstance(verdict(RECORD, ValueError(), POLICY), RetryAt)
    assert isinstance(verdict(RECORD, Unrecoverable("no"), POLICY), Failed)
    assert verdict(RECORD, Snooze(5), POLICY) == Released("snoozed", delay_ms=5000)
    assert verdict(RECORD, RateLimited(5), POLICY) == Released("rate limited", hold_queue_ms=5000)
    last = JobRecord("a", "q", "t", failures=2)
    outcome = verdict(last, ValueError("x"), POLICY)
    assert isinstance(outcome, Failed)
    assert (outcome.dead_letter, outcome.error.message) == ("dead-letter", "x")


def test_invalid_data_lists_every_fault() -> None:
    error = InvalidData("data is not valid", errors=[{"loc": ("a", 0), "msg": "too short", "type": "string_short"}])
    outcome = refused(error, POLICY)
    assert isinstance(outcome, Failed)
    assert not outcome.spent
    assert "a.0: too short (string_short)" in outcome.error.message


def test_errors_are_bounded_and_always_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "Mute" in describe(Mute()).message
    assert len(describe(ValueError("x" * 100_000)).message) <= 2001
    described = describe(OSError("\udcff"))
    assert described.message.encode()


@given(st.builds(Keep, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), st.none() | st.floats(1, 1e6)))
def test_options_travel(keep: Keep) -> None:
    asked = options(retry=Retry(attempts=7, jitter=0.5), timeout=3, keep=keep, tags=["a", "b"])
    assert JobOptions.decode(asked.encode()) == asked


def test_the_stronger_options_win() -> None:
    call, declared = options(timeout=1), options(timeout=2, retry=5)
    assert call.over(declared) == JobOptions(retry=Retry(attempts=5), timeout=1)
    assert JobOptions().encode() == b""


@pytest.mark.parametrize("stored", [b"{", b"[]", b'{"retry":{"attempts":-1}}', b'{"timeout":"x"}', b"\xff"])
def test_options_that_make_no_sense_count_as_none(stored: bytes) -> None:
    assert JobOptions.decode(stored) == JobOptions()


def test_ids_rise_and_are_unique() -> None:
    maker = IdMaker()
    made = [maker.new() for _ in range(100_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_secrets_are_masked_however_deep() -> None:
    class User(BaseModel):
        name: str
        token: SecretStr

    assert Payload(User).encode(User(name="a", token=SecretStr("t"))) == b'{"name":"a","token":"t"}'
    shown = masked({"users": [{"Password": "x", "name": "a"}], "secret": SecretStr("y")})
    assert shown == {"users": [{"Password": "***", "name": "a"}], "secret": "***"}
    spellings = ("accessToken", "X-API-Key", "client_secret", "secret_key", "pwd", "Passwords", "AWS_SECRET_ACCESS_KEY")
    assert set(masked(dict.fromkeys(spellings, "x")).values()) == {"***"}
    assert masked({"tokenised": 1, "keyboard": 2}) == {"tokenised": 1, "keyboard": 2}


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_json_comes_back_as_it_went(value: object) -> None:
    payload = Payload()
    try:
        stored = payload.encode(value)
    except InvalidData as error:
        assert "surrogate" in str(error) or "deep" in str(error)  # noqa: PT017
    else:
        assert payload.decode(stored) == value
