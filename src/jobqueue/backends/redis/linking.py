"""Dependencies as the scripts take and give them (see lua/lib/links.lua)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from jobqueue.backends.protocol import NewRecord
from jobqueue.backends.redis.codec import Word, error_of, pairs_of, text
from jobqueue.backends.wiring import POLICY, HeirKind, Wired
from jobqueue.model.links import Ended, FlowRecord, Input, Need, OnFailure

ON_FAILURE = {letter: policy for policy, letter in POLICY.items()}

Edge = tuple[str, str, str, str, bytes, bytes, str, int]
"""As resolve.lua takes it: heir id, parent, policy, state, detail, result, kind of error, ms."""


def need_words(needs: Sequence[Need]) -> list[Word]:
    """Pairs of what is needed and policy."""
    return [word for need in needs for word in (need.key, POLICY[need.on_failure])]


def links_words(jobs: Sequence[NewRecord]) -> list[Word]:
    """The links of a batch as enqueue.lua takes them; empty if there are none."""
    words: list[Word] = []
    for place, job in enumerate(jobs, 1):
        if job.needs:
            needs = need_words(job.needs)
            words += (place, len(needs), *needs, 0)
    return ["", 0, *words] if words else []


def gated_words(gate: str, read_at: int, jobs: Sequence[Staged]) -> list[Word]:
    """The links of jobs of a flow: each also waits for the flow's gate."""
    words: list[Word] = [gate, read_at]
    for place, job in enumerate(jobs, 1):
        needs: list[Word] = [word for pair in job.needs for word in pair]
        heirs: list[Word] = [word for pair in job.heirs for word in pair]
        words += (place, len(needs) + 2, f"flow/{gate}", "g", *needs, len(heirs), *heirs)
    return words


class Staged:
    """One job of a flow, as it lies on the server until the flow is delivered."""

    def __init__(
        self,
        queue: str,
        record: NewRecord,
        needs: list[tuple[str, str]],
        heirs: list[tuple[str, HeirKind]],
        outside: list[tuple[str, str]],
    ) -> None:
        self.queue = queue
        self.record = record
        self.needs = needs
        self.heirs = heirs
        self.outside = outside

    @classmethod
    def of(cls, job: Wired) -> Staged:
        """From a flow's member."""
        return cls(
            job.member.queue,
            job.member.record,
            [(need.key, POLICY[need.on_failure]) for need in job.member.record.needs],
            list(job.heirs),
            [(need.key, POLICY[need.on_failure]) for need in job.outside],
        )

    def encode(self) -> bytes:
        """JSON; data and options are JSON texts in it."""
        record = self.record
        return _STAGED.dump_json(
            (
                self.queue,
                record.id,
                record.type,
                record.data.decode(),
                record.options.decode(),
                record.priority,
                record.delay_ms,
                record.run_at_ms,
                record.expires_in_ms,
                record.lifo,
                record.group,
                self.needs,
                self.heirs,
                self.outside,
            )
        )

    @classmethod
    def decode(cls, stored: bytes) -> Staged:
        """What ``encode`` made. Raises ValueError for anything else."""
        queue, job_id, job_type, data, asked, priority, delay, run_at, expires, lifo, group, needs, heirs, outside = (
            _STAGED.validate_json(stored)
        )
        record = NewRecord(
            job_id, job_type, data.encode(), priority, asked.encode(), delay, run_at, expires, lifo, group=group
        )
        return cls(queue, record, needs, heirs, outside)


_Pairs = list[tuple[str, str]]
_STAGED = TypeAdapter(
    tuple[
        str, str, str, str, str, int, int, int | None, int | None, bool, str, _Pairs, list[tuple[str, HeirKind]], _Pairs
    ]
)  # fmt: skip


def inputs_of(reply: Any) -> list[Input]:
    """The answer of inputs.lua."""
    needs, inputs = (pairs_of(part) for part in reply)
    found: list[Input] = []
    for key, policy in needs:
        queue, _, job_id = text(key).partition("/")
        if text(policy) in ON_FAILURE:
            found.append(Input(queue, job_id, ON_FAILURE[text(policy)]))
    for key, stored in inputs:
        queue, _, job_id = text(key).partition("/")
        head, _, rest = stored.partition(b"\n")
        detail, _, result = rest.partition(b"\n")
        policy, _, state = text(head).partition(" ")
        found.append(
            Input(
                queue,
                job_id,
                ON_FAILURE.get(policy, OnFailure.FAIL),
                state,
                result or None,
                error_of(detail) if state == "failed" else None,
                text(detail) if state == "cancelled" else "",
            )
        )
    return sorted(found, key=lambda one: one.key)


def flow_of(reply: Any) -> FlowRecord | None:
    """The answer of flow.lua."""
    if not reply:
        return None
    members: Mapping[str, bytes] = {text(key): stored for key, stored in pairs_of(reply[0])}
    ended: dict[str, Ended] = {}
    for key, stored in pairs_of(reply[1]):
        head, _, result = stored.partition(b"\n")
        state, _, at = text(head).partition(" ")
        if at.isdigit():
            ended[text(key)] = Ended(state, int(at), result or None)
    return FlowRecord(members, ended)
