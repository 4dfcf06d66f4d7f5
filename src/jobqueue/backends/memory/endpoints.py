"""Endpoints of one queue: kept, and told in the step that changes a job what they want to know."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue.backends.endpoints import MOST_ENDPOINTS, EndpointChange, EndpointRecord, EndpointState
from jobqueue.backends.memory.effects import Telling
from jobqueue.errors import BackendFull
from jobqueue.model.notice import WEBHOOK_DELIVERY, Notice, Occasion
from jobqueue.model.record import JobRecord

if TYPE_CHECKING:
    from jobqueue.backends.memory.shelf import Shelf


def write(shelf: Shelf, change: EndpointChange, now_ms: int) -> bool:
    """See :meth:`jobqueue.backends.endpoints.Endpoints.write_endpoint`."""
    known = shelf.endpoints.get(change.id)
    if known is not None and known.revision == change.revision:
        return True
    if (known.revision if known else "") != change.expected:
        return False
    if known is None and len(shelf.endpoints) >= MOST_ENDPOINTS:
        raise BackendFull(f"queue {shelf.queue!r} has its limit of {MOST_ENDPOINTS} endpoints; nothing was written")
    shelf.endpoints[change.id] = EndpointRecord(
        id=change.id,
        revision=change.revision,
        rules=change.rules,
        definition=change.definition,
        state=change.state,
        reason=change.reason,
        since_ms=known.since_ms if known is not None and known.state is change.state else now_ms,
    )
    return True


def remove(shelf: Shelf, endpoint: str) -> bool:
    """See :meth:`jobqueue.backends.endpoints.Endpoints.remove_endpoint`."""
    return shelf.endpoints.pop(endpoint, None) is not None


def find(shelf: Shelf, ids: Sequence[str] | None) -> list[EndpointRecord]:
    """See :meth:`jobqueue.backends.endpoints.Endpoints.find_endpoints`."""
    known = shelf.endpoints
    return [known[endpoint] for endpoint in (sorted(known) if ids is None else ids) if endpoint in known]


def leave_notices(shelf: Shelf, occasion: Occasion, record: JobRecord, now_ms: int, *, retry_in_ms: int = 0) -> None:
    """A job has changed: whoever wants to know is to be told."""
    if not shelf.endpoints or record.type == WEBHOOK_DELIVERY:
        return
    told = replace(record)
    by_target: dict[str, list[Notice]] = defaultdict(list)
    for endpoint, known in sorted(shelf.endpoints.items()):
        if known.state is EndpointState.DISABLED or not known.rules.want(occasion, record.type):
            continue
        notice = Notice(
            occasion=occasion,
            record=told,
            at_ms=now_ms,
            stamp=f"{now_ms}-{shelf.claims}",
            endpoint=endpoint,
            target=known.rules.target,
            include=known.rules.include,
            retry_in_ms=retry_in_ms,
        )
        by_target[notice.target].append(notice)
    for target, notices in by_target.items():
        shelf.add_effect(Telling(target, tuple(notices)))
