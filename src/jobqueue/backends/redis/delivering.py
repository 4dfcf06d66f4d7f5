"""The outbox: effects on other queues, written in the step that caused them and handed over here.

An entry is taken out only after the other queue has it, so it may be handed over twice: letters and deliveries are
recognised by their job id, edges by being open no more, flows by their gate. What follows from an effect in the queue
that gets it lies in that queue's outbox, and is handed on from here too; its own workers would find it in their next
round.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from jobqueue.backends.protocol import LetterWriter, NewRecord, NoticeWriter, plain_delivery, plain_letter
from jobqueue.backends.redis import keys
from jobqueue.backends.redis.codec import letter_record, moment_of, text
from jobqueue.backends.redis.courier import Courier
from jobqueue.backends.redis.endpoints import notices_of
from jobqueue.backends.redis.handing import Handing
from jobqueue.backends.redis.linking import Edge
from jobqueue.backends.redis.part import RedisPart
from jobqueue.backends.redis.reach import Reach
from jobqueue.errors import BackendError, Undelivered
from jobqueue.model.notice import Notice

_BATCH = 100
_PAGES = 10
"""Of a batch each, looked at in one round behind what cannot be handed over; the next round begins behind them."""
_ROUNDS = 10_000
"""Batches that one delivery may lead to in other queues: an end to what has one anyhow."""


class OutboxCalls(RedisPart):
    """The part of the Redis backend that hands effects over."""

    async def deliver(
        self, queue: str, letter: LetterWriter = plain_letter, notice: NoticeWriter = plain_delivery
    ) -> int:
        return await deliver(self._courier(patient=True), queue, letter, notice)

    def _courier(self, *, patient: bool = False) -> Courier:
        reach = Reach(self._lately_away, patient=patient)
        return Courier(
            self._calls, self._namespace, self._now, self._is_announced, self._announce, self._outboxes, reach
        )

    async def _deliver_edges(self, queue: str) -> int:
        # Letters and notices stay: only a worker knows how its queue's are written.
        return await deliver(self._courier(), queue, whole=True)

    async def _deliver_soon(self, queue: str, outbox: bool = True) -> None:
        """Hand over what a call has left in the outbox, though not all that comes into it meanwhile. The call has taken
        effect anyhow: workers see to the rest.
        """
        if not outbox:
            return
        courier = self._courier()
        with contextlib.suppress(BackendError):
            left = await courier.count(queue)
            while left > 0 and (count := await deliver(courier, queue)):
                left -= count


async def deliver(
    courier: Courier,
    queue: str,
    letter: LetterWriter | None = None,
    notice: NoticeWriter = plain_delivery,
    *,
    whole: bool = False,
) -> int:
    """Up to a hundred effects of ``queue``, and all that follows elsewhere; returns how many of its own.

    Without a writer letters and notices stay where they are. What cannot be handed over stays too and holds up nothing
    else; Undelivered is raised where nothing else is in sight: in a thousand entries, or in the ``whole`` outbox.
    """
    try:
        count = await _empty(courier, queue, letter, notice, pages=_ROUNDS if whole else _PAGES, follow=True)
    except BackendError:
        await _follow(courier)
        raise
    await _follow(courier)
    return count


async def _follow(courier: Courier, but: str = "") -> dict[str, BackendError]:
    """Hand on what deliveries have led to in other queues, and so on, though not all that comes there meanwhile.

    Returns the queues in which something is stuck that nobody else would come for, and why.
    """
    unfinished: dict[str, BackendError] = {}
    for _ in range(_ROUNDS):
        other = next((queue for queue in courier.touched if queue != but), None)
        if other is None:
            break
        pages = _ROUNDS if courier.touched.pop(other) else _PAGES
        try:
            left = await courier.count(other)
            while left > 0 and (count := await _empty(courier, other, looked_through=pages)):
                left -= count
        except BackendError as error:
            if not await courier.has_workers(other):
                unfinished[other] = error
    return unfinished


async def _empty(
    courier: Courier,
    queue: str,
    letter: LetterWriter | None = None,
    notice: NoticeWriter = plain_delivery,
    *,
    pages: int = _PAGES,
    looked_through: int = _ROUNDS,
    follow: bool = False,
) -> int:
    outbox = keys.outbox(courier.namespace, queue)
    start, count = courier.begin_at.get(queue, "-"), 0
    whole = start == "-"
    behind = not whole
    error: Undelivered | None = None
    for _ in range(pages):
        entries, start = await _entries(courier, outbox, start, letters=letter is not None, pages=looked_through)
        handing = Handing(courier, queue)
        for entry_id, flat in entries:
            _sort(handing, queue, text(entry_id), flat, letter, notice)
        await handing.over()
        if follow:
            # Letters and deliveries lead to nothing, and may have been run and forgotten by the time the rest is done.
            count += await _take_out(courier, outbox, handing.done(handing.written))
            # Before the rest is taken out: nobody else may come for what it has led to.
            handing.leave_causes(await _follow(courier, but=queue))
        count += await _take_out(courier, outbox, handing.done(text(entry_id) for entry_id, _ in entries))
        error = error or handing.error
        if not start and not whole:
            start, whole = "-", True
        elif not start or not handing.left:
            break
        # What is stuck must not hide what stands behind it.
        behind = True
    if start and behind:
        courier.begin_at[queue] = start
    else:
        courier.begin_at.pop(queue, None)
    if error is not None and not count:
        raise error
    return count


async def _take_out(courier: Courier, outbox: str, entry_ids: Sequence[str]) -> int:
    if entry_ids:
        await courier.take_out(outbox, entry_ids)
    return len(entry_ids)


def _sort(
    handing: Handing, queue: str, entry_id: str, flat: Sequence[Any], letter: LetterWriter | None, notice: NoticeWriter
) -> None:
    """Find out what an entry asks for."""
    fields = {text(flat[at]): flat[at + 1] for at in range(0, len(flat) - 1, 2)}
    target = _word(fields, "to")
    match _word(fields, "kind"):
        case "edge":
            handing.edges[target].append((entry_id, _edge(fields, _word(fields, "policy"))))
        case "reopen":
            handing.edges[target].append((entry_id, _edge(fields, "O" + _word(fields, "number"))))
        case "link":
            asked = (_word(fields, "parent"), _word(fields, "heir"), _word(fields, "policy"))
            handing.links[target].append((entry_id, asked))
        case "spread" | "ask" | "flow":
            handing.errands.append((entry_id, fields))
        case "notice":
            by_target: dict[str, list[Notice]] = defaultdict(list)
            for told in notices_of(queue, fields, flat):
                by_target[told.target].append(told)
            for carrier, notices in by_target.items():
                if carrier != queue:
                    handing.write(entry_id, carrier, partial(_deliveries, notice, notices))
        case "":
            target, record = letter_record(flat, queue)
            if letter is not None and target and target != queue:
                handing.write(entry_id, target, lambda: [letter(target, record)])
        case _:
            later = BackendError("it is of a later release and waits for a worker of that release")
            handing.leave([entry_id], target or queue, later)


def _deliveries(notice: NoticeWriter, notices: Iterable[Notice]) -> Iterator[NewRecord]:
    for told in notices:
        delivery = notice(told)
        if delivery is not None:
            yield delivery


async def _entries(courier: Courier, outbox: str, start: str, *, letters: bool, pages: int) -> tuple[list[Any], str]:
    """The first entries from ``start`` on, and where those after them begin ('': there are none); without ``letters``
    the first of so many ``pages`` that are neither letters nor notices.
    """
    wanted: list[Any] = []
    for _ in range(pages):
        entries = await courier.calls.command("XRANGE", outbox, start, "+", "COUNT", _BATCH)
        start = f"({text(entries[-1][0])}" if len(entries) == _BATCH else ""
        wanted = [entry for entry in entries if letters or not _needs_writer(entry[1])]
        if wanted or not start:
            break
    return wanted, start


def _needs_writer(flat: Sequence[Any]) -> bool:
    """Whether an entry is a letter, or a notice."""
    kind = next((flat[at + 1] for at in range(0, len(flat) - 1, 2) if flat[at] == b"kind"), b"notice")
    return kind == b"notice"


def _word(fields: Mapping[str, Any], name: str) -> str:
    return text(fields.get(name, b""))


def _edge(fields: Mapping[str, Any], policy: str) -> Edge:
    return (
        _word(fields, "heir"),
        _word(fields, "parent"),
        policy,
        _word(fields, "state"),
        fields.get("detail", b""),
        fields.get("result", b""),
        _word(fields, "error"),
        moment_of(fields.get("at")) or 0,
    )
