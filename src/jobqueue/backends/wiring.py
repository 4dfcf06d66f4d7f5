"""A flow's jobs with both ends of every edge: what each needs, and whom each must tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jobqueue.backends.protocol import FlowMember, NewFlow, NewRecord
from jobqueue.model.links import Need, OnFailure

HeirKind = Literal["f", "r", "i", "F", "S"]
"""By its policy, a job; ``F``: a flow that is told how it ended; ``S``: and with what result."""

POLICY: dict[OnFailure, Literal["f", "r", "i"]] = {OnFailure.FAIL: "f", OnFailure.RUN: "r", OnFailure.IGNORE: "i"}


@dataclass(frozen=True, slots=True)
class Wired:
    """One job of a flow. ``outside`` are needs of jobs that the flow does not make."""

    member: FlowMember
    heirs: Sequence[tuple[str, HeirKind]]
    outside: Sequence[Need]


def wired(home: str, flow: NewFlow) -> list[Wired]:
    """The members, in their order."""
    heirs: dict[str, list[tuple[str, HeirKind]]] = {member.key: [] for member in flow.members}
    outside: dict[str, list[Need]] = {}
    for member in flow.members:
        for need in member.record.needs:
            if need.key in heirs:
                heirs[need.key].append((member.key, POLICY[need.on_failure]))
            else:
                outside.setdefault(member.key, []).append(need)
    if flow.recorded:
        for told in heirs.values():
            told.append((f"{home}/{flow.id}", "F" if told else "S"))
    if flow.spawning is not None:
        for need in flow.spawning.needs:
            heirs[need.key].append((f"{home}/{flow.spawning.job_id}", POLICY[need.on_failure]))
    return [Wired(member, heirs[member.key], outside.get(member.key, ())) for member in flow.members]


def reaches_out(queue: str, jobs: Sequence[NewRecord]) -> bool:
    """Whether jobs that were enqueued wait for jobs of other queues, which are then to be told of them: also where they
    were there before (the first try of a repeat may not have come that far), or have ended at once because of another.
    """
    return any(need.queue != queue for job in jobs for need in job.needs)
