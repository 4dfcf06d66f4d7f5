"""Effects on their way: each to where it belongs, those for jobs that wait first. What cannot be handed over, because a
queue is away or full, holds up nothing that goes elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from jobqueue.backends.protocol import NewRecord
from jobqueue.backends.redis.codec import text
from jobqueue.backends.redis.courier import Asked, Courier
from jobqueue.backends.redis.linking import Edge
from jobqueue.backends.redis.parting import parts
from jobqueue.backends.redis.submitting import deliver_flow
from jobqueue.backends.refusals import undelivered
from jobqueue.errors import BackendError, Undelivered


class Handing:
    """A batch of entries of one outbox, sorted by where they go; each part with the id of its entry."""

    def __init__(self, courier: Courier, queue: str) -> None:
        self._courier = courier
        self._queue = queue
        self.edges: dict[str, list[tuple[str, Edge]]] = defaultdict(list)
        self.links: dict[str, list[tuple[str, Asked]]] = defaultdict(list)
        self.errands: list[tuple[str, Mapping[str, Any]]] = []
        self.records: dict[str, list[tuple[str, NewRecord]]] = defaultdict(list)
        self.written: set[str] = set()
        """The entries of which jobs were made that were written."""
        self.error: Undelivered | None = None
        """The first there was."""
        self.left: set[str] = set()
        """The entries of which something could not be handed over."""
        self._led_to: dict[str, set[str]] = defaultdict(set)
        self._out: set[str] = set()

    def write(self, entry: str, target: str, records: Callable[[], Iterable[NewRecord]]) -> None:
        """They are to be written there, if all of them can be made."""
        try:
            made = list(records())
        except Exception as why:  # noqa: BLE001  (the user's codec has a part in it)
            self.leave([entry], target, why)
        else:
            self.records[target] += ((entry, record) for record in made)

    def leave(self, entries: Iterable[str], target: str, why: Exception) -> None:
        """They stay where they are: something of them could not be handed over."""
        self.left.update(entries)
        if self.error is None:
            self.error = undelivered(self._queue, target, why)

    def leave_causes(self, unfinished: Mapping[str, BackendError]) -> None:
        """What has led to something that is stuck in another queue stays too: the next try comes by there again."""
        for queue, why in unfinished.items():
            if queue in self._led_to:
                self.leave(self._led_to[queue], queue, why)

    def done(self, entries: Iterable[str]) -> list[str]:
        """Those that may be taken out, each of them once."""
        found = [entry for entry in entries if entry not in self.left and entry not in self._out]
        self._out.update(found)
        return found

    async def over(self) -> None:
        """Hand all of it over."""
        for target, edges in self.edges.items():
            async with self._trying(entry for entry, _ in edges):
                await self._courier.resolve(target, [edge for _, edge in edges])
        for target, links in self.links.items():
            async with self._trying(entry for entry, _ in links):
                found = await self._courier.link(target, [asked for _, asked in links])
                for heir_queue, answers in found.items():
                    await self._courier.resolve(heir_queue, answers)
        for entry, fields in self.errands:
            async with self._trying([entry]):
                await self._run(fields)
        for target, records in self.records.items():
            for part in parts(records, lambda one: len(one[1].data)):
                async with self._trying(entry for entry, _ in part):
                    await self._courier.write(target, [record for _, record in part])
                self.written.update(entry for entry, _ in part)

    async def _run(self, fields: Mapping[str, Any]) -> None:
        match text(fields["kind"]):
            case "spread":
                await self._courier.spread(self._queue, fields)
            case "ask":
                await self._courier.ask(self._queue, fields)
            case _:
                flow, gate = (text(fields.get(name, b"")) for name in ("flow", "gate"))
                await deliver_flow(self._courier, self._queue, flow, gate)

    @asynccontextmanager
    async def _trying(self, entries: Iterable[str]) -> AsyncGenerator[None]:
        concerned = list(entries)
        with self._courier.touching() as touched:
            try:
                yield
            except BackendError as error:
                self.leave(concerned, self._courier.at, error)
        for queue in touched:
            self._led_to[queue].update(concerned)
