"""Commands to a whole queue, in batches, so that the server is never held up for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits, SetLimits
from jobqueue.backends.protocol import MAX_BATCH, Clean, Command, Obliterate, Pause, Purge, Resume, RetryFailed
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import text, texts
from jobqueue.backends.redis.limiting import set_limits
from jobqueue.errors import BackendError, InvalidState
from jobqueue.model.record import JobState
from jobqueue.model.stats import MOST_MINUTES


async def control(
    calls: Calls,
    namespace: str,
    queue: str,
    now: str,
    command: Command,
    announced: dict[str, float],
    deliver: Callable[[str], Awaitable[int]],
) -> tuple[list[str], bool]:
    """Carry out one command; returns the ids it changed or forgot, and whether it left something in the outbox."""
    prefix = keys.prefix(namespace, queue)
    match command:
        case Pause():
            await calls.write("pause", prefix, now, 1)
            return [], False
        case Resume():
            await calls.write("pause", prefix, now, 0)
            return [], False
        case Purge(delayed):
            states = (JobState.WAITING, JobState.DELAYED) if delayed else (JobState.WAITING,)
            found = [await _purge(calls, prefix, now, state) for state in states]
            return [job_id for ids, _ in found for job_id in ids], any(outbox for _, outbox in found)
        case Clean():
            return await _clean(calls, prefix, now, command)
        case RetryFailed(limit):
            return await _retry_failed(calls, prefix, now, limit)
        case Obliterate(force):
            gone = await _obliterate(calls, prefix, now, queue, deliver, force=force)
            await calls.command("SREM", keys.queues(namespace), queue)
            announced.pop(queue, None)
            return gone, False
        case SetLimits() | SetGroupLimits() | PauseGroup() | ResumeGroup() | PurgeGroup():
            return await set_limits(calls, prefix, now, command)


async def _purge(calls: Calls, prefix: str, now: str, state: JobState) -> tuple[list[str], bool]:
    purged: list[str] = []
    outbox = False
    while True:
        batch, left = await calls.run("purge", prefix, now, state, MAX_BATCH)
        purged += texts(batch)
        outbox = outbox or bool(left)
        if len(batch) < MAX_BATCH:
            return purged, outbox


async def _clean(calls: Calls, prefix: str, now: str, command: Clean) -> tuple[list[str], bool]:
    cleaned: list[str] = []
    outbox = False
    offset = 0
    while len(cleaned) < command.limit:
        limit = min(MAX_BATCH, command.limit - len(cleaned))
        ids, kept, ended, left = await calls.run(
            "clean", prefix, now, command.state, command.older_than_ms, limit, offset, MAX_BATCH
        )
        cleaned += texts(ids)
        offset += int(kept)
        outbox = outbox or bool(left)
        if ended:
            break
    return cleaned, outbox


async def _retry_failed(calls: Calls, prefix: str, now: str, limit: int) -> tuple[list[str], bool]:
    retried: list[str] = []
    outbox, offset, last = False, 0, b""
    while len(retried) < limit:
        size = min(MAX_BATCH, limit - len(retried))
        batch, left, kept, last = await calls.run("retry_failed", prefix, now, size, offset, last)
        retried += texts(batch)
        outbox, offset = outbox or bool(left), offset + int(kept)
        if not last:
            break
    return retried, outbox


async def _obliterate(
    calls: Calls, prefix: str, now: str, queue: str, deliver: Callable[[str], Awaitable[int]], *, force: bool
) -> list[str]:
    gone: list[str] = []
    whatever = False
    while True:
        answer, found = await calls.run("obliterate", prefix, int(force), MAX_BATCH, now, MOST_MINUTES, int(whatever))
        match text(answer):
            case "refused":
                raise InvalidState(
                    f"queue {queue!r} has {int(found)} active jobs: wait for them, or obliterate(force=True)"
                )
            case "done":
                return gone
            case "deliver":
                try:
                    # What is left then are letters, which go with their queue.
                    whatever = not await deliver(queue)
                except BackendError:
                    if not force:
                        raise
                    whatever = True
            case _:
                # Somebody wrote jobs meanwhile, and others may wait for them.
                whatever = whatever and not found
                gone += texts(found)
