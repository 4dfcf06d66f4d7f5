"""Jobs that a running job adds, to wait for them.

1. Each call of ``spawn`` is a step, numbered within the run; its children's ids are made of the parent's id, the step
   and their place, so that a later run of the same processor means the same children.
2. They are written as a flow of the parent's queue, under the parent's lease: all or none, whatever their queues; and
   the parent is on record as waiting for them from that moment on.
3. Those that it is on record as waiting for, or as having waited for, are not written again.
"""

from __future__ import annotations

from collections.abc import Sequence

from jobqueue.backends.protocol import Backend, FlowMember, NewFlow
from jobqueue.catalogue import KNOWN_TYPES
from jobqueue.errors import InvalidOption, JobQueueError
from jobqueue.inputs import Dependency, dependency_of
from jobqueue.model.links import Need, OnFailure, Spawning, checked_policy
from jobqueue.model.naming import checked_job_id, checked_name
from jobqueue.model.record import JobRecord
from jobqueue.new_job import CheckedJob, JobDefaults, NewJob, checked_job
from jobqueue.running import Attempt

MOST_CHILDREN = 10_000
_STEP_IS_IN_ID = "the ids of its children are made of its own: give it a shorter job_id"


async def spawn(
    backend: Backend,
    parent: JobRecord,
    attempt: Attempt,
    jobs: Sequence[NewJob],
    *,
    queue: str,
    on_failure: OnFailure | str,
) -> list[CheckedJob]:
    """Write the children of one step, unless they are there; returns them in input order.

    Raises InvalidInput with nothing written, LeaseLost, BackendError.
    """
    queue, policy = checked_name("queue", queue), checked_policy(on_failure)
    if policy is OnFailure.IGNORE:
        raise InvalidOption('on_failure must be "fail" or "run": a parent hears of every child that it waits for')
    if len(attempt.children) + len(jobs) > MOST_CHILDREN:
        raise InvalidOption(f"a job may wait for {MOST_CHILDREN} children at the most: submit a Flow")
    if any(job.depends_on for job in jobs):
        raise InvalidOption("children cannot have depends_on of their own: submit a Flow, and wait for its last job")
    step = f"{parent.id}/{attempt.steps + 1}"
    checked: list[CheckedJob] = []
    for place, job in enumerate(jobs):
        child = checked_job(job, JobDefaults(), KNOWN_TYPES, child=True)
        if job.job_id is None:
            child.record.id = _child_id(f"{step}.{place}")
        checked.append(child)
    attempt.steps += 1
    attempt.children = (*attempt.children, *((queue, child.record.id) for child in checked))
    known = {one.key for one in await backend.inputs(parent.queue, parent.id)}
    fresh = [child.record for child in checked if f"{queue}/{child.record.id}" not in known]
    if fresh:
        needs = [Need(queue, record.id, policy) for record in fresh]
        flow = NewFlow(
            # With the token, so that a worker that has lost the job cannot come in between.
            _child_id(f"{step}@{attempt.token}"),
            [FlowMember(queue, record) for record in fresh],
            recorded=False,
            spawning=Spawning(parent.id, attempt.token, needs),
        )
        await backend.submit(parent.queue, flow)
    return checked


async def children_of(backend: Backend, parent: JobRecord, attempt: Attempt) -> list[Dependency] | None:
    """What became of the children of this run, in the order in which they were added; None if some are not done."""
    inputs = {one.key: one for one in await backend.inputs(parent.queue, parent.id)}
    found: list[Dependency] = []
    for queue, job_id in attempt.children:
        one = inputs.get(f"{queue}/{job_id}")
        if one is None or not one.state:
            return None
        if one.state != "completed" and one.on_failure is OnFailure.FAIL:
            # The job is to fail because of it, which it does where it comes to wait.
            return None
        found.append(dependency_of(one))
    return found


def _child_id(name: str) -> str:
    try:
        return checked_job_id(name)
    except JobQueueError as error:
        raise InvalidOption(f"{error}; {_STEP_IS_IN_ID}") from None
