"""The outbox: effects on other queues, written in the step that caused them and handed over here.

An entry is taken out only after the other queue has it, so it may be handed over twice, which the job id makes
harmless.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from jobqueue.backends.protocol import Enqueued, LetterWriter, NewRecord
from jobqueue.backends.redis.calls import Calls
from jobqueue.backends.redis.codec import letter_record, text

_BATCH = 100

EnqueueCall = Callable[[str, Sequence[NewRecord]], Awaitable[list[Enqueued]]]


async def deliver(calls: Calls, outbox: str, queue: str, enqueue: EnqueueCall, letter: LetterWriter) -> int:
    """Deliver up to a hundred effects; returns how many."""
    entries = await calls.command("XRANGE", outbox, "-", "+", "COUNT", _BATCH)
    letters: dict[str, list[NewRecord]] = defaultdict(list)
    for _, flat in entries:
        target, record = letter_record(flat, queue)
        if target and target != queue:
            letters[target].append(letter(target, record))
    for target, records in letters.items():
        await enqueue(target, records)
    if entries:
        await calls.command("XDEL", outbox, *(text(entry_id) for entry_id, _ in entries))
    return len(entries)
