"""A producer of a fault run that goes on until it is told to stop: ``python -m tests.faults.steady_producer URL LEDGER
KIND NAME``.

It enqueues jobs of a KIND (``GROUPS``, ``HOOKS``, ``KEYS``) as fast as workers get them done, each under an id that
says what it belongs to, a full stop, NAME and a number; and writes down each attempt, and what it was told.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from jobqueue import BackendUnavailable, InvalidState, JobDefaults, Keep, Queue, Retry, Unique, connect
from jobqueue.new_job import EnqueueOptions
from jobqueue.webhook import WEBHOOKS
from tests.faults.ledger import Ledger
from tests.faults.worker_process import QUEUE

GROUPS, HOOKS, KEYS = "groups", "hooks", "keys"
UNGROUPED = "alone"
FALTERS = 2
"""How often the jobs fail that falter, before they are completed."""
CANCELLED, LOST = "cancelled", "lost"
PLAIN_KEY, LASTING_KEY, LAST_KEY = "plain", "lasting", "last"
"""How keys begin: until it is done, for a time, keeping the last."""
TTL = 1.5
EVERYTHING = JobDefaults(keep=Keep(completed=None, failed=None))
AT_ONCE = 20
_CROWD = 40
_GROUPS, _KEYS = 120, 12
_AN_HOUR = 3600


@dataclass(frozen=True, slots=True)
class _Wish:
    type: str
    data: object
    belongs: str
    options: EnqueueOptions = field(default_factory=EnqueueOptions)


def _grouped() -> _Wish:
    options = EnqueueOptions(priority=random.choice((1, 3, 3, 3)))
    if random.random() < 0.1:
        options["delay"] = random.uniform(0.05, 1)
    if random.random() < 0.1:
        return _Wish("work", 0, UNGROUPED, options)
    # A few have most of the jobs.
    name = f"room-{min(random.randrange(_GROUPS), random.randrange(_GROUPS))}"
    return _Wish("work", 0, name, options | EnqueueOptions(group=name))


def _hooked() -> _Wish:
    match random.random():
        case draw if draw < 0.6:
            return _Wish("work", 0, "done")
        case draw if draw < 0.8:
            return _Wish(
                "falter",
                FALTERS,
                "faltered",
                EnqueueOptions(retry=Retry(attempts=FALTERS + 1, backoff="fixed", delay=0.05)),
            )
        case draw if draw < 0.9:
            return _Wish("lose", 0, LOST)
        case _:
            return _Wish("work", 0, CANCELLED, EnqueueOptions(delay=_AN_HOUR))


def _keyed() -> _Wish:
    number = random.randrange(_KEYS)
    match random.choice((PLAIN_KEY, LASTING_KEY, LAST_KEY)):
        case "plain":
            unique = Unique(f"plain-{number}")
        case "lasting":
            unique = Unique(f"lasting-{number}", ttl=TTL)
        case _:
            unique = Unique(f"last-{number}", keep_last=True)
    return _Wish("keyed", "", unique.key, EnqueueOptions(unique=unique))


_KINDS: dict[str, Callable[[], _Wish]] = {GROUPS: _grouped, HOOKS: _hooked, KEYS: _keyed}


async def main(url: str, path: str, kind: str, name: str) -> None:
    ledger, told_to_stop = Ledger(Path(path)), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_stop.set)
    async with connect(url, fallback="never") as backend:
        queue = Queue(QUEUE, backend=backend, defaults=EVERYTHING)
        deliveries = Queue(WEBHOOKS, backend=backend)
        ledger.write("ready")
        number = 0
        while not told_to_stop.is_set():
            wishes = [_KINDS[kind]() for _ in range(AT_ONCE)]
            ids = [f"{wish.belongs}.{name}-{number + place}" for place, wish in enumerate(wishes)]
            number += len(wishes)
            await asyncio.gather(*map(_told, [queue] * len(ids), [ledger] * len(ids), wishes, ids))
            await asyncio.sleep(random.uniform(0, 0.1))
            # Others do the work: there is nothing here that could be waited on.
            while not told_to_stop.is_set() and (await _crowded(queue) or await _crowded(deliveries)):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def _told(queue: Queue, ledger: Ledger, wish: _Wish, job_id: str) -> None:
    """Until it is told what has become of this one, as a caller would."""
    # One that comes with a key says with its data who it is: another's job may carry that.
    data = job_id if wish.type == "keyed" else wish.data
    ledger.write("attempted", job_id)
    while True:
        try:
            job = await queue.enqueue(wish.type, data, **wish.options | {"job_id": job_id})
            if wish.belongs == CANCELLED:
                await _cancelled(queue, job_id)
        except BackendUnavailable:
            await asyncio.sleep(0.1)
        else:
            if job.id != job_id:
                ledger.write("fallen", job_id)
            else:
                ledger.write("promised" if wish.belongs in {CANCELLED, LOST} else "acknowledged", job_id)
            return


async def _cancelled(queue: Queue, job_id: str) -> None:
    try:
        await queue.cancel(job_id, "the customer thought better of it")
    except InvalidState:
        # An attempt before this one, of which nothing was heard, has done it.
        return


async def _crowded(queue: Queue) -> bool:
    try:
        return (await queue.counts()).waiting > _CROWD
    except BackendUnavailable:
        return True


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
