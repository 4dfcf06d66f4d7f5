"""Flows: put down whole in their home queue, committed by one script, and carried from there to where they belong.

1. Stage: the jobs go into one hash of the home queue, a part at a time. Nobody sees it; what is not committed goes
   after an hour.
2. Commit: one script looks whether all of it is there, and puts one entry into the outbox. From here on the flow is to
   be, and whoever comes first carries it out: the submitter at once, or any worker of the home queue.
3. Write: each job goes blocked into its queue, with both ends of all its edges, and with the flow's gate as one thing
   more to wait for. So nothing has run while this is done, and doing a part of it twice is harmless.
4. Open: once the flow is marked as written, in each queue the gate is noted and its jobs are let go. Whoever comes
   later only opens gates, and a straggler in step 3 finds the gate open and writes nothing: a job that has run and is
   gone by then does not come back.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence

from jobqueue.backends.protocol import NewFlow
from jobqueue.backends.redis.codec import Word, text
from jobqueue.backends.redis.connection import StaleFlow
from jobqueue.backends.redis.courier import Asked, Courier
from jobqueue.backends.redis.linking import Staged, gated_words, need_words
from jobqueue.backends.redis.parting import MOST_TOGETHER, parts
from jobqueue.backends.wiring import wired
from jobqueue.errors import BackendError, LeaseLost

_Outside = dict[str, dict[Asked, None]]
"""What is to be asked of jobs outside the flow, by their queue."""

_TRIES = 3
"""How often a part is read anew, one time after the other, before the flow is left to the next one."""


async def stage_and_commit(courier: Courier, home: str, flow: NewFlow) -> bool:
    """Steps 1 and 2; False if the flow has been submitted before."""
    jobs = [Staged.of(job).encode() for job in wired(home, flow)]
    remembered = [(member.key, member.remembered) for member in flow.members] if flow.recorded else []
    prefix, first = courier.prefix(home), 0
    for part in parts(jobs, len):
        words: list[Word] = [flow.id, len(part)]
        for place, job in enumerate(part, first):
            words += (place, job)
        for key, what in remembered[first : first + len(part)]:
            words += (key, what)
        if text(await courier.calls.read("stage", prefix, *words)) == "known":
            return False
        first += len(part)
    spawning = flow.spawning
    # The gate has a name of its own: a flow of the same id may come again when this one is long forgotten.
    gate = f"{flow.id}@{secrets.token_hex(6)}"
    waiter: tuple[Word, ...] = ("", "", gate)
    if spawning is not None:
        waiter = (spawning.job_id, spawning.token, gate, *need_words(spawning.needs))
    words = [flow.id, len(jobs), int(flow.recorded), *waiter]
    (answer,) = await courier.calls.write("commit", prefix, courier.now(), *words)
    match text(answer):
        case "ok":
            return True
        case "known":
            return False
        case "lost":
            raise LeaseLost
        case _:
            raise BackendError(f"flow {flow.id!r} was not submitted: a part of it is missing; submit it again")


async def deliver_flow(courier: Courier, home: str, flow: str, gate: str) -> None:
    """Steps 3 and 4. Any number may do this at the same time."""
    ids: dict[str, list[str]] = defaultdict(list)
    outside: _Outside = defaultdict(dict)
    clocks: dict[str, int] = {}
    first, written, tries = 0, False, 0
    while True:
        read_at, written, part, after = await courier.staged(home, flow, gate, first)
        try:
            jobs = [Staged.decode(stored) for stored in part]
        except ValueError as error:
            raise BackendError(f"flow {flow!r} cannot be read: a later release has written it") from error
        by_queue: dict[str, list[Staged]] = defaultdict(list)
        for job in jobs:
            by_queue[job.queue].append(job)
        if not written:
            try:
                for queue, batch in by_queue.items():
                    await _write(courier, queue, batch, gate, clocks.get(queue, read_at), outside)
            except StaleFlow:
                # It slept, or that server's clock is not this one's: its own is read, and after it the flow anew.
                tries += 1
                if tries > _TRIES:
                    raise
                clocks = {queue: await courier.clock(queue) for queue in by_queue if queue != home}
                continue
        for queue, batch in by_queue.items():
            ids[queue] += (job.record.id for job in batch)
        if after is None:
            break
        first, tries = after, 0
    if not written:
        await _connect(courier, outside)
        await courier.written(home, flow, gate)
    await _open(courier, gate, ids)
    await courier.delivered(home, flow, gate)


async def _open(courier: Courier, gate: str, ids: Mapping[str, Sequence[str]]) -> None:
    """Step 4. A queue that is away keeps no other one's jobs from beginning; its error is raised after them."""
    failed: tuple[str, BackendError] | None = None
    for queue, job_ids in ids.items():
        try:
            for start in range(0, len(job_ids), MOST_TOGETHER):
                await courier.open_gate(queue, gate, job_ids[start : start + MOST_TOGETHER])
        except BackendError as error:
            failed = failed or (queue, error)
    if failed is not None:
        courier.at, error = failed
        raise error


async def _write(
    courier: Courier, queue: str, batch: Sequence[Staged], gate: str, read_at: int, outside: _Outside
) -> None:
    """Step 3 for jobs of one queue; what is to be asked of other jobs goes into ``outside``. Raises StaleFlow."""
    answers = await courier.write(queue, [job.record for job in batch], gated_words(gate, read_at, batch))
    for job, answer in zip(batch, answers, strict=True):
        for key, policy in job.outside:
            _ask(outside, key, f"{queue}/{job.record.id}", policy)
        if not answer.created:
            # It was there before this flow, or is there by another try: it must know its heirs all the same.
            for heir, policy in job.heirs:
                _ask(outside, f"{queue}/{job.record.id}", heir, policy)


def _ask(outside: _Outside, parent: str, heir: str, policy: str) -> None:
    queue, _, job_id = parent.partition("/")
    outside[queue][job_id, heir, policy] = None


async def _connect(courier: Courier, outside: _Outside) -> None:
    for queue, found in outside.items():
        asked = list(found)
        for start in range(0, len(asked), MOST_TOGETHER):
            for heir_queue, edges in (await courier.link(queue, asked[start : start + MOST_TOGETHER])).items():
                await courier.resolve(heir_queue, edges)
