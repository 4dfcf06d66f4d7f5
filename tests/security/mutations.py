"""What somebody who can write to the server may put into a job's record, drawn from a seed."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CANARY_MODULE = "jobqueue_canary_module"
"""A module that stands ready on the path and must never be imported."""


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (__import__, (CANARY_MODULE,))


_PICKLE = pickle.dumps(_Bomb())
_NUMBERS = (
    b"", b"0", b"-1", b"1", b"3", b"0x10", b"1e3", b"1e400", b"-1e400", b"nan", b"inf", b"-inf", b"1.5", b" 7 ", b"1_0",
    b"9007199254740993", b"-9223372036854775809", b"9" * 40, b"9" * 5000, b"\xd9\xa3", b"253402300800000",
    b"-62135596800001",
)  # fmt: skip
_TEXTS = (
    b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\r\nERROR forged line", b"\x1b[2J", b"' OR 1=1 --",
    b"<script>alert(1)</script>",
    b"${jndi:ldap://x}", b"{{7*7}}", b"../../etc/passwd", b"%s%s%n", b"A" * 1_000_000, "\u202e\u0000é".encode(),
    f"{CANARY_MODULE}:run".encode(), f"{CANARY_MODULE}.run".encode(),
    f"!!python/object/apply:{CANARY_MODULE}.run []".encode(),
    f"__import__('{CANARY_MODULE}')".encode(), b"os.system", _PICKLE, b"\xc1*\x02*" + _PICKLE,
)  # fmt: skip
_JSON = (
    b"null", b"true", b"[]", b"{}", b'""', b"NaN", b"Infinity", b"-0", b"1e999", b"[" * 10_000, b"[" * 100 + b"]" * 100,
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'{"number": 1, "number": "x"}', b'{"number": 1' + b"0" * 5000 + b"}",
    b'{"number": "1"}', b'{"number": null}', b'{"number": 1, "__class__": "os.system"}', b'{"number": 1}trailing',
    b'{"py/object": "os.system"}', b'"\\ud800"', b'{"__proto__": {"x": 1}}', b"\xef\xbb\xbf{}",
)  # fmt: skip
_OPTIONS: tuple[object, ...] = (
    {"retry": {"attempts": 10**9}}, {"retry": {"attempts": 5, "delay": 0}}, {"retry": {"attempts": -1}},
    {"retry": "os.system"},
    {"retry": {"backoff": "os.system"}}, {"retry": {"delay": 1e300}}, {"timeout": -1}, {"timeout": 0},
    {"timeout": 1e-9},
    {"timeout": 1e308}, {"timeout": "NaN"}, {"timeout": "inf"}, {"keep": {"completed": -5}},
    {"keep": {"completed": 10**30}},
    {"keep": {"completed": 0, "failed": 0}}, {"keep": {"age": -1}}, {"keep": {"age": 1e300}}, {"keep": {"age": 0.001}},
    {"tags": ["x" * 10_000]}, {"tags": [1, None, True]}, {"tags": "abc"}, "x", 7, None, {"unknown": True},
)  # fmt: skip
_ERRORS: tuple[object, ...] = (
    {"type": 1}, {"type": "X", "message": None}, {"type": "", "message": ""}, {"message": "no type"}, [],
    {"type": "X\nforged", "message": "m" * 100_000, "traceback": "t"},
)  # fmt: skip
_FIELDS = (
    "type", "type", "data", "data", "data", "data", "created", "priority", "priority", "options", "options",
    "failures", "stalls",
    "expires", "started", "finished", "result", "error", "reason", "progress", "checkpoint", "nonsense", "", "id",
    "token", "state",
)  # fmt: skip
_NUMERIC = frozenset({"created", "priority", "failures", "stalls", "expires", "started", "finished", "token"})


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is done to one record: fields set, fields taken away, or the whole key replaced (``kind``)."""

    kind: str
    put: Mapping[bytes, bytes]
    taken: tuple[bytes, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The fields it touches."""
        return frozenset(name.decode() for name in (*self.put, *self.taken))


def draw(dice: random.Random, stored: Mapping[bytes, bytes]) -> Mutation:
    """A mutation of a record as it is stored."""
    luck = dice.random()
    if luck < 0.01:
        return Mutation("deleted", {})
    if luck < 0.03:
        return Mutation(dice.choice(("string", "list", "zset")), {})
    put: dict[bytes, bytes] = {}
    taken: list[bytes] = []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        name = dice.choice(_FIELDS)
        field = name.encode()
        if field in stored and dice.random() < 0.08:
            taken.append(field)
        else:
            put[field] = _value(dice, name, stored.get(field, b""), stored)
    if dice.random() < 0.02:
        put.update({f"unknown{number}".encode(): b"x" for number in range(100)})
    return Mutation("fields", {name: value for name, value in put.items() if name not in taken}, tuple(taken))


def borrow(dice: random.Random, other: Mapping[bytes, bytes]) -> Mutation:
    """Put what another job carries into this one: well-formed, well signed, and not its own."""
    names = dice.choice(((b"data",), (b"options",), (b"type",), (b"data", b"options"), (b"data", b"options", b"type")))
    return Mutation("fields", {name: other[name] for name in names if name in other})


def _value(dice: random.Random, name: str, was: bytes, stored: Mapping[bytes, bytes]) -> bytes:
    luck = dice.random()
    if name in _NUMERIC and luck < 0.6:
        return dice.choice(_NUMBERS)
    if name == "options" and luck < 0.6:
        return json.dumps(dice.choice(_OPTIONS)).encode()
    if name == "error" and luck < 0.6:
        return json.dumps(dice.choice(_ERRORS)).encode()
    if luck < 0.3 and was:
        return _disturbed(dice, was)
    if luck < 0.35:
        return dice.choice(list(stored.values()) or [b""])
    if luck < 0.45:
        return dice.randbytes(dice.choice((1, 2, 16, 300, 5000)))
    return dice.choice(dice.choice((_NUMBERS, _TEXTS, _JSON)))


def _disturbed(dice: random.Random, was: bytes) -> bytes:
    at = dice.randrange(len(was))
    match dice.randrange(5):
        case 0:
            return was[:at]
        case 1:
            return was[:at] + bytes([was[at] ^ (1 << dice.randrange(8))]) + was[at + 1 :]
        case 2:
            return was[:at] + dice.randbytes(3) + was[at:]
        case 3:
            return was + was
        case _:
            return bytes(reversed(was))
