"""The errands between queues: each is one script in the queue it goes to, and may be run again without harm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from jobqueue.backends.protocol import Enqueued, NewRecord
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import Word, text
from jobqueue.backends.redis.linking import Edge
from jobqueue.backends.redis.parting import MOST_BYTES, MOST_TOGETHER, parts
from jobqueue.backends.redis.reach import Reach
from jobqueue.backends.redis.writing import write_jobs
from jobqueue.errors import BackendError, BackendFull

Asked = tuple[str, str, str]
"""Parent id, heir ('queue/id'), policy."""

_LIST = "the list of queues"
_AT_WORK_MS = 60_000


class Courier:
    """Runs errands, and notes which queues have something in their outbox because of them."""

    def __init__(
        self,
        calls: Calls,
        namespace: str,
        now: Callable[[], str],
        is_announced: Callable[[str], bool],
        announce: Callable[[str], Awaitable[None]],
        begin_at: dict[str, str],
        reach: Reach,
    ) -> None:
        self.calls = calls
        self.namespace = namespace
        self.now = now
        self._is_announced = is_announced
        self._announce = announce
        self.begin_at = begin_at
        """Where in their outboxes the next round begins, for queues whose last one ended before the end."""
        self.touched: dict[str, bool] = {}
        """Queues with something in their outbox because of what was delivered; False if that is not certain."""
        self.at = ""
        """The queue that was turned to last."""
        self._reach = reach
        self._full: dict[str, str] = {}

    @contextmanager
    def touching(self) -> Generator[Mapping[str, bool]]:
        """Which queues are touched in this block."""
        before, self.touched = self.touched, {}
        try:
            yield self.touched
        finally:
            here, self.touched = self.touched, before
            for queue, certain in here.items():
                self._touch(queue, certain)

    def _touch(self, queue: str, certain: bool) -> None:
        self.touched[queue] = self.touched.get(queue, False) or certain

    def prefix(self, queue: str) -> str:
        """What every key of ``queue`` begins with."""
        return keys.prefix(self.namespace, queue)

    async def write(self, queue: str, jobs: Sequence[NewRecord], links: Sequence[Word] = ()) -> list[Enqueued]:
        """Enqueue jobs there."""
        self.at = queue
        if queue in self._full:
            raise BackendFull(self._full[queue])
        if not self._is_announced(queue):
            # The list of queues may lie with somebody who is away though this queue is not.
            async with self._reach.of(_LIST):
                await self._announce(queue)
        try:
            async with self._reach.of(queue):
                return await write_jobs(self.calls, self.prefix(queue), queue, self.now(), jobs, links, "force")
        except BackendFull as error:
            # It takes no new jobs in this round; what the jobs there wait for it takes all the same.
            self._full[queue] = str(error)
            raise

    async def link(self, queue: str, asked: Sequence[Asked]) -> Mapping[str, Sequence[Edge]]:
        """Give jobs of ``queue`` heirs elsewhere; returns the edges that are resolved already, by the heir's queue."""
        edges: dict[str, list[Edge]] = defaultdict(list)
        open_parts: list[tuple[str, Sequence[Asked]]] = [("-", asked)]
        self.at = queue
        while open_parts:
            start, part = open_parts.pop()
            words = (word for one in part for word in one)
            async with self._reach.of(queue):
                answers = await self.calls.read("link", self.prefix(queue), start, *words)
            again: dict[str, list[Asked]] = defaultdict(list)
            for one, answer in zip(part, answers, strict=True):
                match answer:
                    case [b"later"]:
                        again[start].append(one)
                    case [b"beyond", beyond]:
                        again[text(beyond)].append(one)
                    case [state, detail, result, kind]:
                        parent, heir, policy = one
                        heir_queue, _, heir_id = heir.partition("/")
                        edges[heir_queue].append(
                            (heir_id, f"{queue}/{parent}", policy, text(state), detail, result, text(kind), 0)
                        )
                    case _:
                        pass
            open_parts += again.items()
        return edges

    async def resolve(self, queue: str, edges: Sequence[Edge]) -> None:
        """Tell jobs and flows of ``queue`` what has become of those they wait for."""
        for part in parts(edges, lambda edge: len(edge[4]) + len(edge[5])):
            await self._errand("resolve", queue, *(word for edge in part for word in edge))

    async def open_gate(self, queue: str, flow: str, job_ids: Sequence[str]) -> None:
        """Let these jobs of a flow begin."""
        await self._errand("open_gate", queue, flow, *job_ids)

    async def spread(self, queue: str, fields: Mapping[str, Any]) -> None:
        """A job of ``queue`` tells its many heirs how it ended."""
        parent, state, kind, heirs = (text(fields.get(name, b"")) for name in ("parent", "state", "error", "list"))
        cursor = "0"
        while True:
            words = (parent, cursor, state, fields.get("detail", b""), fields.get("result", b""), kind, heirs)
            cursor = text(await self._errand("spread", queue, *words))
            if cursor == "0":
                return

    async def ask(self, queue: str, fields: Mapping[str, Any]) -> None:
        """A job of ``queue`` that was retried asks for the many that it needs."""
        cursor = "0"
        while True:
            words = (text(fields.get("heir", b"")), cursor, text(fields.get("gated", b"")))
            cursor = text(await self._errand("ask", queue, *words))
            if cursor == "0":
                return

    async def staged(
        self, home: str, flow: str, gate: str, first: int
    ) -> tuple[int, bool, Sequence[bytes], int | None]:
        """The server's time in ms, whether all of the flow is in its queues, a part of it from the ``first`` place on,
        and where the next one begins.
        """
        self.at = home
        words = (self.now(), flow, gate, first, MOST_TOGETHER, MOST_BYTES)
        now, written, part, after = await self.calls.read("staged", self.prefix(home), *words)
        return int(now), bool(written), part, int(after) if after else None

    async def clock(self, queue: str) -> int:
        """The time, in ms, of the server on which ``queue`` is."""
        return (await self.staged(queue, "", "", 0))[0]

    async def written(self, home: str, flow: str, gate: str) -> None:
        """All of the flow is in its queues."""
        self.at = home
        await self.calls.read("written", self.prefix(home), flow, gate)

    async def delivered(self, home: str, flow: str, gate: str) -> None:
        """All of the flow has been let go."""
        self.at = home
        await self.calls.read("delivered", self.prefix(home), flow, gate)

    async def count(self, queue: str) -> int:
        """How much there is in its outbox."""
        async with self._reach.of(queue):
            return int(await self.calls.command("XLEN", keys.outbox(self.namespace, queue)))

    async def take_out(self, outbox: str, entry_ids: Sequence[str]) -> None:
        """What has been handed over needs not be handed over again; it could be."""
        await self.calls.repeat(lambda _: self.calls.command("XDEL", outbox, *entry_ids))

    async def has_workers(self, queue: str) -> bool:
        """Whether somebody was at work there within a minute; no, where it cannot be asked."""
        seen = keys.named(self.namespace, queue, "seen")
        try:
            async with self._reach.of(queue):
                since = await self.clock(queue) - _AT_WORK_MS
                return bool(await self.calls.command("ZRANGE", seen, since, "+inf", "BYSCORE", "LIMIT", 0, 1))
        except BackendError:
            return False

    async def _errand(self, name: str, queue: str, *words: Word) -> Any:
        """Run a script that answers with something and whether it left something in the outbox."""
        prefix, now, again = self.prefix(queue), self.now(), False

        async def once(repeated: bool) -> Any:
            nonlocal again
            again = repeated
            return await self.calls.run(name, prefix, now, *words)

        self.at = queue
        async with self._reach.of(queue):
            answer, outbox = await self.calls.repeat(once)
        # The first try may have left something, and the repeat nothing more to do.
        if outbox or again:
            self._touch(queue, again or outbox == 1)
        return answer
