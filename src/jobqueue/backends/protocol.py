"""The seam: what a queue and a worker ask of storage.

A backend is a set of atomic, idempotent state transitions, not a key-value store. Policy (which retry, when a job is
poisoned, what an exception means) is decided above and handed down; atomicity lives below. Three rules hold for every
method unless its docstring says otherwise:

* time is the backend's own (the server's clock, or a virtual clock it was given), never the caller's;
* a call that raises :class:`~jobqueue.errors.BackendUnavailable` may or may not have taken effect, and may be repeated;
* the cost is O(log n) in the jobs of the queue for each job touched, never O(backlog).

``jobqueue.testing.BackendContract`` is this text as a test suite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jobqueue.backends.endpoints import Endpoints
from jobqueue.backends.looking import EventPage as EventPage, Looking, Presence as Presence, Status as Status
from jobqueue.backends.operations import (
    LOG_LINES_KEPT as LOG_LINES_KEPT,
    MAX_BATCH as MAX_BATCH,
    Amendment as Amendment,
    Begun as Begun,
    Cancel as Cancel,
    Checkpoint as Checkpoint,
    Clean as Clean,
    Command as Command,
    LogLines as LogLines,
    Note as Note,
    Obliterate as Obliterate,
    Pause as Pause,
    Progress as Progress,
    Promote as Promote,
    Purge as Purge,
    Remove as Remove,
    Reprioritize as Reprioritize,
    Reschedule as Reschedule,
    Resume as Resume,
    Retry as Retry,
    RetryFailed as RetryFailed,
)
from jobqueue.backends.scheduling import Scheduling
from jobqueue.model.letter import letter_for
from jobqueue.model.links import Need, Spawning
from jobqueue.model.notice import Notice, delivery_for, delivery_group
from jobqueue.model.outcome import KEEP_ALL, Outcome, Retention
from jobqueue.model.record import JobRecord, JobState
from jobqueue.model.unique import Unique

# What is made for every job is not frozen: setting the fields of a frozen dataclass costs three times as much.


@dataclass(slots=True)
class NewRecord:
    """A job to be written. Already validated: a backend checks nothing but whether the id is taken.

    At most one of ``delay_ms`` (from the backend's now) and ``run_at_ms`` (absolute) is set. ``needs`` are the jobs
    that must be done first; its delay then counts from when the last of them is.
    """

    id: str
    type: str
    data: bytes
    priority: int = 3
    options: bytes = b""
    delay_ms: int = 0
    run_at_ms: int | None = None
    expires_in_ms: int | None = None
    lifo: bool = False
    needs: tuple[Need, ...] = ()
    group: str = ""
    unique: Unique | None = None


@dataclass(slots=True)
class Enqueued:
    """What became of one :class:`NewRecord`: the job as it stands, and whether this call made it."""

    record: JobRecord
    created: bool


@dataclass(frozen=True, slots=True)
class FlowMember:
    """One job of a flow: where it goes, the job, and what the flow is to remember of it."""

    queue: str
    record: NewRecord
    remembered: bytes = b""

    @property
    def key(self) -> str:
        """Its name over all queues."""
        return f"{self.queue}/{self.record.id}"


@dataclass(frozen=True, slots=True)
class NewFlow:
    """Jobs that are to be there all or none. Their ``needs`` name each other, or jobs that exist; there is no circle.

    ``recorded``: the flow itself can be looked at afterwards. ``spawning``: a running job of the home queue waits for
    some of them.
    """

    id: str
    members: Sequence[FlowMember]
    recorded: bool = True
    spawning: Spawning | None = None


LetterWriter = Callable[[str, JobRecord], NewRecord]
"""Makes the letter that a queue (the first argument) gets about a failed job."""


def plain_letter(target: str, record: JobRecord) -> NewRecord:
    """The letter about ``record``, the same wherever it goes."""
    del target
    return NewRecord(*letter_for(record))


NoticeWriter = Callable[[Notice], NewRecord | None]
"""Makes the delivery that tells an endpoint of a job; None if it is to be told nothing."""


def plain_delivery(notice: Notice) -> NewRecord | None:
    """The delivery of ``notice``, as it is sent."""
    delivery = delivery_for(notice)
    return (
        None if delivery is None else NewRecord(*delivery, group=delivery_group(notice.record.queue, notice.endpoint))
    )


@dataclass(slots=True)
class Settlement:
    """An outcome handed in under a token, with the log lines (JSON) of the attempt that were not yet written."""

    job_id: str
    token: int
    outcome: Outcome
    logs: tuple[bytes, ...] = ()


CALLERS = 3
"""How many exchanges a worker may have under way in a queue."""


@dataclass(slots=True)
class Exchange:
    """Settle finished jobs and claim new ones in one step.

    ``caller`` and ``sequence`` make the whole call repeatable: the backend remembers the last sequence of each caller
    with its reply, so that a repeat settles nothing twice and returns the *same* leases (those still held) instead of
    orphaning them. A caller, one of CALLERS named ``<worker>/0`` and so on, has one exchange under way at a time and
    raises ``sequence`` by one for each new one; with ``repeated`` this one may have been made before. One that
    reaches the backend after its repeat, or after its caller's next one, does nothing. Settlements are taken in in
    their order, but before all others those without log lines that completed with the same ``keep`` as the first of
    these. ``dead_letter`` names the queue that gets a letter for jobs found expired on the way. ``tallies`` is added
    to the counters of the minute (model/stats.py), and rides with settlements. A job that has cost ``suspect_stalls``
    workers is a suspect: at most ``suspects`` of those are given out, and the others that are met stay at the front.
    With ``reserve`` they have not begun yet: a lease that is lost before the note :class:`Begun` is no stall.
    ``rooms``: of these job types the worker takes so many at the most. ``lag_ms`` is how much later than they are
    claimed its jobs have been starting: under a rate starts count for so much longer than a period (a quarter of one
    at the most), so that it holds for starts as well as for claims.
    """

    worker: str
    caller: str
    sequence: int
    settlements: Sequence[Settlement] = ()
    claim: int = 0
    lease_ms: int = 15_000
    repeated: bool = False
    dead_letter: str | None = None
    tallies: Mapping[str, int] = field(default_factory=dict[str, int])
    suspect_stalls: int = 2
    suspects: int = 1
    reserve: bool = False
    rooms: Mapping[str, int] = field(default_factory=dict[str, int])
    lag_ms: int = 0


@dataclass(slots=True)
class Page:
    """The answer to an exchange.

    ``leases`` are the claimed jobs, active and with their tokens. ``refused`` are the ids whose settlement came
    under an outdated token: their results were not taken. ``look_again_ms`` is when there may next be something
    to claim without anyone enqueueing (a delayed job falls due, a hold ends), None if nothing is in sight.
    ``more`` says that jobs are left waiting that could be claimed now, or could if the queue were not paused or held.
    ``crowded`` says that jobs are left waiting which may not start now, for a limit or a pause: a settlement may let
    some go, so that a worker had better claim along with it. ``rests_until_ms`` is when a rate or a hold lets some go.
    ``outbox`` says that :meth:`Backend.deliver` has something to do.
    """

    leases: list[JobRecord]
    refused: frozenset[str]
    now_ms: int
    look_again_ms: int | None = None
    more: bool = False
    paused: bool = False
    outbox: bool = False
    crowded: bool = False
    rests_until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Extension:
    """What came of extending leases: ids that are no longer this worker's, and cancel requests (id to reason)."""

    lost: frozenset[str] = frozenset()
    cancels: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Order:
    """Something another process wants of this worker: to cancel the job it runs, or SCHEDULES_CHANGED."""

    job_id: str
    reason: str


SCHEDULES_CHANGED = Order("", "schedules")
"""A schedule will be due earlier than all that the worker knows of."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """One bounded background round: expired leases, jobs expired in the queue, retention by age, gone workers.

    A job whose lease has expired goes back to waiting with one stall more, or fails (error type ``WorkerLost``) when it
    would exceed ``max_stalls``; one that was reserved and has not begun goes back as it was. ``keep`` and
    ``dead_letter`` are for the jobs that this round fails.
    """

    max_stalls: int = 3
    keep: Retention = KEEP_ALL
    dead_letter: str | None = None
    presence: Presence | None = None
    presence_ms: int = 20_000
    limit: int = MAX_BATCH


@dataclass(frozen=True, slots=True)
class UpkeepReport:
    """What a round did. ``more`` says that it hit its limit and should be repeated at once. ``schedules_in_ms`` is in
    how many ms the first schedule is due, None if none is in sight."""

    recovered: tuple[str, ...] = ()
    poisoned: tuple[str, ...] = ()
    expired: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    removed: int = 0
    more: bool = False
    outbox: bool = False
    schedules_in_ms: int | None = None


class Backend(Looking, Scheduling, Endpoints, Protocol):
    """See the module's docstring; every queue name has been checked by the caller."""

    async def open(self) -> None:
        """Make ready and reach the storage once.

        Raises BackendUnavailable, AccessDenied or ConfigurationError. Repeating it does nothing.
        """
        ...

    async def close(self) -> None:
        """Let go of every connection. Repeating it does nothing; any later call raises BackendClosed."""
        ...

    def detached(self) -> Backend | None:
        """A handle on the same storage for the event loop of another thread (to keep leases while this loop is
        blocked); to be opened and closed there. None where the storage lives in this very loop.
        """
        ...

    async def enqueue(
        self, queue: str, jobs: Sequence[NewRecord], *, limited: bool = True, wait_ms: int = 0
    ) -> list[Enqueued]:
        """Write all of ``jobs`` (at most MAX_BATCH), or none.

        A job with ``delay_ms`` or a future ``run_at_ms`` is delayed, any other waits at the end of its priority, or at
        its front with ``lifo``. An id that exists, in any state, is left as it is, and the job as it stands is returned
        with ``created`` False; so too for an id that stands twice in ``jobs``. Answers are in input order.
        Raises BackendFull with nothing written; so too QueueFull where the unstarted jobs of the queue, and GroupFull
        where the waiting jobs of a group, would become more than its ``max_waiting`` (ids that exist are not counted;
        nothing is refused with ``limited`` False). ``wait_ms`` says that a refused caller will wait so long for room.
        A repeat after a lost reply adds nothing, even if the job has run and is gone by then.

        A job with ``needs`` is blocked until each of them has completed; one that has finished already counts at once.
        Raises JobNotFound with nothing written if one of the same queue is not there and does not come earlier in
        ``jobs``. One of another queue that is not there counts as removed.

        A job with a ``unique`` key that is held is not made: the answer is the job that stands in its place, with
        ``created`` False (see :class:`~jobqueue.model.unique.Unique` for which, and whether that takes over what was
        asked). Where a ``ttl`` goes on after that job is gone, its record is as far known: its id, how it ended, and
        what was asked for now. One that is kept until another is done is made, blocked. Those that fall take no room,
        and count as not there where others of ``jobs`` need them. A repeat after a lost reply gives the same answers.
        """
        ...

    async def submit(self, home: str, flow: NewFlow) -> bool:
        """Make the jobs of a flow, in whatever queues: all or none. On return they are to be, and nothing takes that
        back; if the caller dies then, workers of ``home`` see to it. None begins before all are there.

        Returns False, and does nothing, if a flow of that id has been submitted (or, without ``recorded``, if the
        spawning job needs its first job already). A member whose id is taken stands for the job that has it. Raises
        LeaseLost if the spawning job is no longer its worker's. O(log n) for each job and edge.
        """
        ...

    async def exchange(self, queue: str, request: Exchange) -> Page:
        """Take in settlements, move due jobs to waiting, claim up to ``claim`` waiting jobs by priority and age.

        Each claimed job becomes active under a new token, larger than any before it in this queue, until
        ``lease_ms`` from now. Waiting jobs that have expired are failed on the way instead of claimed. Nothing
        is claimed while the queue is paused or held. Works on a full server.

        Jobs of a group take turns with other groups, weighted, the ungrouped ones as a group of their own; within a
        group it is priority and age. What limits, or a group's pause or hold, do not let start stays waiting, and holds
        up nobody else: jobs of a type without room are passed over (a bounded number at once). Starts count against
        the rates when they are claimed; running jobs are those with a lease.
        """
        ...

    async def extend(self, queue: str, worker: str, leases: Sequence[tuple[str, int]], lease_ms: int) -> Extension:
        """Move the deadlines of ``leases`` (job id and token) to ``lease_ms`` from now; a lease that was lost
        stays lost.
        """
        ...

    async def upkeep(self, queue: str, request: Upkeep) -> UpkeepReport:
        """Do one bounded round of background work; any number of workers may do it at the same time."""
        ...

    async def deliver(
        self, queue: str, letter: LetterWriter = plain_letter, notice: NoticeWriter = plain_delivery
    ) -> int:
        """Hand the queue's outbox (a bounded part of it) to the queues it is meant for, and what follows there on to
        the next; returns how many effects of this queue's.

        At least once, and idempotent: letters and deliveries by their job id, edges because only an open one can be
        resolved. Letters are what ``letter`` makes of failed jobs as they are stored, deliveries what ``notice`` makes.
        Raises Undelivered if nothing but what cannot be handed over now is left, or in sight.
        """
        ...

    async def wait(self, queue: str, seconds: float) -> bool:
        """Return True as soon as there may be something to claim, False after about ``seconds`` of real time.

        One waiting worker is woken for a new job, not all; it must answer with an exchange, which wakes the next one
        if jobs are left. Safe to cancel.
        """
        ...

    async def await_jobs(self, queue: str, seconds: float, request: Exchange) -> Page:
        """Wait as :meth:`wait` does, then make the exchange ``request``, woken or not, which saves a round trip.

        Cancelled, or failed, it may have claimed, or may still do so. Repeating the request by :meth:`exchange` (with
        ``claim`` 0, if nothing more is wanted) brings what it has claimed, and from then on it claims nothing.
        """
        ...

    async def wait_for_room(self, queue: str, seconds: float) -> bool:
        """Return True as soon as there may be room for a job that was refused with ``wait_ms``, False after about
        ``seconds`` of real time. One waiting producer is woken at a time. Safe to cancel.
        """
        ...

    async def orders(self, queue: str, worker: str, seconds: float) -> list[Order]:
        """What others want of this worker, as soon as there is something; empty after about ``seconds`` of real time.

        Safe to cancel.
        """
        ...

    async def leave(self, queue: str, worker: str) -> None:
        """Forget this worker: its presence and its orders. Its leases stay as they are."""
        ...

    async def annotate(self, queue: str, job_id: str, token: int, note: Note) -> bool:
        """Write a note of a running job; False, and nothing written, if the lease is lost."""
        ...

    async def amend(self, queue: str, job_id: str, amendment: Amendment) -> JobState:
        """Change one job; returns the state it is in afterwards (for Remove: the one it was in).

        Raises JobNotFound, or InvalidState where the amendment's docstring does not name the job's state.
        """
        ...

    async def control(self, queue: str, command: Command) -> list[str]:
        """Carry out ``command``; returns the ids of the jobs it changed or forgot.

        Works in batches of MAX_BATCH, so that a server is never held up for long: another client may see it half done.
        """
        ...
