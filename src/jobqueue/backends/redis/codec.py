"""Between the seam's values and what scripts take and give: words in, pictures out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from jobqueue.backends.protocol import NewRecord, Presence, Settlement
from jobqueue.model.events import Event, EventType
from jobqueue.model.limits import GroupLimits, GroupStatus, Limits
from jobqueue.model.options import HIGHEST_PRIORITY_NUMBER
from jobqueue.model.outcome import Cancelled, Completed, Failed, Parked, Released, Retention, RetryAt
from jobqueue.model.record import JobError, JobRecord, JobState
from jobqueue.model.times import LAST_MOMENT_MS
from jobqueue.model.unique import key_of

Word = str | bytes | int
OtherT = TypeVar("OtherT")

_ERROR = TypeAdapter(JobError)
_PRESENCE = TypeAdapter(Presence)
_DUE_STEPS = 4096
_MOST_COUNTED = 2**31 - 1
_EVENT_TYPES = frozenset(kind.value for kind in EventType)


def retention_words(keep: Retention) -> tuple[int, int]:
    """Count (-1: all) and age in ms (0: for ever)."""
    return (-1 if keep.count is None else keep.count, keep.age_ms or 0)


def job_words(job: NewRecord) -> tuple[Word, ...]:
    """One job as enqueue.lua takes it: id, type, wishes, the rest of its record."""
    kind = f"{job.type} @{job.group}" if job.group else job.type
    rest = b"%d %b\n%b\n%b" % (job.priority, kind.encode(), job.options, job.data)
    if job.priority == 3 and not (
        job.delay_ms or job.run_at_ms is not None or job.expires_in_ms or job.lifo or job.group or job.unique
    ):
        return job.id, job.type, b"", rest
    due = "-"
    if job.run_at_ms is not None:
        due = str(job.run_at_ms)
    elif job.delay_ms:
        due = f"+{job.delay_ms}"
    expires = "-" if job.expires_in_ms is None else job.expires_in_ms
    wishes = f"{job.priority} {due} {expires} {int(job.lifo)}"
    if job.unique is not None:
        return job.id, job.type, f"{wishes} {job.group} {job.unique.word}", rest
    return job.id, job.type, f"{wishes} {job.group}" if job.group else wishes, rest


def error_words(error: JobError) -> bytes:
    """An error as it is stored."""
    return _ERROR.dump_json(error)


def settlements_words(settlements: Sequence[Settlement]) -> list[Word]:
    """Settlements as exchange.lua takes them: first those that completed like the first of them, then the others."""
    alike: Retention | None = None
    completions: list[Word] = []
    others: list[Word] = []
    other_count = 0
    for settlement in settlements:
        outcome = settlement.outcome
        if (
            type(outcome) is Completed
            and not settlement.logs
            and (alike is None or outcome.keep is alike or outcome.keep == alike)
        ):
            alike = outcome.keep
            completions += (settlement.job_id, settlement.token, outcome.result or b"")
        else:
            others += _other_words(settlement)
            other_count += 1
    count, age = (0, 0) if alike is None else retention_words(alike)
    return [len(completions) // 3, count, age, other_count, *completions, *others]


def _other_words(settlement: Settlement) -> tuple[Word, ...]:
    """Id, token, kind, five values by kind, log lines."""
    outcome = settlement.outcome
    match outcome:
        case Completed(result, keep):
            count, age = retention_words(keep)
            kind: tuple[Word, ...] = ("c", result or b"", count, age, "", "")
        case RetryAt(delay_ms, error):
            kind = ("r", error_words(error), delay_ms, error.type, "", "")
        case Failed(error, keep, dead_letter, spent):
            count, age = retention_words(keep)
            kind = ("f" if spent else "F", error_words(error), count, age, error.type, dead_letter or "")
        case Released(reason, delay_ms, hold_queue_ms):
            kind = ("l", reason, delay_ms, hold_queue_ms, "", "")
        case Cancelled(reason, keep):
            count, age = retention_words(keep)
            kind = ("x", reason, count, age, "", "")
        case Parked():
            kind = ("w", "", "", "", "", "")
    return (settlement.job_id, settlement.token, *kind, len(settlement.logs), *settlement.logs)


def presence_words(presence: Presence) -> bytes:
    """A live worker's lane as it is stored."""
    return _PRESENCE.dump_json(presence)


def presence_of(stored: bytes, last_seen_ms: int) -> Presence | None:
    """The lane as it was stored, or None if it was written by something else."""
    try:
        return replace(_PRESENCE.validate_json(stored), last_seen_ms=last_seen_ms)
    except ValidationError:
        return None


def pairs_of(reply: Any) -> list[tuple[Any, Any]]:
    """Pairs, in whichever of the three shapes the protocol's version gives them."""
    if isinstance(reply, dict):
        return list(cast("dict[Any, Any]", reply).items())
    parts = cast("list[Any]", reply or [])
    if parts and isinstance(parts[0], list):
        return [(pair[0], pair[1]) for pair in cast("list[list[Any]]", parts)]
    return list(zip(parts[::2], parts[1::2], strict=True))


def text(value: Any) -> str:
    """A reply as text; whatever is not UTF-8 in it is replaced, so that a broken value never stops a worker."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def texts(values: Iterable[Any]) -> list[str]:
    """Replies as text."""
    return [text(value) for value in values]


def record_of(
    queue: str,
    job_id: str,
    state: JobState,
    record: bytes | None,
    ending: bytes | None = None,
    life: Sequence[Any] = (),
) -> JobRecord:
    """A job from what is stored of it (see keys.py). Whatever somebody else wrote there counts as missing."""
    parts = record.split(b"\n", 2) if record else ()
    head, asked, data = parts if len(parts) == 3 else (b"", b"", b"null")
    created, priority, job_type = (*head.split(b" ", 2), b"", b"")[:3]
    group = b""
    if b"@" in job_type:
        job_type, _, group = job_type.partition(b" @")
    job = JobRecord(
        job_id, queue, text(job_type), data, state, _within(priority, HIGHEST_PRIORITY_NUMBER, 3), asked,
        _within(created, LAST_MOMENT_MS, 0),
    )  # fmt: skip
    if group:
        job.group = text(group)
    if ending is not None:
        times, _, result = ending.partition(b"\n")
        started, _, finished = times.partition(b" ")
        job.started_ms, job.finished_ms = moment_of(started), moment_of(finished)
        job.result = result or None
    if life:
        _add_life(job, life)
    return job


def _add_life(job: JobRecord, life: Sequence[Any]) -> None:
    for at in range(0, len(life) - 1, 2):
        name, value = life[at], life[at + 1]
        if name == b"failures":
            job.failures = _within(value, _MOST_COUNTED, 0)
        elif name == b"stalls":
            job.stalls = _within(value, _MOST_COUNTED, 0)
        elif name == b"expires":
            job.expires_ms = moment_of(value)
        elif name == b"started":
            job.started_ms = moment_of(value)
        elif name == b"finished":
            job.finished_ms = moment_of(value)
        elif name == b"error":
            job.error = error_of(value)
        elif name == b"reason":
            job.reason = text(value)
        elif name == b"progress":
            job.progress = value
        elif name == b"checkpoint":
            job.checkpoint = value
        elif name == b"unique":
            job.unique = key_of(text(value))


def record_of_picture(queue: str, picture: Sequence[Any]) -> JobRecord:
    """A job from the picture that get, find and enqueue give."""
    job_id, state_name, score, lease, cancel, stored, ending, life = picture
    state = JobState(text(state_name))
    record = record_of(queue, text(job_id), state, stored, ending, cast("Sequence[Any]", life))
    if state is JobState.DELAYED:
        record.run_at_ms = int(score) // _DUE_STEPS
    if lease:
        token, started, worker = text(lease).partition("\n")[0].split(" ", 2)
        record.token, record.started_ms, record.worker = int(token), int(started), worker.removeprefix("?")
    if cancel is not None:
        record.cancel_requested = text(cancel)
    return record


def events_of(entry_id: Any, flat: Sequence[Any]) -> list[Event]:
    """The events of one stream entry (see events.lua); each has the entry's id and its place in it."""
    fields = {text(flat[at]): flat[at + 1] for at in range(0, len(flat) - 1, 2)}
    at_ms = _number(fields.get("at", b"0")) or 0
    told: list[tuple[str, str, str]] = []
    for line in text(fields.get("lines", b"")).split("\n"):
        kind, _, rest = line.partition(" ")
        if kind.startswith("*"):
            detail, *job_ids = rest.split(" ")
            told += [(kind[1:], job_id, detail) for job_id in job_ids]
        elif kind.startswith("+"):
            ids, *details = rest.split("\t")
            told += [(kind[1:], *both) for both in zip(ids.split(" "), details, strict=False)]
        else:
            job_id, _, detail = rest.partition(" ")
            told.append((kind, job_id, detail))
    entry = text(entry_id)
    return [
        Event(f"{entry}/{place}", EventType(kind), job_id, at_ms, detail)
        for place, (kind, job_id, detail) in enumerate(told)
        if kind in _EVENT_TYPES
    ]


def claim_words(claim: int, lag_ms: int, rooms: Mapping[str, int]) -> Word:
    """How many jobs are wanted, how late they may start, and of which types not more than so many are wanted."""
    if not rooms and not lag_ms:
        return claim
    return " ".join((f"{claim} {lag_ms}", *(f"{name} {room}" for name, room in rooms.items())))


def group_of(picture: Sequence[Any]) -> GroupStatus:
    """A group as groups.lua gives it."""
    name, waiting, active, stored, rests_until = picture
    limits, paused = GroupLimits.decode(text(stored))
    rests_until_ms = int(rests_until) if rests_until else None
    return GroupStatus(text(name), int(waiting), int(active), limits, paused, rests_until_ms)


def limits_of(flat: Any) -> Limits:
    """The hash of a queue's limits."""
    return Limits.decode({text(name): text(value) for name, value in pairs_of(flat)})


def counters_of(flat: Sequence[Any]) -> dict[str, int]:
    """A hash of numbers; what somebody else wrote between them is left out."""
    pairs = ((text(flat[at]), _number(flat[at + 1])) for at in range(0, len(flat) - 1, 2))
    return {name: number for name, number in pairs if number is not None and number >= 0}


def letter_record(flat: Sequence[Any], queue: str) -> tuple[str, JobRecord]:
    """An outbox entry as the queue it is for and the failed job as it was."""
    fields = {text(flat[at]): flat[at + 1] for at in range(0, len(flat) - 1, 2)}
    record = record_of(queue, text(fields.get("id", b"")), JobState.FAILED, fields.get("job"), None, flat)
    return text(fields.get("to", b"")), record


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _within(value: Any, highest: int, otherwise: OtherT) -> int | OtherT:
    # Not by way of _number: this is called for every job that is claimed, and twice.
    try:
        number = int(value)
    except (TypeError, ValueError):
        return otherwise
    return number if 0 <= number <= highest else otherwise


def moment_of(value: Any) -> int | None:
    """Milliseconds that a datetime can hold; whatever else was written there counts as missing."""
    return _within(value, LAST_MOMENT_MS, None)


def error_of(value: bytes) -> JobError | None:
    """An error as it was stored."""
    try:
        return _ERROR.validate_json(value)
    except ValidationError:
        return JobError("Unreadable", "the stored error is not JSON of ours")
