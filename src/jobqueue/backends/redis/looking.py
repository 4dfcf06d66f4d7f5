"""What may be asked of a queue in Redis, without changing anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jobqueue.backends.looking import EventPage, Presence, Status
from jobqueue.backends.redis import codec, keys, linking
from jobqueue.backends.redis.part import RedisPart
from jobqueue.backends.refusals import no_cursor
from jobqueue.model.limits import GroupStatus, Limits
from jobqueue.model.links import FlowRecord, Input
from jobqueue.model.record import JobRecord, JobState

_EVENT_ENTRIES = 100
_CURSOR = re.compile(r"\d{1,20}(-\d{1,20}(/\d{1,9})?)?", re.ASCII)


class LookCalls(RedisPart):
    """The half of the Redis backend that reads."""

    async def flow(self, home: str, flow_id: str) -> FlowRecord | None:
        return linking.flow_of(await self._calls.read("flow", self._prefix(home), flow_id))

    async def inputs(self, queue: str, job_id: str) -> list[Input]:
        return linking.inputs_of(await self._calls.read("inputs", self._prefix(queue), job_id))

    async def states(self, queue: str, job_ids: Sequence[str]) -> list[JobState | None]:
        if not job_ids:
            return []
        found = codec.texts(await self._calls.read("states", self._prefix(queue), *job_ids))
        return [JobState(name) if name else None for name in found]

    async def get(self, queue: str, job_id: str) -> JobRecord | None:
        picture = await self._calls.read("get", self._prefix(queue), job_id)
        return codec.record_of_picture(queue, picture) if picture else None

    async def find(
        self, queue: str, state: JobState, *, limit: int = 100, offset: int = 0, newest: bool = False
    ) -> list[JobRecord]:
        if limit <= 0:
            return []
        pictures = await self._calls.read("find", self._prefix(queue), state, offset, limit, int(newest))
        return [codec.record_of_picture(queue, picture) for picture in pictures]

    async def limits(self, queue: str) -> Limits:
        return codec.limits_of(await self._calls.read("limits", self._prefix(queue)))

    async def groups(self, queue: str, *, after: str = "", limit: int = 100) -> list[GroupStatus]:
        if limit <= 0:
            return []
        found = await self._calls.read("groups", self._prefix(queue), after, 0, limit, self._now())
        return [codec.group_of(picture) for picture in found]

    async def group(self, queue: str, name: str) -> GroupStatus:
        (picture,) = await self._calls.read("groups", self._prefix(queue), name, 1, 1, self._now())
        return codec.group_of(picture)

    async def status(self, queue: str) -> Status:
        paused, oldest, *pairs = await self._calls.read("status", self._prefix(queue), self._now())
        counts = {JobState(codec.text(pairs[at])): int(pairs[at + 1]) for at in range(0, len(pairs), 2)}
        return Status(
            {state: counts.get(state, 0) for state in JobState},
            oldest_ms=None if oldest < 0 else int(oldest),
            paused=bool(paused),
        )

    async def stats(self, queue: str, minutes: int) -> list[tuple[int, dict[str, int]]]:
        reply = await self._calls.read("stats", self._prefix(queue), self._now(), minutes)
        return [(int(begin), codec.counters_of(flat)) for begin, flat in zip(reply[::2], reply[1::2], strict=True)]

    async def logs(self, queue: str, job_id: str) -> list[bytes]:
        key = keys.logs(self._namespace, queue, job_id)
        return list(await self._calls.repeat(lambda _: self._calls.command("LRANGE", key, 0, -1)))

    async def events(self, queue: str, after: str | None, seconds: float) -> EventPage:
        key = keys.events(self._namespace, queue)
        if after is None:
            newest = await self._calls.command("XREVRANGE", key, "+", "-", "COUNT", 1)
            return EventPage((), codec.text(newest[0][0]) if newest else "0-0")
        if not _CURSOR.fullmatch(after):
            raise no_cursor(after)
        entry, _, place = after.partition("/")
        entries: list[Any] = []
        if place:
            # The cursor is in the middle of an entry: what is left of it comes first.
            entries = await self._calls.command("XRANGE", key, entry, entry)
        if not any(codec.events_of(*found)[int(place) + 1 :] for found in entries):
            place, entries = (
                "",
                await self._next_entries(key, entry if "-" in entry else f"{entry}-0", seconds),
            )
        events = [event for found in entries for event in codec.events_of(*found)]
        if place:
            events = events[int(place) + 1 :]
        return EventPage(tuple(events), codec.text(entries[-1][0]) if entries else after)

    async def _next_entries(self, key: str, entry: str, seconds: float) -> list[Any]:
        if seconds <= 0:
            return await self._calls.command("XRANGE", key, f"({entry}", "+", "COUNT", _EVENT_ENTRIES)
        reply = await self._calls.block(
            key,
            seconds,
            lambda left: (
                "XREAD", "COUNT", _EVENT_ENTRIES, "BLOCK", max(1, int(left * 1000)), "STREAMS", key, entry,
            ),
        )  # fmt: skip
        return codec.pairs_of(reply)[0][1] if reply else []

    async def queues(self) -> list[str]:
        names = await self._calls.repeat(lambda _: self._calls.command("SMEMBERS", keys.queues(self._namespace)))
        return sorted(codec.texts(names))

    async def workers(self, queue: str) -> list[Presence]:
        stored = codec.pairs_of(await self._calls.command("HGETALL", keys.named(self._namespace, queue, "workers")))
        seen = codec.pairs_of(
            await self._calls.command("ZRANGE", keys.named(self._namespace, queue, "seen"), 0, -1, "WITHSCORES")
        )
        last_seen = {codec.text(name): int(float(score)) for name, score in seen}
        found = (codec.presence_of(presence, last_seen.get(codec.text(name), 0)) for name, presence in stored)
        return sorted((presence for presence in found if presence), key=lambda presence: presence.worker)
