"""Commands to a whole queue, in batches, so that the server is never held up for long."""

from __future__ import annotations

from jobqueue.backends.protocol import (
    MAX_BATCH,
    Clean,
    Command,
    Obliterate,
    Pause,
    Purge,
    Resume,
    RetryFailed,
)
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import text, texts
from jobqueue.errors import InvalidState
from jobqueue.model.record import JobState
from jobqueue.model.stats import MOST_MINUTES


async def control(
    calls: Calls, namespace: str, queue: str, now: str, command: Command, announced: dict[str, float]
) -> list[str]:
    """Carry out one command; returns the ids it changed or forgot."""
    prefix = keys.prefix(namespace, queue)
    match command:
        case Pause():
            await calls.read("pause", prefix, now, 1)
            return []
        case Resume():
            await calls.read("pause", prefix, now, 0)
            return []
        case Purge(delayed):
            states = (JobState.WAITING, JobState.DELAYED) if delayed else (JobState.WAITING,)
            return [job_id for state in states for job_id in await _purge(calls, prefix, now, state)]
        case Clean():
            return await _clean(calls, prefix, now, command)
        case RetryFailed(limit):
            return await _retry_failed(calls, prefix, now, limit)
        case Obliterate(force):
            gone = await _obliterate(calls, prefix, now, queue, force=force)
            await calls.command("SREM", keys.queues(namespace), queue)
            announced.pop(queue, None)
            return gone


async def _purge(calls: Calls, prefix: str, now: str, state: JobState) -> list[str]:
    purged: list[str] = []
    while True:
        batch = texts(await calls.run("purge", prefix, now, state, MAX_BATCH))
        purged += batch
        if len(batch) < MAX_BATCH:
            return purged


async def _clean(calls: Calls, prefix: str, now: str, command: Clean) -> list[str]:
    cleaned: list[str] = []
    offset = 0
    while len(cleaned) < command.limit:
        limit = min(MAX_BATCH, command.limit - len(cleaned))
        ids, kept, ended = await calls.run(
            "clean", prefix, now, command.state, command.older_than_ms, limit, offset, MAX_BATCH
        )
        cleaned += texts(ids)
        offset += int(kept)
        if ended:
            break
    return cleaned


async def _retry_failed(calls: Calls, prefix: str, now: str, limit: int) -> list[str]:
    retried: list[str] = []
    while len(retried) < limit:
        size = min(MAX_BATCH, limit - len(retried))
        batch = texts(await calls.run("retry_failed", prefix, now, size))
        retried += batch
        if len(batch) < size:
            break
    return retried


async def _obliterate(calls: Calls, prefix: str, now: str, queue: str, *, force: bool) -> list[str]:
    gone: list[str] = []
    while True:
        answer, found = await calls.run("obliterate", prefix, int(force), MAX_BATCH, now, MOST_MINUTES)
        match text(answer):
            case "refused":
                raise InvalidState(
                    f"queue {queue!r} has {int(found)} active jobs: wait for them, or obliterate(force=True)"
                )
            case "done":
                return gone
            case _:
                gone += texts(found)
