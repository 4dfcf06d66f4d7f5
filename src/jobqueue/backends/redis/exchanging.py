"""The exchange as exchange.lua takes it and answers it: words in, a page out."""

from __future__ import annotations

from typing import Any

from jobqueue.backends.protocol import Exchange, Page
from jobqueue.backends.redis import codec
from jobqueue.backends.redis.calls import sequence_word
from jobqueue.backends.redis.codec import Word
from jobqueue.model.record import JobRecord, JobState


def exchange_words(request: Exchange) -> list[Word]:
    """What exchange.lua is told, after the time."""
    return [
        request.worker,
        request.caller,
        sequence_word(request.sequence),
        int(request.repeated),
        request.lease_ms,
        codec.claim_words(request.claim, request.lag_ms, request.rooms),
        request.dead_letter or "",
        request.suspect_stalls,
        -request.suspects if request.reserve else request.suspects,
        *codec.settlements_words(request.settlements),
        *(word for counter in request.tallies.items() for word in counter),
        len(request.tallies),
    ]


def page_of(queue: str, request: Exchange, reply: Any) -> Page:
    """What exchange.lua answers."""
    now, first_token, look_again, more, paused, outbox, refused, claimed_at, ids, records, lives, *rest = reply
    crowded, rests_until = rest
    now_ms, started_ms, worker = int(now), int(claimed_at), request.worker
    leases: list[JobRecord] = []
    life_at = dict(zip(lives[::2], lives[1::2], strict=True)) if lives else {}
    for place, stored in enumerate(records):
        if stored:
            life = life_at.get(place + 1, ())
            record = codec.record_of(queue, codec.text(ids[place]), JobState.ACTIVE, stored, None, life)
            record.token, record.started_ms, record.worker = first_token + place, started_ms, worker
            leases.append(record)
    return Page(
        leases=leases,
        refused=frozenset(codec.texts(refused)),
        now_ms=now_ms,
        look_again_ms=int(look_again) if look_again else None,
        more=bool(more),
        paused=bool(paused),
        outbox=bool(outbox),
        crowded=bool(crowded),
        rests_until_ms=int(rests_until) if rests_until else None,
    )
