"""A stored job as fields with names, for a hand that writes past the library: see keys.py for where each lives."""

from __future__ import annotations

from typing import Any, cast

import redis.asyncio

_HEAD = (b"created", b"priority", b"type")
RECORD = (*_HEAD, b"options", b"data")


class StoredJob:
    """One job of one queue on the server."""

    def __init__(self, client: redis.asyncio.Redis, queue: str, job_id: str) -> None:
        self._client = client
        self.record, self.ending, self.life = (
            f"jobqueue:{{{queue}}}:{part}:{job_id}" for part in ("job", "end", "life")
        )

    async def fields(self) -> dict[bytes, bytes]:
        """All that is stored, by name."""
        record = cast("bytes | None", await self._client.get(self.record)) or b""
        life = cast("dict[bytes, bytes]", await self._client.hgetall(self.life))
        return _record_fields(record) | life

    async def put(self, fields: dict[bytes, bytes]) -> None:
        """Write these over what is there."""
        record = _record_fields(cast("bytes | None", await self._client.get(self.record)) or b"")
        if fields.keys() & set(RECORD):
            record |= {name: value for name, value in fields.items() if name in RECORD}
            parts = [record.get(name, b"") for name in RECORD]
            await self._client.set(self.record, b"%b %b %b\n%b\n%b" % tuple(parts))
        if b"result" in fields:
            await self._client.set(self.ending, b"1 2\n" + fields[b"result"])
        life = {name: value for name, value in fields.items() if name not in RECORD and name != b"result"}
        if life:
            await self._client.hset(self.life, mapping=cast("Any", life))
            # What the library itself notes when it first writes such a hash.
            await self._client.hset(self.life.split("life:")[0] + "meta", "lives", "1")

    async def take(self, name: bytes) -> None:
        """Take one field away."""
        if name in RECORD:
            await self.put({name: b""})
        else:
            await self._client.hdel(self.life, name.decode())


def _record_fields(record: bytes) -> dict[bytes, bytes]:
    head, _, rest = record.partition(b"\n")
    options, _, data = rest.partition(b"\n")
    values = [*head.split(b" ", 2), b"", b""][:3]
    return dict(zip(RECORD, (*values, options, data), strict=True))
