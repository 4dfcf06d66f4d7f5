"""Judges a run by set arithmetic, as Jepsen's queue checkers do: what was acknowledged, what ran, what is completed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from tests.faults.ledger import Entry

_TOLD = 3
"""Jobs whose trail is kept."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What came of a run. ``lost``, ``unexpected`` and ``unexplained`` must be empty; each fault knows which may be
    ``buried``."""

    acknowledged: int
    completed: int
    lost: tuple[str, ...]
    """Acknowledged, and neither completed nor buried."""
    buried: tuple[str, ...]
    """Failed, with a letter, because they were there when workers were lost, as often as is allowed."""
    unexpected: tuple[str, ...]
    """Completed, though nobody was told that they had been taken in, nor tried to enqueue them."""
    repeated: int
    """Jobs that started more than once."""
    unexplained: tuple[str, ...]
    """Of those, the ones with a repeat that no disturbance of an earlier runner explains."""
    gone: tuple[str, ...] = field(default=())
    """Acknowledged by a server that had not written them down yet when its power failed."""
    recovery: tuple[float, ...] = field(default=())
    """For each start that a disturbance cut short, the seconds until the next start of that job; or until it was free
    for others, if whoever took it then was lost too before it could start it."""
    lost_again: int = 0
    """How many of these there were: claimed elsewhere, and lost with that worker too, unstarted."""
    trail: tuple[str, ...] = field(default=())
    """What the ledger says of the first few jobs that went wrong, and of those that ran them."""

    @property
    def recovery_p99(self) -> float:
        """In seconds; 0 where nothing was cut short."""
        return self.recovery[min(len(self.recovery) - 1, int(0.99 * len(self.recovery)))] if self.recovery else 0.0

    @property
    def sound(self) -> bool:
        """Nothing lost, nothing invented, no repeat without a reason."""
        return not (self.lost or self.unexpected or self.unexplained)


def judge(
    entries: Sequence[Entry],
    completed: Iterable[str],
    attempted: Iterable[str],
    *,
    buried: Iterable[str] = (),
    mortal: Iterable[str] = (),
    outages: bool = False,
) -> Judgement:
    """``attempted`` are the ids that producers tried to enqueue, ``mortal`` those that the server may have forgotten
    although it acknowledged them. ``outages``: the server itself went away in between,
    or replies of it did, so that any worker may have lost its leases.
    """
    acknowledged = {entry.job for entry in entries if entry.deed == "acknowledged"}
    there, beneath = set(completed), set(buried)
    starts: dict[str, list[Entry]] = defaultdict(list)
    ended: set[tuple[str, int]] = set()
    disturbed: dict[int, list[float]] = defaultdict(list)
    freed: dict[str, list[float]] = defaultdict(list)
    stopped: dict[int, float] = {}
    held_up: dict[tuple[str, int, float], float] = {}
    for entry in entries:
        if entry.deed == "disturbed":
            stopped[entry.process] = entry.at
        elif (since := stopped.pop(entry.process, None)) is not None and entry.deed == "started":
            held_up[entry.job, entry.process, entry.at] = since
        if entry.deed == "started":
            starts[entry.job].append(entry)
        elif entry.deed == "ended":
            ended.add((entry.job, entry.process))
        elif entry.deed == "disturbed":
            disturbed[entry.process].append(entry.at)
        elif entry.deed == "recovered":
            freed[entry.job].append(entry.at)
    unexplained: list[str] = []
    recovery: list[float] = []
    lost_again = 0
    for job, runs in starts.items():
        for run, following in pairwise(runs):
            blows = [at for at in disturbed[run.process] if run.at <= at <= following.at]
            # Stopped between its last look at the lease and the first line of the processor, with nothing in between
            # but computing: then that is what it does first when it is woken, and does of one job.
            late = held_up.get((job, following.process, following.at), run.at) < run.at
            if not blows and not late and not outages:
                unexplained.append(job)
            elif blows and (job, run.process) not in ended:
                free = [at for at in freed[job] if blows[0] < at < following.at]
                lost_again += len(free) > 1
                recovery.append((free[0] if len(free) > 1 else following.at) - blows[0])
    missing = acknowledged - there - beneath
    wrong = [*sorted(missing - set(mortal)), *sorted(there - set(attempted)), *sorted(set(unexplained))]
    return Judgement(
        acknowledged=len(acknowledged),
        completed=len(there),
        lost=tuple(sorted(missing - set(mortal))),
        gone=tuple(sorted(missing & set(mortal))),
        buried=tuple(sorted(beneath)),
        unexpected=tuple(sorted(there - set(attempted))),
        repeated=sum(len(runs) > 1 for runs in starts.values()),
        unexplained=tuple(sorted(set(unexplained))),
        recovery=tuple(sorted(recovery)),
        lost_again=lost_again,
        trail=_trail(entries, wrong[:_TOLD]),
    )


def _trail(entries: Sequence[Entry], jobs: Sequence[str]) -> tuple[str, ...]:
    runners = {entry.process for entry in entries if entry.job in jobs}
    return tuple(
        f"{entry.at:.6f} {entry.deed} {entry.job} by {entry.process}"
        for entry in entries
        if entry.job in jobs or (entry.deed == "disturbed" and jobs and entry.process in runners)
    )
