"""Commands about limits and groups, each a script of its own."""

from __future__ import annotations

from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits, SetLimits
from jobqueue.backends.protocol import MAX_BATCH
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import texts
from jobqueue.model.limits import GroupLimits

_STORED_AS = {"types": "type", "max_waiting": "waiting", "groups": "group"}


async def set_limits(
    calls: Calls,
    prefix: str,
    now: str,
    command: SetLimits | SetGroupLimits | PauseGroup | ResumeGroup | PurgeGroup,
) -> tuple[list[str], bool]:
    """Carry out one command; returns the ids it dropped, and whether it left something in the outbox.

    A purge is not repeated.
    """
    match command:
        case SetLimits(limits, names, declared):
            anew = "*" if names is None else " ".join(_STORED_AS.get(name, name) for name in sorted(names))
            stored = {
                name: value
                for name, value in limits.encode().items()
                if names is None or name.partition(":")[0] in anew.split()
            }
            text = " ".join(f"{name}={value}" for name, value in sorted(stored.items())) or "none"
            words = [word for pair in stored.items() for word in pair]
            await calls.write("limit", prefix, now, text if declared else "", anew, *words)
        case SetGroupLimits(group, limits, names):
            await calls.write("group", prefix, now, group, "limit", *_parts(limits, names))
        case PauseGroup(group):
            await calls.write("group", prefix, now, group, "pause")
        case ResumeGroup(group):
            await calls.write("group", prefix, now, group, "resume")
        case PurgeGroup(group):
            return await _purge(calls, prefix, now, group)
    return [], False


async def _purge(calls: Calls, prefix: str, now: str, group: str) -> tuple[list[str], bool]:
    purged: list[str] = []
    outbox = False
    while True:
        batch, left = await calls.run("purge_group", prefix, now, group, MAX_BATCH)
        purged += texts(batch)
        outbox = outbox or bool(left)
        if len(batch) < MAX_BATCH:
            return purged, outbox


def _parts(limits: GroupLimits, names: frozenset[str]) -> list[str]:
    """Concurrency, rate, most waiting, weight: each empty where it stays as it is."""
    values = {
        "concurrency": limits.concurrency,
        "rate": limits.rate and limits.rate.encode(),
        "max_waiting": limits.max_waiting,
        "weight": limits.weight,
    }
    return ["" if name not in names else "-" if value is None else str(value) for name, value in values.items()]
