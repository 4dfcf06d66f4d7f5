"""The outbox, flows, and what else goes from one queue to another."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from jobqueue.backends.memory.effects import Edge, Effect, Letter, Link, Outcome, Reopen, Telling
from jobqueue.backends.memory.enqueueing import enqueue
from jobqueue.backends.memory.links import adopt, hear, reopen, resolve, settle_heirs
from jobqueue.backends.memory.room import Room
from jobqueue.backends.memory.shelf import Shelf, copied
from jobqueue.backends.protocol import LetterWriter, NewFlow, NewRecord, NoticeWriter, plain_delivery
from jobqueue.backends.refusals import undelivered
from jobqueue.backends.wiring import POLICY, Wired, wired
from jobqueue.errors import BackendFull, LeaseLost, Undelivered

_AT_ONCE = 100


class Deliveries:
    """Hands effects over; ``shelf_of`` finds the queue they are for, ``announce`` hears of those that get jobs."""

    def __init__(self, shelf_of: Callable[[str], Shelf], announce: Callable[[str], None], room: Room) -> None:
        self._shelf_of = shelf_of
        self._announce = announce
        self._room = room

    def deliver(
        self,
        shelf: Shelf,
        now_ms: int,
        letter: LetterWriter | None = None,
        notice: NoticeWriter = plain_delivery,
    ) -> int:
        """Up to a hundred effects, and all that follows elsewhere; returns how many of its own.

        Without a writer letters and notices stay where they are.
        """
        touched: dict[str, None] = {}
        count = self._empty(shelf, touched, now_ms, letter, notice)
        self._empty_all(touched, now_ms)
        return count

    def submit(self, home: Shelf, flow: NewFlow, now_ms: int) -> bool:
        """See :meth:`jobqueue.backends.protocol.Backend.submit`."""
        if not self._is_new(home, flow):
            return False
        members = [member for member in flow.members if member.record.id not in self._shelf_of(member.queue).jobs]
        self._room.make(home, len(members), now_ms)
        if flow.recorded:
            home.links.members[flow.id] = {member.key: member.remembered for member in flow.members}
        if flow.spawning is not None:
            needs = home.links.needs.setdefault(flow.spawning.job_id, {})
            needs.update((need.key, POLICY[need.on_failure]) for need in flow.spawning.needs)
        by_queue: dict[str, list[Wired]] = defaultdict(list)
        outside: dict[str, list[Link]] = defaultdict(list)
        for job in wired(home.queue, flow):
            by_queue[job.member.queue].append(job)
            for need in job.outside:
                outside[need.queue].append(Link(need.queue, need.id, job.member.key, POLICY[need.on_failure]))
        gate = f"flow/{flow.id}"
        for queue, batch in by_queue.items():
            self._announce(queue)
            shelf = self._shelf_of(queue)
            records = [job.member.record for job in batch]
            answers = enqueue(shelf, records, self._room, now_ms, gate=gate, limited=False)
            for job, answer in zip(batch, answers, strict=True):
                job_id = job.member.record.id
                if answer.created:
                    shelf.links.heirs[job_id] = dict(job.heirs)
                else:
                    outside[queue] += (Link(queue, job_id, heir, policy) for heir, policy in job.heirs)
        touched: dict[str, None] = {}
        for links in outside.values():
            # All that one queue hears from another it hears in one step, as from one script.
            for target, edges in self._linked(links).items():
                self._hear(target, edges, touched, now_ms)
        for queue, batch in by_queue.items():
            shelf = self._shelf_of(queue)
            for job in batch:
                resolve(shelf, job.member.record.id, gate, Outcome("completed"), now_ms)
            self._settle(shelf, touched, now_ms)
        self._empty_all(touched, now_ms)
        return True

    def _is_new(self, home: Shelf, flow: NewFlow) -> bool:
        if flow.id in home.links.members:
            return False
        spawning = flow.spawning
        if spawning is None:
            return True
        record = home.jobs.get(spawning.job_id)
        if record is None or record.token != spawning.token:
            raise LeaseLost
        known = {**home.links.needs.get(record.id, {}), **home.links.inputs.get(record.id, {})}
        return not (spawning.needs and spawning.needs[0].key in known)

    def _empty_all(self, touched: dict[str, None], now_ms: int) -> None:
        while touched:
            other = next(iter(touched))
            if not self._empty(self._shelf_of(other), touched, now_ms):
                del touched[other]

    def _empty(
        self,
        shelf: Shelf,
        touched: dict[str, None],
        now_ms: int,
        letter: LetterWriter | None = None,
        notice: NoticeWriter = plain_delivery,
    ) -> int:
        # Those for jobs that wait come first: letters for which there is no room hold up nothing else.
        count = self._tell(shelf, touched, now_ms)
        if letter is not None:
            count += self._write(shelf, now_ms, letter, notice, most=_AT_ONCE - count, must=not count)
        return count

    def _tell(self, shelf: Shelf, touched: dict[str, None], now_ms: int) -> int:
        batch = list(islice((effect for effect in shelf.outbox if not isinstance(effect, (Letter, Telling))), _AT_ONCE))
        edges: dict[str, list[Edge | Reopen]] = defaultdict(list)
        links: dict[str, list[Link]] = defaultdict(list)
        for effect in batch:
            if isinstance(effect, Link):
                links[effect.target].append(effect)
            else:
                edges[effect.target].append(effect)
        for asked in links.values():
            for target, found in self._linked(asked).items():
                edges[target] += found
        for target, found in edges.items():
            self._hear(target, found, touched, now_ms)
        _take_out(shelf, batch)
        return len(batch)

    def _write(
        self, shelf: Shelf, now_ms: int, letter: LetterWriter, notice: NoticeWriter, *, most: int, must: bool
    ) -> int:
        """Letters and notices become jobs elsewhere; each is taken out only once it has arrived. Raises Undelivered
        if one ``must`` and none could.
        """
        arrived: list[Effect] = []
        error: Undelivered | None = None
        for effect in [effect for effect in shelf.outbox if isinstance(effect, (Letter, Telling))]:
            if len(arrived) == most or (error is not None and isinstance(error.__cause__, BackendFull)):
                break
            try:
                for target, record in list(_written(effect, shelf.queue, letter, notice)):
                    self._announce(target)
                    enqueue(self._shelf_of(target), [record], self._room, now_ms, limited=False)
            except Exception as why:  # noqa: BLE001  (writers call the user's codec)
                error = undelivered(shelf.queue, effect.target, why)
            else:
                arrived.append(effect)
        _take_out(shelf, arrived)
        if error is not None and must and not arrived:
            raise error
        return len(arrived)

    def _linked(self, links: Iterable[Link]) -> dict[str, list[Edge]]:
        """The edges that are resolved already, by the heir's queue."""
        edges: dict[str, list[Edge]] = defaultdict(list)
        for link in links:
            outcome = adopt(self._shelf_of(link.target), link.parent, link.heir, link.policy)
            if outcome is not None:
                queue, _, heir = link.heir.partition("/")
                edges[queue].append(Edge(queue, heir, f"{link.target}/{link.parent}", link.policy, outcome, 0))
        return edges

    def _hear(self, target: str, edges: Iterable[Edge | Reopen], touched: dict[str, None], now_ms: int) -> None:
        shelf = self._shelf_of(target)
        for edge in edges:
            if isinstance(edge, Reopen):
                reopen(shelf, edge.flow, edge.member, edge.at_ms)
            else:
                hear(shelf, edge.heir, edge.parent, edge.policy, edge.outcome, edge.at_ms, now_ms)
        self._settle(shelf, touched, now_ms)

    def _settle(self, shelf: Shelf, touched: dict[str, None], now_ms: int) -> None:
        settle_heirs(shelf, now_ms)
        if shelf.has_effects:
            shelf.has_effects = False
            touched[shelf.queue] = None
        shelf.journal.publish()


def _written(
    effect: Letter | Telling, queue: str, letter: LetterWriter, notice: NoticeWriter
) -> Iterator[tuple[str, NewRecord]]:
    """What an effect of ``queue`` becomes, and where."""
    match effect:
        case Letter(target, record):
            yield target, letter(target, copied(record))
        case Telling(_, notices):
            for told in notices:
                delivery = notice(replace(told, record=copied(told.record)))
                if delivery is not None and told.target != queue:
                    yield told.target, delivery


def _take_out(shelf: Shelf, done: Iterable[Effect]) -> None:
    gone = {id(effect) for effect in done}
    if gone:
        shelf.outbox = deque(effect for effect in shelf.outbox if id(effect) not in gone)
