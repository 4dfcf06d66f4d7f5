"""FlowHandle: a submitted flow, from any process that knows its queue and id."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from jobqueue.backends.protocol import MAX_BATCH, Backend, Cancel, Retry
from jobqueue.errors import InvalidOption, InvalidState, JobFailed, JobNotFound
from jobqueue.model.asked import because
from jobqueue.model.links import FlowRecord
from jobqueue.model.payloads import ANY_JSON
from jobqueue.model.record import JobError
from jobqueue.model.times import Seconds
from jobqueue.queue import Queue
from jobqueue.results import finish_reader, within

_AT_ONCE = 50
_ENDED = ("completed", "failed", "cancelled", "removed")


@dataclass(frozen=True, slots=True)
class FlowNode:
    """One job of a flow as it stands. ``state`` is a job's state, or "removed"; ``after`` are the names (of jobs
    outside the flow, 'queue/id') of those that it depends on.
    """

    name: str
    type: str
    queue: str
    id: str
    state: str
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FlowStatus:
    """A flow at one moment: its nodes in the order in which they were added."""

    id: str
    nodes: tuple[FlowNode, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many jobs are in each state that occurs."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[node.state] = counts.get(node.state, 0) + 1
        return counts

    @property
    def finished(self) -> bool:
        """Whether every job has ended."""
        return all(node.state in _ENDED for node in self.nodes)

    @property
    def succeeded(self) -> bool:
        """Whether every job has completed."""
        return all(node.state == "completed" for node in self.nodes)

    def mermaid(self) -> str:
        """The graph as Mermaid text, a box for each job, coloured by state."""
        boxes = {node.name: f"n{place}" for place, node in enumerate(self.nodes)}
        lines = ["flowchart TD"]
        lines += [
            f'    {boxes[node.name]}["{_shown(node.name)}<br/>{node.state}"]:::{node.state}' for node in self.nodes
        ]
        for node in self.nodes:
            for parent in node.after:
                if parent not in boxes:
                    boxes[parent] = f"n{len(boxes)}"
                    lines.append(f'    {boxes[parent]}["{_shown(parent)}"]')
                lines.append(f"    {boxes[parent]} --> {boxes[node.name]}")
        used = {node.state for node in self.nodes}
        lines += [f"    classDef {state} {style}" for state, style in _STYLES.items() if state in used]
        return "\n".join(lines) + "\n"


_STYLES = {
    "completed": "fill:#d3f9d8,stroke:#2b8a3e",
    "failed": "fill:#ffe3e3,stroke:#c92a2a",
    "cancelled": "fill:#f1f3f5,stroke:#868e96",
    "removed": "fill:#f1f3f5,stroke:#868e96",
    "active": "fill:#fff3bf,stroke:#e67700",
    "waiting": "fill:#d0ebff,stroke:#1864ab",
    "delayed": "fill:#d0ebff,stroke:#1864ab",
    "blocked": "fill:#ffffff,stroke:#868e96",
}


class FlowHandle:
    """A submitted flow. ``queue`` is its home.

    The last 1000 flows that have ended are remembered in each queue, for a week (the last 100 once one of more than
    1000 jobs has ended); afterwards everything here raises JobNotFound.
    """

    def __init__(self, queue: Queue, id: str) -> None:  # noqa: A002  (the word for it)
        self.queue = queue
        self.id = id

    async def status(self) -> FlowStatus:
        """Where every job stands. O(jobs)."""
        return (await self._look())[0]

    async def wait(self, timeout: Seconds | None = None) -> FlowStatus:
        """Return when every job has ended. Wakes by the flow's event; ``timeout`` (seconds or timedelta) raises
        TimeoutError.
        """
        return (await self._ended(timeout))[0]

    async def result(self, timeout: Seconds | None = None) -> dict[str, Any]:
        """What the last jobs returned (those that nobody in the flow depends on), by name, as JSON values.

        Waits as ``wait`` does. Raises JobFailed if not all of those completed, naming the first job that did not. A
        failure that the jobs after it put up with (``on_failure``) is none.
        """
        status, record = await self._ended(timeout)
        needed = {parent for node in status.nodes for parent in node.after}
        last = [node for node in status.nodes if node.name not in needed]
        if any(node.state != "completed" for node in last):
            raise await self._failure(next(node for node in status.nodes if node.state != "completed"))
        results: dict[str, Any] = {}
        for node in last:
            stored = record.ended[f"{node.queue}/{node.id}"].result
            results[node.name] = None if stored is None else ANY_JSON.decode(stored, what="result")
        return results

    async def cancel(self, reason: str = "", *, branch: str | None = None) -> int:
        """Cancel every job that has not ended, or those from the node ``branch`` down; returns how many.

        From the last ones up, so that none begins because of it. Running ones are told to stop. Raises InvalidOption if
        there is no such node.
        """
        backend, why = await self.queue.backend(), because(reason)
        nodes = _below((await self.status()).nodes, branch)
        count = 0
        for level in reversed(_levels(nodes)):
            wanted = [node for node in level if node.state not in _ENDED]
            count += await _each(_amended(backend, node, Cancel(why)) for node in wanted)
        return count

    async def retry(self, *, branch: str | None = None) -> int:
        """Run again what failed or was cancelled, from the first ones down, or only from the node ``branch`` down;
        returns how many. Those that completed stay, with their results; those below wait for those above.

        Raises InvalidOption if there is no such node.
        """
        backend = await self.queue.backend()
        nodes = _below((await self.status()).nodes, branch)
        count = 0
        for level in _levels(nodes):
            wanted = [node for node in level if node.state in ("failed", "cancelled")]
            count += await _each(_amended(backend, node, Retry()) for node in wanted)
        return count

    async def _look(self) -> tuple[FlowStatus, FlowRecord]:
        backend = await self.queue.backend()
        record = await backend.flow(self.queue.name, self.id)
        if record is None:
            raise JobNotFound(
                f"no flow {self.id!r} in queue {self.queue.name!r}: it was never submitted, or ended long ago"
            )
        return FlowStatus(self.id, tuple(await _nodes(backend, record))), record

    async def _ended(self, timeout: Seconds | None) -> tuple[FlowStatus, FlowRecord]:
        async def look() -> tuple[FlowStatus, FlowRecord] | None:
            status, record = await self._look()
            # A job of another queue may have ended, and its result not be here yet: the event comes with it.
            return (status, record) if status.finished and len(record.ended) == len(record.members) else None

        async with within(timeout, f"flow {self.id!r}"):
            reader = finish_reader(await self.queue.backend(), self.queue.name)
            return await reader.flow_ended(self.id, look)

    async def _failure(self, node: FlowNode) -> JobFailed:
        record = await (await self.queue.backend()).get(node.queue, node.id)
        how = "failed" if node.state == "failed" else f"was {node.state}"
        # A failed job that was dropped has taken its reason along.
        error = (record and record.error) or JobError(node.state.capitalize(), record.reason if record else "")
        why = f": {error.type}: {error.message}" if record and record.error else ""
        return JobFailed(
            f"flow {self.id!r}: {node.name!r} {how}{why}",
            error_type=error.type,
            error_message=error.message,
            traceback=error.traceback,
        )

    def __repr__(self) -> str:
        return f"<FlowHandle {self.id} in {self.queue.name}>"


async def _nodes(backend: Backend, record: FlowRecord) -> list[FlowNode]:
    about = {key: from_json(stored) for key, stored in record.members.items()}
    order = sorted(about, key=lambda key: about[key]["n"])
    names = {key: str(about[key]["name"]) for key in order}
    states = {key: ended.state for key, ended in record.ended.items()}
    open_in: dict[str, list[str]] = {}
    for key in order:
        if key not in states:
            queue, _, job_id = key.partition("/")
            open_in.setdefault(queue, []).append(job_id)
    for queue, ids in open_in.items():
        for start in range(0, len(ids), MAX_BATCH):
            part = ids[start : start + MAX_BATCH]
            for job_id, state in zip(part, await backend.states(queue, part), strict=True):
                states[f"{queue}/{job_id}"] = "blocked" if state is None else state.value
    return [
        FlowNode(
            names[key],
            str(about[key]["type"]),
            key.partition("/")[0],
            key.partition("/")[2],
            states[key],
            tuple(names.get(str(parent), str(parent)) for parent in about[key]["after"]),
        )
        for key in order
    ]


def _below(nodes: Sequence[FlowNode], branch: str | None) -> Sequence[FlowNode]:
    """The node of that name and all that depend on it. Nodes come after those that they depend on."""
    if branch is None:
        return nodes
    if all(node.name != branch for node in nodes):
        raise InvalidOption(f"the flow has no node {branch!r}")
    found = {branch}
    for node in nodes:
        if not found.isdisjoint(node.after):
            found.add(node.name)
    return [node for node in nodes if node.name in found]


def _levels(nodes: Iterable[FlowNode]) -> list[list[FlowNode]]:
    """Nodes in such groups that each depends on nodes of earlier groups only."""
    depth: dict[str, int] = {}
    levels: list[list[FlowNode]] = []
    for node in nodes:
        level = max((depth[parent] + 1 for parent in node.after if parent in depth), default=0)
        depth[node.name] = level
        if level == len(levels):
            levels.append([])
        levels[level].append(node)
    return levels


async def _amended(backend: Backend, node: FlowNode, amendment: Cancel | Retry) -> bool:
    try:
        await backend.amend(node.queue, node.id, amendment)
    except (InvalidState, JobNotFound):
        # It has ended, begun again or gone meanwhile.
        return False
    return True


async def _each(calls: Iterable[Coroutine[Any, Any, bool]]) -> int:
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Coroutine[Any, Any, bool]) -> bool:
        async with limit:
            return await call

    return sum(await asyncio.gather(*(one(call) for call in calls)))


def _shown(name: str) -> str:
    return name.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
