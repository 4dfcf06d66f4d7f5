"""Amendments of one job, each a script of its own."""

from __future__ import annotations

from jobqueue.backends.protocol import (
    Amendment,
    Cancel,
    Promote,
    Remove,
    Reprioritize,
    Reschedule,
    Retry,
)
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import Word, retention_words, text
from jobqueue.backends.refusals import key_is_held
from jobqueue.errors import InvalidState, JobNotFound
from jobqueue.model.record import JobState


async def amend(calls: Calls, prefix: str, now: str, job_id: str, amendment: Amendment) -> tuple[JobState, bool]:
    """Carry out one amendment. Also returns whether something is in the outbox."""
    name, words = _script(amendment)
    answer, *more = (text(word) for word in await calls.write(name, prefix, now, job_id, *words))
    if answer == "missing":
        raise JobNotFound(f"no job {job_id!r} in this queue; it may have been removed or trimmed by retention")
    if answer == "held":
        raise key_is_held(job_id, more[0])
    if answer == "refused":
        raise InvalidState(f"job {job_id!r} is {more[0]}: it cannot be {_DONE[name]} in that state")
    return JobState(answer), more == ["1"]


_DONE = {
    "retry": "retried",
    "promote": "promoted",
    "cancel": "cancelled",
    "remove": "removed",
    "reprioritize": "reprioritized",
    "reschedule": "rescheduled",
}


def _script(amendment: Amendment) -> tuple[str, tuple[Word, ...]]:
    match amendment:
        case Retry(data, finished_ms):
            return "retry", (int(data is not None), data or b"", "" if finished_ms is None else finished_ms)
        case Promote():
            return "promote", ()
        case Cancel(reason, keep):
            return "cancel", (reason, *retention_words(keep))
        case Remove():
            return "remove", ()
        case Reprioritize(priority):
            return "reprioritize", (priority,)
        case Reschedule(delay_ms, run_at_ms):
            return "reschedule", (f"+{delay_ms or 0}" if run_at_ms is None else run_at_ms,)
