"""Flow: a graph of jobs, put together here and submitted all or none.

1. ``add`` gives nodes; a node can only come after nodes that exist, so there is no circle.
2. A node's ``result`` may stand in the data of a later one: a reference that the later one's worker fills in.
3. ``submit`` writes everything in one step and gives the handle (flow_handle.py) by which the flow is followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, Unpack, cast, overload

from pydantic_core import to_json
from typing_extensions import TypeVar

from jobqueue.backends.protocol import FlowMember, NewFlow
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.errors import InvalidName, InvalidOption
from jobqueue.flow_handle import FlowHandle
from jobqueue.ids import new_job_id
from jobqueue.job_type import JobType
from jobqueue.model.links import MOST_IN_FLOW, After, DependsOn, Need, OnFailure, is_list, need_of, needs_of
from jobqueue.model.naming import checked_job_id, checked_name
from jobqueue.model.options import Path, Ref
from jobqueue.model.payloads import MAX_DEPTH
from jobqueue.new_job import CheckedJob, JobWishes, NewJob, checked_job, new_job
from jobqueue.queue import Queue

DataT = TypeVar("DataT", default=Any)
ResultT = TypeVar("ResultT", default=Any)
_MOST_REFS = 100


class Reference(Generic[ResultT]):
    """What a node will have returned, ``node.result``, or a part of it, ``node.result["total"]``."""

    __slots__ = ("node", "path")

    def __init__(self, node: Node[Any, Any], path: Path = ()) -> None:
        self.node = node
        self.path = path

    def __getitem__(self, step: str | int) -> Reference[Any]:
        if isinstance(step, bool) or not isinstance(step, (str, int)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"a part of a result is named by a text or a number, not by a {type(step).__name__}")
        return Reference(self.node, (*self.path, step))

    def __iter__(self) -> Any:
        raise InvalidOption("a result to come cannot be looped over: pass it on whole, and loop in the processor")

    def __repr__(self) -> str:
        return f"<result of {self.node.name}>"


class Node(Generic[DataT, ResultT]):
    """One job of a flow: its name there, its queue and its id."""

    __slots__ = ("checked", "flow", "id", "name", "queue")

    def __init__(self, flow: Flow, name: str, queue: str, checked: CheckedJob) -> None:
        self.flow = flow
        self.name = name
        self.queue = queue
        self.checked = checked
        self.id = checked.record.id

    @property
    def result(self) -> Reference[ResultT]:
        """What it will have returned, to be put into the data of a later node."""
        return Reference(self)

    @property
    def key(self) -> str:
        """Its name over all queues."""
        return f"{self.queue}/{self.id}"

    def __repr__(self) -> str:
        return f"<Node {self.name} in {self.queue}>"


class Flow:
    """A graph of jobs.

        flow = Flow(queue)
        page = flow.add("page.fetch", {"url": url})
        parts = [flow.add("part.scan", {"page": page.result, "part": number}) for number in range(10)]
        flow.add("report.send", {"pages": 10}, after=parts)
        handle = await flow.submit()

    ``queue`` is the flow's home: it remembers the flow, and its workers deliver it should this process die meanwhile.
    Jobs go there too, unless they name another. ``id`` makes submitting repeatable: a flow of a known id is not
    submitted again. At most 100 000 nodes. Raises InvalidName.
    """

    def __init__(self, queue: Queue, *, id: str | None = None) -> None:  # noqa: A002  (the word for it)
        self.queue = queue
        self.id = new_job_id() if id is None else checked_job_id(id)
        self.nodes: dict[str, Node[Any, Any]] = {}
        self._keys: dict[str, str] = {}
        self._queues: dict[str, Queue] = {queue.name: queue}

    @overload
    def add(
        self,
        type: JobType[DataT, ResultT],
        data: DataT | Reference[DataT],
        *,
        after: Iterable[DependsOn] = (),
        name: str | None = None,
        queue: Queue | str | None = None,
        **options: Unpack[JobWishes],
    ) -> Node[DataT, ResultT]: ...
    @overload
    def add(
        self,
        type: JobType[DataT, ResultT],
        data: Mapping[str, object] | list[Any] | tuple[Any, ...],
        *,
        after: Iterable[DependsOn] = (),
        name: str | None = None,
        queue: Queue | str | None = None,
        **options: Unpack[JobWishes],
    ) -> Node[DataT, ResultT]: ...
    @overload
    def add(
        self,
        type: str,
        data: object = None,
        *,
        after: Iterable[DependsOn] = (),
        name: str | None = None,
        queue: Queue | str | None = None,
        **options: Unpack[JobWishes],
    ) -> Node[Any, Any]: ...
    def add(
        self,
        type: str | JobType[Any, Any],  # noqa: A002  (the design's word for it)
        data: object = None,
        *,
        after: Iterable[DependsOn] = (),
        name: str | None = None,
        queue: Queue | str | None = None,
        **options: Unpack[JobWishes],
    ) -> Node[Any, Any]:
        """Add one job, to run after those nodes (or jobs that exist, also as ``After(node, on_failure="run")``).

        ``data`` may hold results of earlier nodes, ``{"total": node.result["sum"]}``; it then comes after them, and is
        checked by the worker that has them. ``name`` is how others know it in ``job.results[...]`` and the status; it
        is part of its id. The options are those of ``Queue.enqueue``. Raises InvalidInput.
        """
        if len(self.nodes) >= MOST_IN_FLOW:
            raise InvalidOption(f"a flow has {MOST_IN_FLOW} nodes at the most")
        target = self._target(queue)
        job = new_job(type, data, options)
        label = f"{_type_name(type)}-{len(self.nodes)}" if name is None else _checked_label(name)
        if label in self.nodes:
            raise InvalidOption(f"the flow has a node {label!r} already: names are unique in a flow")
        refs: list[Ref] = []
        job.data = _without_references(data, (), refs, self)
        if not is_list(after):
            raise InvalidOption("after must be a list of nodes or jobs: after=[node]")
        if len(refs) > _MOST_REFS:
            raise InvalidOption(f"data may hold {_MOST_REFS} results of others at the most, not {len(refs)}")
        job.depends_on = self._needs(job, [*job.depends_on, *after], refs)
        if job.job_id is None:
            job.job_id = checked_job_id(f"{self.id}/{label}")
        flow = f"{self.queue.name}/{self.id}"
        checked = checked_job(job, target.defaults, KNOWN_TYPES, flow=flow, refs=tuple(refs), most_needs=MOST_IN_FLOW)
        node = Node[Any, Any](self, label, target.name, checked)
        if node.key in self._keys:
            raise InvalidOption(f"the flow has a job {node.id!r} in queue {target.name!r} already")
        self.nodes[label] = node
        self._keys[node.key] = label
        return node

    def chain(self, *jobs: NewJob, after: Iterable[DependsOn] = ()) -> list[Node[Any, Any]]:
        """Add jobs that run one after the other; returns their nodes."""
        nodes: list[Node[Any, Any]] = []
        for job in jobs:
            nodes.append(self._add(job, [nodes[-1]] if nodes else after))
        return nodes

    def fan_out(self, jobs: Iterable[NewJob], *, after: Iterable[DependsOn] = ()) -> list[Node[Any, Any]]:
        """Add jobs that may run at the same time; returns their nodes."""
        if not is_list(jobs):
            raise InvalidOption("fan_out takes a list of jobs: fan_out([NewJob(…), …])")
        first = list(after) if is_list(after) else after
        return [self._add(job, first) for job in jobs]

    def fan_in(self, job: NewJob, *, after: Sequence[DependsOn]) -> Node[Any, Any]:
        """Add the one job that runs when all of those are done. Raises InvalidOption if there are none."""
        if not after:
            raise InvalidOption("fan_in needs nodes to come after")
        return self._add(job, after)

    async def submit(self) -> FlowHandle:
        """Write all jobs, or none; returns the handle on the flow. None runs before all are there.

        On return they will run, also if this process dies. Repeating it adds nothing. Raises InvalidOption for an empty
        flow, JobNotFound if a job outside the flow is not there, BackendError with nothing to be run.
        """
        if not self.nodes:
            raise InvalidOption("the flow is empty: add jobs to it first")
        backend = await self.queue.backend()
        outside = [
            replace_needs(node.checked, [need for need in node.checked.record.needs if need.key not in self._keys])
            for node in self.nodes.values()
        ]
        await self.queue.find_needs(backend, [job for job in outside if job.record.needs], own=True)
        members = [
            FlowMember(node.queue, node.checked.record, self._remembered(place, node))
            for place, node in enumerate(self.nodes.values())
        ]
        await backend.submit(self.queue.name, NewFlow(self.id, members))
        return FlowHandle(self.queue, self.id)

    def _add(self, job: NewJob, after: Iterable[DependsOn]) -> Node[Any, Any]:
        if not isinstance(job, NewJob):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"each job must be a NewJob(type, data), not {type(job).__name__}")
        names = JobWishes.__annotations__
        options = {name: getattr(job, name) for name in names if getattr(job, name) != getattr(_BLANK, name)}
        add = cast("Callable[..., Node[Any, Any]]", self.add)
        return add(job.type, job.data, after=after, **options)

    def _target(self, queue: Queue | str | None) -> Queue:
        if queue is None:
            return self.queue
        if isinstance(queue, str):
            return self._queues.get(queue) or self._queues.setdefault(queue, Queue(queue))
        if not isinstance(queue, Queue):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidOption(f"queue must be a Queue or its name, not {type(queue).__name__}")
        if not queue.shares_backend_with(self.queue):
            raise InvalidOption(f"queue {queue.name!r} is on another backend than the flow, whose jobs are all on one")
        return self._queues.setdefault(queue.name, queue)

    def _needs(self, job: NewJob, after: list[DependsOn], refs: Sequence[Ref]) -> list[DependsOn]:
        for one in after:
            node = one.job if isinstance(one, After) else one
            if isinstance(node, Node) and node.flow is not self:
                raise InvalidOption(f"{node.name!r} belongs to another flow: submit that first, and pass its jobs")
        needs = {need.key: need for need in needs_of(after, job.on_failure, most=MOST_IN_FLOW)}
        for _, key, _ in refs:
            needs.setdefault(key, need_of(key, OnFailure(job.on_failure)))
        return [After((need.queue, need.id), need.on_failure) for need in needs.values()]

    def _remembered(self, place: int, node: Node[Any, Any]) -> bytes:
        record = node.checked.record
        return to_json(
            {"n": place, "name": node.name, "type": record.type, "after": [need.key for need in record.needs]}
        )

    def __repr__(self) -> str:
        return f"<Flow {self.id} of {len(self.nodes)} jobs in {self.queue.name}>"


def replace_needs(checked: CheckedJob, needs: Sequence[Need]) -> CheckedJob:
    """The same job with other needs."""
    return replace(checked, record=replace(checked.record, needs=tuple(needs)))


_BLANK = NewJob("blank")


def _checked_label(name: str) -> str:
    if isinstance(name, str) and name:  # pyright: ignore[reportUnnecessaryIsInstance]
        try:
            return checked_job_id(name)
        except InvalidName:
            pass
    raise InvalidName(
        f"name {name!r:.60} is not allowed for a node, whose job id it is part of: use A-Z a-z 0-9 . _ : @ / + = ~ -"
    )


def _type_name(declared: str | JobType[Any, Any]) -> str:
    return declared.name if isinstance(declared, JobType) else checked_name("job type", declared)


def _without_references(value: Any, path: Path, refs: list[Ref], flow: Flow) -> Any:
    """Data with null for each result to come, which goes to ``refs``."""
    if isinstance(value, Reference):
        reference = cast("Reference[Any]", value)
        if reference.node.flow is not flow:
            raise InvalidOption(f"{reference.node.name!r} belongs to another flow")
        refs.append((path, reference.node.key, reference.path))
        return None
    if len(path) > MAX_DEPTH:
        # Deeper than data may be, or inside itself: it is refused when it is encoded.
        return value
    if isinstance(value, Mapping):
        found = cast("Mapping[Any, Any]", value)
        return {key: _without_references(inner, (*path, key), refs, flow) for key, inner in found.items()}
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return [_without_references(inner, (*path, place), refs, flow) for place, inner in enumerate(items)]
    return value
