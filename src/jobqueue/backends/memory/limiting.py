"""Commands about limits and groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobqueue.backends.memory.shelf import Shelf
from jobqueue.backends.operations import PauseGroup, PurgeGroup, ResumeGroup, SetGroupLimits, SetLimits
from jobqueue.model.events import EventType
from jobqueue.model.limits import NO_GROUP_LIMITS, GroupLimits, GroupStatus, Limits, changed
from jobqueue.model.record import JobState


def set_limits(
    shelf: Shelf, command: SetLimits | SetGroupLimits | PauseGroup | ResumeGroup | PurgeGroup, now_ms: int
) -> list[str]:
    """Carry out one command; returns the ids it dropped."""
    match command:
        case SetLimits(limits, names, declared):
            if declared and shelf.groups.declared == limits:
                return []
            if declared:
                shelf.groups.declared = limits
            _limit(shelf, limits if names is None else changed(shelf.groups.limits, _named(limits, names)))
        case SetGroupLimits(group, limits, names):
            before, paused = shelf.groups.overrides.get(group, (NO_GROUP_LIMITS, False))
            _override(shelf, group, changed(before, _named(limits, names)), paused=paused)
            if "rate" in names:
                # A rate that was changed is counted anew by the next exchange.
                shelf.groups.resting.discard(group)
            _go_on(shelf, group)
        case PauseGroup(group):
            _override(shelf, group, shelf.groups.overrides.get(group, (NO_GROUP_LIMITS, False))[0], paused=True)
            shelf.groups.turns.discard(group)
            shelf.tell(EventType.PAUSED, "", now_ms, group)
        case ResumeGroup(group):
            _override(shelf, group, shelf.groups.overrides.get(group, (NO_GROUP_LIMITS, False))[0], paused=False)
            shelf.groups.resting.discard(group)
            _go_on(shelf, group)
            shelf.tell(EventType.RESUMED, "", now_ms, group)
        case PurgeGroup(group):
            return _purge(shelf, group, now_ms)
    shelf.pass_on_room(now_ms)
    return []


def group_status(shelf: Shelf, group: str) -> GroupStatus:
    """One group as it stands."""
    groups = shelf.groups
    limits, paused = groups.overrides.get(group, (NO_GROUP_LIMITS, False))
    active = len(groups.busy.get(group, ()))
    return GroupStatus(group, groups.length(group), active, limits, paused, groups.resting.at_ms(group))


def _limit(shelf: Shelf, limits: Limits) -> None:
    groups, before = shelf.groups, shelf.groups.limits
    groups.limits = limits
    if limits.groups != before.groups:
        for group in groups.names():
            if groups.has_jobs(group):
                groups.seat(group)
    if limits.rate is None:
        groups.pace = None
    # Jobs of a type that nobody counted so far are looked up among those that run.
    for kind in [kind for kind in groups.running if kind not in limits.types]:
        del groups.running[kind]
    for kind in limits.types:
        if kind not in groups.running:
            active = (shelf.jobs[job_id] for job_id in shelf.leases.ids())
            groups.running[kind] = {record.id for record in active if record.type == kind}
    if shelf.count(JobState.WAITING):
        shelf.wake()


def _override(shelf: Shelf, group: str, limits: GroupLimits, *, paused: bool) -> None:
    if paused or limits != NO_GROUP_LIMITS:
        shelf.groups.overrides[group] = (limits, paused)
    else:
        shelf.groups.overrides.pop(group, None)


def _go_on(shelf: Shelf, group: str) -> None:
    if shelf.groups.has_jobs(group):
        shelf.groups.seat(group)
        shelf.wake()


def _purge(shelf: Shelf, group: str, now_ms: int) -> list[str]:
    purged = [job_id for _, _, job_id in shelf.groups.placed(group)]
    for job_id in purged:
        shelf.remove(shelf.jobs[job_id])
    if purged:
        shelf.tell(EventType.PURGED, "", now_ms, str(len(purged)))
    return purged


def _named(value: Limits | GroupLimits, names: frozenset[str]) -> Mapping[str, Any]:
    return {name: getattr(value, name) for name in names}
