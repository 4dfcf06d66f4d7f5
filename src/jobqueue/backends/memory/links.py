"""Jobs that wait for others: edges between the jobs of one queue, and what is known here of those in other queues.

An edge is resolved by being moved from the needs of the job that waits to its inputs, so that resolving it twice does
nothing. What a step brings to an end is gathered in ``shelf.ended`` and told to the heirs by :func:`settle_heirs`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from jobqueue.backends.memory.effects import Edge, Link, Outcome, Reopen
from jobqueue.backends.wiring import POLICY
from jobqueue.model.links import Ended, Input, OnFailure, dependency_error
from jobqueue.model.record import JobError, JobRecord, JobState
from jobqueue.model.unique import Unique

if TYPE_CHECKING:
    from jobqueue.backends.memory.shelf import Shelf

FLOWS_KEPT, FLOW_MS = 1000, 604_800_000
LARGE_FLOW, KEPT_WITH_LARGE = 1000, 100
"""Once a flow of more jobs than that has ended, no more than so many are kept, whatever their size."""
GATE = "g"
KEY_GATE = "unique"
"""What a job waits for that is kept until another one with its key is done."""
_FLOW_KINDS = ("F", "S")
_ON_FAILURE: dict[str, OnFailure] = {letter: policy for policy, letter in POLICY.items()}


class Wish(NamedTuple):
    """Where a blocked job goes when it is let go."""

    delay_ms: int = 0
    run_at_ms: int | None = None
    front: bool = False


class End(NamedTuple):
    """A job that has come to an end, whom to tell, and what key it asked for."""

    id: str
    outcome: Outcome
    heirs: Mapping[str, str]
    unique: Unique | None = None


class Links:
    """The edges of one queue's jobs; names of jobs of any queue are 'queue/id'."""

    def __init__(self) -> None:
        self.needs: dict[str, dict[str, str]] = {}
        self.inputs: dict[str, dict[str, Input]] = {}
        self.heirs: dict[str, dict[str, str]] = {}
        self.wishes: dict[str, Wish] = {}
        self.doomed: dict[str, JobError] = {}
        self.members: dict[str, dict[str, bytes]] = {}
        self.noted: dict[str, dict[str, Ended]] = {}
        self.done: OrderedDict[str, int] = OrderedDict()
        """Flows whose members have all ended, and when."""

    def forget(self, job_id: str) -> None:
        """A job is gone."""
        for kept in (self.needs, self.inputs, self.heirs, self.wishes, self.doomed):
            kept.pop(job_id, None)

    def forget_flow(self, flow: str) -> None:
        """A flow is gone."""
        for kept in (self.members, self.noted, self.done):
            kept.pop(flow, None)

    def forget_old_flows(self, now_ms: int) -> None:
        """Those that ended a week ago."""
        for flow in [flow for flow, at_ms in self.done.items() if at_ms <= now_ms - FLOW_MS]:
            self.forget_flow(flow)


def block(shelf: Shelf, record: JobRecord, wish: Wish, needs: Iterable[tuple[str, str]]) -> None:
    """A new job waits for these (name and policy)."""
    shelf.links.needs[record.id] = dict(needs)
    shelf.links.wishes[record.id] = wish
    shelf.block(record)


def connect(shelf: Shelf, job_id: str, parent: str, policy: str, now_ms: int) -> None:
    """A job of this queue hears from ``parent`` when that ends, or at once if it has."""
    queue, _, parent_id = parent.partition("/")
    heir = f"{shelf.queue}/{job_id}"
    if queue != shelf.queue:
        shelf.add_effect(Link(queue, parent_id, heir, policy))
        return
    outcome = adopt(shelf, parent_id, heir, policy)
    if outcome is not None:
        resolve(shelf, job_id, parent, outcome, now_ms)


def adopt(shelf: Shelf, parent_id: str, heir: str, policy: str) -> Outcome | None:
    """Give a job of this queue an heir; or tell how it has ended."""
    record = shelf.jobs.get(parent_id)
    if record is None:
        return Outcome("removed")
    if record.state.finished:
        return outcome_of(record)
    shelf.links.heirs.setdefault(parent_id, {})[heir] = policy
    return None


def outcome_of(record: JobRecord) -> Outcome:
    """How a finished job ended."""
    match record.state:
        case JobState.COMPLETED:
            return Outcome("completed", record.result)
        case JobState.FAILED:
            return Outcome("failed", error=record.error)
        case _:
            return Outcome("cancelled", reason=record.reason.replace("\r", " ").replace("\n", " "))


def resolve(shelf: Shelf, job_id: str, parent: str, outcome: Outcome, now_ms: int) -> None:
    """``parent`` has ended: what that means for a job of this queue that needs it."""
    needs = shelf.links.needs.get(job_id)
    policy = needs.pop(parent, None) if needs else None
    if needs is None or policy is None:
        return
    if not needs:
        del shelf.links.needs[job_id]
    bad = outcome.state != "completed"
    if policy != GATE and not (bad and policy == "i"):
        queue, _, parent_id = parent.partition("/")
        shelf.links.inputs.setdefault(job_id, {})[parent] = Input(
            queue, parent_id, _ON_FAILURE[policy], outcome.state, outcome.result, outcome.error, outcome.reason
        )
    record = shelf.jobs[job_id]
    if bad and policy == "f":
        why = dependency_error(parent, outcome.state, outcome.error)
        if record.state is JobState.BLOCKED:
            shelf.fail_dependant(record, why, now_ms)
        else:
            # It runs, and will hear of it when it comes to wait for its children.
            shelf.links.doomed[job_id] = why
    elif not needs and record.state is JobState.BLOCKED:
        shelf.unblock(record, shelf.links.wishes.pop(job_id, Wish()), now_ms)


def settle_heirs(shelf: Shelf, now_ms: int) -> None:
    """Tell the heirs of everything that this step has brought to an end, and of what comes to an end by that; let go of
    the keys of all of these.
    """
    ended = shelf.ended
    while ended:
        end = ended.popleft()
        parent = f"{shelf.queue}/{end.id}"
        for heir, policy in end.heirs.items():
            tell(shelf, parent, heir, policy, end.outcome, now_ms)
        if end.unique is not None:
            shelf.let_go(end.id, end.unique, end.outcome.state, now_ms)


def tell(shelf: Shelf, parent: str, heir: str, policy: str, outcome: Outcome, at_ms: int) -> None:
    """Tell one heir, wherever it is."""
    queue, _, heir_id = heir.partition("/")
    if queue != shelf.queue:
        shelf.add_effect(Edge(queue, heir_id, parent, policy, outcome, at_ms))
    else:
        hear(shelf, heir_id, parent, policy, outcome, at_ms, at_ms)


def hear(shelf: Shelf, heir: str, parent: str, policy: str, outcome: Outcome, at_ms: int, now_ms: int) -> None:
    """A job or flow of this queue is told."""
    if policy in _FLOW_KINDS:
        note(shelf, heir, parent, Ended(outcome.state, at_ms, outcome.result if policy == "S" else None), now_ms)
    else:
        resolve(shelf, heir, parent, outcome, now_ms)


def note(shelf: Shelf, flow: str, member: str, ended: Ended, now_ms: int) -> None:
    """A flow's own record of who has ended."""
    links = shelf.links
    if member not in links.members.get(flow, {}):
        return
    noted = links.noted.setdefault(flow, {})
    noted[member] = ended
    if len(noted) < len(links.members[flow]) or flow in links.done:
        return
    links.done[flow] = now_ms
    shelf.tell_flowed(flow, now_ms)
    while len(links.done) > (KEPT_WITH_LARGE if len(noted) > LARGE_FLOW else FLOWS_KEPT):
        links.forget_flow(next(iter(links.done)))


def reopen(shelf: Shelf, flow: str, member: str, at_ms: int) -> None:
    """A member that was retried has not ended any more."""
    noted = shelf.links.noted.get(flow, {}).get(member)
    if noted is not None and noted.at_ms <= at_ms:
        del shelf.links.noted[flow][member]
        shelf.links.done.pop(flow, None)


def relink(shelf: Shelf, record: JobRecord, now_ms: int) -> Sequence[tuple[str, str]] | None:
    """A finished job begins again: what kept it from running is asked for anew. None if it waits for nothing."""
    links, job_id = shelf.links, record.id
    links.doomed.pop(job_id, None)
    inputs = links.inputs.get(job_id, {})
    again = [key for key, one in inputs.items() if one.on_failure is OnFailure.FAIL and one.state != "completed"]
    for key in again:
        del inputs[key]
        links.needs.setdefault(job_id, {})[key] = "f"
    for heir, policy in links.heirs.get(job_id, {}).items():
        if policy in _FLOW_KINDS:
            queue, _, flow = heir.partition("/")
            member = f"{shelf.queue}/{job_id}"
            if queue == shelf.queue:
                reopen(shelf, flow, member, now_ms)
            else:
                shelf.add_effect(Reopen(queue, flow, member, now_ms))
    needs = links.needs.get(job_id)
    return [(key, policy) for key, policy in needs.items() if policy != GATE] if needs else None


def inputs_of(shelf: Shelf, job_id: str) -> list[Input]:
    """See :meth:`jobqueue.backends.protocol.Backend.inputs`."""
    found = list(shelf.links.inputs.get(job_id, {}).values())
    for key, policy in shelf.links.needs.get(job_id, {}).items():
        queue, _, parent = key.partition("/")
        if policy in _ON_FAILURE:
            found.append(Input(queue, parent, _ON_FAILURE[policy]))
    return sorted(found, key=lambda one: one.key)
