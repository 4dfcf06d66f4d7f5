"""Orders from other processes: cancel this job, look at the schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobqueue.backends.protocol import SCHEDULES_CHANGED, Backend
from jobqueue.errors import BackendError
from jobqueue.patience import Patience

_BLOCK_SECONDS = 30.0


async def take_orders(
    backend: Backend,
    queue: str,
    worker_id: str,
    *,
    cancel: Callable[[str, str], None],
    schedules_changed: Callable[[], None],
) -> None:
    """Take what is ordered of this worker's lane, until cancelled. ``cancel`` gets a job's id and the reason."""
    patience = Patience()
    while True:
        try:
            orders = await backend.orders(queue, worker_id, _BLOCK_SECONDS)
        except BackendError:
            await asyncio.sleep(patience.pause())
            continue
        patience.rewarded()
        for order in orders:
            if order == SCHEDULES_CHANGED:
                schedules_changed()
            else:
                cancel(order.job_id, order.reason)
