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
        self.asked: dict[str, dict[str, int]] = {}
        """Under which number a job has asked for each of these again, after a retry."""
        self.retries = 0
        self.wishes: dict[str, Wish] = {}
        self.doomed: dict[str, JobError] = {}
        self._of_jobs = (self.needs, self.inputs, self.heirs, self.asked, self.wishes, self.doomed)
        self.members: dict[str, dict[str, bytes]] = {}
        self.noted: dict[str, dict[str, Ended]] = {}
        self.done: OrderedDict[str, int] = OrderedDict()
        """Flows whose members have all ended, and when."""

    def forget(self, job_id: str) -> None:
        """A job is gone."""
        if any(self._of_jobs):
            for kept in self._of_jobs:
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
    """A job of this queue hears from ``parent`` when that ends, or at once if it has. Behind ``policy`` may stand the
    number of the asking.
    """
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
        return _end_on_its_way(shelf, parent_id, heir) or Outcome("removed")
    if record.state.finished:
        return outcome_of(record)
    heirs = shelf.links.heirs.setdefault(parent_id, {})
    if heir not in heirs or _number_of(heirs[heir]) < _number_of(policy):
        heirs[heir] = policy
    return None


def _end_on_its_way(shelf: Shelf, parent_id: str, heir: str) -> Outcome | None:
    """The end of a job that is gone, as long as its heir has not been told."""
    parent, found = f"{shelf.queue}/{parent_id}", None
    for effect in shelf.outbox:
        if isinstance(effect, Edge) and effect.parent == parent and f"{effect.target}/{effect.heir}" == heir:
            found = effect.outcome
    return found


def _number_of(policy: str) -> int:
    """Which asking it stands for; 0 is the first."""
    return int(policy[1:] or 0)


def outcome_of(record: JobRecord) -> Outcome:
    """How a finished job ended."""
    match record.state:
        case JobState.COMPLETED:
            return Outcome("completed", record.result)
        case JobState.FAILED:
            return Outcome("failed", error=record.error)
        case _:
            return Outcome("cancelled", reason=record.reason.replace("\r", " ").replace("\n", " "))


def resolve(
    shelf: Shelf, job_id: str, parent: str, outcome: Outcome, now_ms: int, *, asking: int | None = None
) -> None:
    """``parent`` has ended: what that means for a job of this queue that needs it. A bad answer to an earlier
    ``asking`` than the job's last is not taken: it asks again.
    """
    needs = shelf.links.needs.get(job_id)
    policy = needs.get(parent) if needs else None
    if needs is None or policy is None:
        return
    last = shelf.links.asked.get(job_id, {}).get(parent, 0)
    if asking is not None and outcome.state != "completed" and asking < last:
        connect(shelf, job_id, parent, f"{policy}{last}", now_ms)
        return
    del needs[parent]
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
        shelf.links.asked.pop(job_id, None)
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
        resolve(shelf, heir, parent, outcome, now_ms, asking=_number_of(policy))


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
    links.retries += 1
    for key in again:
        del inputs[key]
        links.needs.setdefault(job_id, {})[key] = "f"
        links.asked.setdefault(job_id, {})[key] = links.retries
    for heir, policy in links.heirs.get(job_id, {}).items():
        if policy in _FLOW_KINDS:
            queue, _, flow = heir.partition("/")
            member = f"{shelf.queue}/{job_id}"
            if queue == shelf.queue:
                reopen(shelf, flow, member, now_ms)
            else:
                shelf.add_effect(Reopen(queue, flow, member, now_ms))
    needs = links.needs.get(job_id)
    if not needs:
        return None
    asked = links.asked.get(job_id, {})
    return [(key, f"{policy}{asked.get(key, '')}") for key, policy in needs.items() if policy != GATE]


def inputs_of(shelf: Shelf, job_id: str) -> list[Input]:
    """See :meth:`jobqueue.backends.protocol.Backend.inputs`."""
    found = list(shelf.links.inputs.get(job_id, {}).values())
    for key, policy in shelf.links.needs.get(job_id, {}).items():
        queue, _, parent = key.partition("/")
        if policy in _ON_FAILURE:
            found.append(Input(queue, parent, _ON_FAILURE[policy]))
    return sorted(found, key=lambda one: one.key)
