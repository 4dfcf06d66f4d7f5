"""Endpoints as the scripts take and give them, and the notices that are left for them (see lua/lib/finish.lua)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from jobqueue.backends.endpoints import MOST_ENDPOINTS, EndpointChange, EndpointRecord, EndpointState, Rules
from jobqueue.backends.redis import codec, keys
from jobqueue.backends.redis.codec import text
from jobqueue.backends.redis.part import RedisPart
from jobqueue.errors import BackendFull
from jobqueue.model.naming import is_name
from jobqueue.model.notice import Notice, Occasion, Part
from jobqueue.model.record import JobState

_LETTER = {Occasion.COMPLETED: "c", Occasion.FAILED: "f", Occasion.CANCELLED: "x", Occasion.RETRYING: "r"}
_OCCASION = {letter: occasion for occasion, letter in _LETTER.items()}
_PART_LETTER = {Part.DATA: "d", Part.RESULT: "r", Part.ERROR: "e"}
_PART = {letter: part for part, letter in _PART_LETTER.items()}
_STATE_AFTER = {
    Occasion.COMPLETED: JobState.COMPLETED,
    Occasion.FAILED: JobState.FAILED,
    Occasion.CANCELLED: JobState.CANCELLED,
    Occasion.RETRYING: JobState.WAITING,
}
_RULES = re.compile(r"([cfxr]*) (-|[dre]+) ([01]) (\S+) (.*)")
_HEAD = re.compile(r"(\S*) (\S+) (\d{1,15})")


class EndpointCalls(RedisPart):
    """The endpoints of the Redis backend."""

    async def write_endpoint(self, queue: str, change: EndpointChange) -> bool:
        await self._announce(queue)
        answer = await self._calls.write(
            "write_endpoint",
            self._prefix(queue),
            self._now(),
            change.id,
            change.expected,
            change.revision,
            change.state,
            rules_text(change.rules),
            change.reason.replace("\r", " ").replace("\n", " "),
            change.definition,
            MOST_ENDPOINTS,
        )
        written = int(answer[0])
        if written < 0:
            raise BackendFull(f"queue {queue!r} has its limit of {MOST_ENDPOINTS} endpoints; nothing was written")
        return written > 0

    async def remove_endpoint(self, queue: str, endpoint: str) -> bool:
        answer = await self._calls.write("remove_endpoint", self._prefix(queue), self._now(), endpoint)
        return int(answer[0]) > 0

    async def find_endpoints(self, queue: str, *, ids: Sequence[str] | None = None) -> list[EndpointRecord]:
        key = keys.named(self._namespace, queue, "endpoints")
        if ids is None:
            found = codec.pairs_of(await self._calls.repeat(lambda _: self._calls.command("HGETALL", key)))
            pairs = sorted((text(endpoint), stored) for endpoint, stored in found)
        elif ids:
            values = await self._calls.repeat(lambda _: self._calls.command("HMGET", key, *ids))
            pairs = list(zip(ids, values, strict=True))
        else:
            return []
        records = (_record(endpoint, stored) for endpoint, stored in pairs if stored)
        return [record for record in records if record is not None]


def rules_text(rules: Rules) -> str:
    """As hooks hold them: letters of occasions, letters of parts (- none), whole, target, types."""
    occasions = "".join(letter for occasion, letter in _LETTER.items() if occasion in rules.occasions)
    include = "".join(letter for part, letter in _PART_LETTER.items() if part in rules.include)
    return f"{occasions} {include or '-'} {int(rules.whole)} {rules.target} {' '.join(rules.types)}"


def notices_of(queue: str, fields: Mapping[str, Any], flat: Sequence[Any]) -> list[Notice]:
    """What an outbox entry has to tell, to each endpoint; nothing where somebody else wrote it."""
    occasion = _occasion(text(fields.get("event", b"")))
    if occasion is None:
        return []
    at_ms, retry_in_ms = (codec.moment_of(fields.get(name)) or 0 for name in ("at", "delay"))
    notices: list[Notice] = []
    for line in text(fields.get("hooks", b"")).split("\n"):
        include, _, rest = line.partition(" ")
        target, _, endpoint = rest.partition("/")
        if not is_name(target) or not is_name(endpoint):
            continue
        # Each has a record of its own, which its reader may change.
        job_id = text(fields.get("id", b""))
        record = codec.record_of(queue, job_id, _STATE_AFTER[occasion], fields.get("job"), None, flat)
        record.result = fields.get("result") or None
        record.finished_ms = None if occasion is Occasion.RETRYING else at_ms
        parts = frozenset(_PART[letter] for letter in include if letter in _PART)
        stamp = f"{at_ms}-{text(fields.get('claims', b'0'))}"
        notices.append(Notice(occasion, record, at_ms, stamp, endpoint, target, parts, retry_in_ms))
    return notices


def _record(endpoint: str, stored: bytes) -> EndpointRecord | None:
    """What somebody made into something else is none."""
    lines = stored.split(b"\n", 3)
    if len(lines) < 4:
        return None
    head, rules, reason, definition = _HEAD.fullmatch(text(lines[0])), _rules(text(lines[1])), text(lines[2]), lines[3]
    if head is None or rules is None or head[2] not in tuple(EndpointState):
        return None
    return EndpointRecord(endpoint, head[1], rules, definition, EndpointState(head[2]), reason, int(head[3]))


def _rules(stored: str) -> Rules | None:
    found = _RULES.fullmatch(stored)
    if found is None:
        return None
    occasions, include, whole, target, types = found.groups()
    return Rules(
        occasions=frozenset(_OCCASION[letter] for letter in occasions),
        target=target,
        types=tuple(types.split()),
        include=frozenset(_PART[letter] for letter in include if letter in _PART),
        whole=whole == "1",
    )


def _occasion(name: str) -> Occasion | None:
    try:
        return Occasion(f"job.{name}")
    except ValueError:
        return None
