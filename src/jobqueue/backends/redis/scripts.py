"""The Lua scripts: found beside this file, headed by what they promise, and refused if the head is missing.

A script's head is its documentation and its declaration: ``KEYS``, ``ARGV``, ``RETURNS``, ``COST`` and
``INCLUDES`` (parts from ``lua/lib`` whose functions it uses; ``composing`` says how they come into it).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from jobqueue.backends.redis.composing import composed
from jobqueue.errors import ConfigurationError

_HEAD = ("KEYS", "ARGV", "RETURNS", "COST")
_FOLDER = files("jobqueue.backends.redis") / "lua"


@dataclass(frozen=True, slots=True)
class Script:
    """One transition: its name, the composed source and the SHA-1 by which the server knows it."""

    name: str
    purpose: str
    arguments: str
    source: str
    sha: str


@cache
def script(name: str) -> Script:
    """The script ``lua/<name>.lua``, composed with the parts it includes."""
    text = (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
    head = _head(name, text)
    parts = [(_FOLDER / "lib" / f"{part}.lua").read_text(encoding="utf-8") for part in head.get("INCLUDES", "").split()]
    source = composed(text, parts)
    return Script(
        name=name,
        purpose=head["purpose"],
        arguments=head["ARGV"],
        source=source,
        sha=hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest(),
    )


@cache
def names() -> tuple[str, ...]:
    """All scripts, sorted."""
    return tuple(sorted(entry.name.removesuffix(".lua") for entry in _FOLDER.iterdir() if entry.name.endswith(".lua")))


def _head(name: str, text: str) -> dict[str, str]:
    comment: list[str] = []
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        comment.append(line[2:].strip())
    fields: dict[str, str] = {"purpose": ""}
    current = "purpose"
    for line in comment:
        found = re.match(r"(KEYS|ARGV|RETURNS|COST|INCLUDES): ?(.*)", line)
        if found:
            current = found[1]
            fields[current] = found[2]
        else:
            fields[current] = f"{fields[current]} {line}".strip()
    missing = [field for field in _HEAD if field not in fields]
    if missing or not fields["purpose"]:
        raise ConfigurationError(f"the script {name}.lua lacks {', '.join(missing) or 'a purpose'} in its head")
    return fields
