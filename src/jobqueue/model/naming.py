"""What names may look like. They end up in keys, logs and pages, so the alphabet is small."""

from __future__ import annotations

import re

from jobqueue.errors import InvalidName

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_NEWER_FORMAT = re.compile(r"format=[0-9]{1,4}")
_GROUP = re.compile(r"[A-Za-z0-9._:@/+=~-]{1,100}")
_JOB_ID = re.compile(r"[A-Za-z0-9._:@/+=~-]{1,200}")


def checked_name(kind: str, value: str) -> str:
    """A queue, job type, tag or namespace. Raises InvalidName."""
    if isinstance(value, str) and _NAME.fullmatch(value):  # pyright: ignore[reportUnnecessaryIsInstance]
        return value
    raise InvalidName(
        f"{kind} {_shown(value)} is not allowed: use 1 to 100 of a-z 0-9 . _ -, beginning with a letter or digit"
    )


def is_name(value: str) -> bool:
    """Whether a queue, job type, tag or namespace may be called so."""
    return _NAME.fullmatch(value) is not None


def shown_name(value: str) -> str:
    """A name that was read from storage, for a log line: "?" where somebody wrote what is none."""
    return value if is_name(value) else "?"


def is_of_newer_release(stored_type: str) -> bool:
    """Whether a stored job type says that its record is in a format that came after this release's (ADR 17)."""
    name, _, mark = stored_type.partition(" ")
    return _NEWER_FORMAT.fullmatch(mark) is not None and is_name(name)


def checked_job_id(value: str) -> str:
    """A job id of the caller's. Raises InvalidName."""
    if isinstance(value, str) and _JOB_ID.fullmatch(value):  # pyright: ignore[reportUnnecessaryIsInstance]
        return value
    raise InvalidName(f"job_id {_shown(value)} is not allowed: use 1 to 200 of A-Z a-z 0-9 . _ : @ / + = ~ -")


def checked_group(value: str) -> str:
    """A group of jobs, named by the caller. Raises InvalidName."""
    if isinstance(value, str) and _GROUP.fullmatch(value):  # pyright: ignore[reportUnnecessaryIsInstance]
        return value
    raise InvalidName(f"group {_shown(value)} is not allowed: use 1 to 100 of A-Z a-z 0-9 . _ : @ / + = ~ -")


def checked_key(value: str) -> str:
    """A key that only one job may hold, named by the caller. Raises InvalidName."""
    if isinstance(value, str) and _JOB_ID.fullmatch(value):  # pyright: ignore[reportUnnecessaryIsInstance]
        return value
    raise InvalidName(
        f"unique: key {_shown(value)} is not allowed: use 1 to 200 of A-Z a-z 0-9 . _ : @ / + = ~ -; "
        "of anything longer take a digest"
    )


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
