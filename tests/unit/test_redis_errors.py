"""What the server's words become, also in the older form in which Redis 6.2 tells of an error inside a script."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from jobqueue import AccessDenied, BackendError, BackendFull, BackendUnavailable
from jobqueue.backends.redis.connection import translated

_OLD = "ERR Error running script (call to f_6b1bf486c81ceb7edf3c093f4c48582e): @user_script:1: @user_script: 1: -{}"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("READONLY You can't write against a read only replica.", BackendUnavailable),
        ("NOREPLICAS Not enough good replicas to write.", BackendUnavailable),
        ("MISCONF Errors writing to the AOF file", BackendFull),
        ("OOM command not allowed when used memory > 'maxmemory'.", BackendFull),
        ("NOPERM this user has no permissions", AccessDenied),
    ],
)
def test_an_error_inside_a_script_is_what_it_is_outside(words: str, kind: type[BackendError]) -> None:
    for text in (words, f"{words} script: 6b1bf486, on @user_script:1.", _OLD.format(words)):
        assert type(translated(ResponseError(text))) is kind, text


def test_what_nobody_knows_is_an_error_of_the_backend() -> None:
    assert type(translated(ResponseError("ERR wrong number of arguments"))) is BackendError
