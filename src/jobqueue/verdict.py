"""What an exception means: a pure decision, made once for every attempt that did not return."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace

from jobqueue.errors import InvalidData, JobTimeout, RateLimited, Snooze, Unrecoverable, WaitForChildren
from jobqueue.model.options import DEFAULT_KEEP, JobOptions, Keep
from jobqueue.model.outcome import Cancelled, Failed, Outcome, Parked, Released, Retention, RetryAt
from jobqueue.model.record import JobError, JobRecord
from jobqueue.model.retry import DEFAULT_RETRY, Retry
from jobqueue.model.times import LONGEST_S
from jobqueue.running import Attempt

_FRAMES = 20
_LONGEST_TRACEBACK = 8_000
_LONGEST_MESSAGE = 2_000


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for one job: its own options over its type's over its queue's over the library's."""

    retry: Retry
    timeout: float | None
    keep: Keep
    completed: Retention
    """``keep`` as it stands for a completed job."""
    dead_letter: str | None

    @classmethod
    def of(cls, options: JobOptions, dead_letter: str | None) -> Policy:
        """Options with the library's defaults beneath them."""
        keep = options.keep or DEFAULT_KEEP
        return cls(
            retry=options.retry or DEFAULT_RETRY,
            timeout=options.timeout,
            keep=keep,
            completed=keep.for_completed(),
            dead_letter=dead_letter,
        )


def verdict(record: JobRecord, error: BaseException, policy: Policy) -> Outcome:
    """What becomes of a job whose attempt raised ``error``."""
    if isinstance(error, Snooze):
        return Released("snoozed", delay_ms=max(1, _bounded_ms(error.after)))
    if isinstance(error, WaitForChildren):
        return Parked()
    if isinstance(error, RateLimited):
        return Released("rate limited", hold_queue_ms=_bounded_ms(error.after))
    described = describe(error)
    if not isinstance(error, Unrecoverable):
        delay_ms = _delay_ms(policy.retry, record.failures + 1, error)
        if delay_ms is not None:
            return RetryAt(delay_ms, described)
    return Failed(described, policy.keep.for_failed(), policy.dead_letter)


def cut_short(record: JobRecord, attempt: Attempt, policy: Policy, timeout: float | None) -> Outcome:
    """What becomes of a job that was stopped from outside: its lease was lost, its worker shuts down, somebody
    cancelled it, or its time was up.
    """
    if attempt.lease_lost:
        return Released("lease lost")
    if attempt.handed_back:
        return Released("shutdown")
    if attempt.cancel_reason is not None:
        return Cancelled(attempt.cancel_reason, policy.keep.for_failed())
    error = JobTimeout(f"the attempt ran longer than its timeout of {timeout} s")
    return verdict(record, error, policy)


def refused(error: InvalidData, policy: Policy, *, kind: str | None = None) -> Outcome:
    """The data is not what the processor takes: no attempt could help, so none is made. ``kind`` names the reason
    where the error's class does not.
    """
    message = str(error)
    for fault in error.errors:
        place = ".".join(str(part) for part in fault.get("loc", ()))
        message += f"\n{place}: {fault.get('msg', '')} ({fault.get('type', '')})"
    described = JobError(kind or type(error).__name__, _short(message, _LONGEST_MESSAGE))
    return Failed(described, policy.keep.for_failed(), policy.dead_letter, spent=False)


def describe(error: BaseException) -> JobError:
    """An exception as text: its class, its message, its innermost twenty frames; without the values of any variable."""
    lines = traceback.format_exception(error, limit=-_FRAMES)
    return JobError(
        type=type(error).__name__,
        message=_short(_message(error), _LONGEST_MESSAGE),
        traceback=_short("".join(lines), _LONGEST_TRACEBACK),
    )


def _delay_ms(retry: Retry, failed_attempt: int, error: BaseException) -> int | None:
    try:
        return retry.delay_ms(failed_attempt, error)
    except Exception:  # noqa: BLE001  (a backoff function of the user's must not take the worker down)
        return replace(retry, backoff="exponential").delay_ms(failed_attempt, error)


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (some exceptions cannot even say what they are)
        return f"<{type(error).__name__} without a readable message>"


def _bounded_ms(seconds: float) -> int:
    # Written so that NaN ends up as 0.
    return round(min(seconds, LONGEST_S) * 1000) if seconds > 0 else 0


def _short(text: str, longest: int) -> str:
    # Lone surrogates (from file names, say) would not survive being stored as UTF-8.
    clean = text.encode("utf-8", "replace").decode()
    return clean if len(clean) <= longest else "…" + clean[-longest:]
