"""A memory backend without room for letters hands everything else over."""

from __future__ import annotations

import pytest

from jobqueue.backends import MemoryBackend
from jobqueue.backends.protocol import Remove
from jobqueue.errors import Undelivered
from jobqueue.model.outcome import Completed, Failed
from jobqueue.model.record import JobState
from jobqueue.testing.contract.dependencies import OTHER, put_dependant, states_of
from jobqueue.testing.contract.steps import ERROR, QUEUE, claim, put, settle


async def test_letters_without_room_hold_up_nobody() -> None:
    backend = MemoryBackend(max_jobs=5)
    await backend.open()
    await put(backend, "failing", "failing-2", "parent")
    await put_dependant(backend, "a", f"{QUEUE}/parent", queue=OTHER)
    await put(backend, "other", queue=OTHER)
    first, second, parent = await claim(backend, 3)
    for lease in (first, second):
        await settle(backend, lease, Failed(ERROR, dead_letter="letters"))
    await settle(backend, parent, Completed(b"1"))
    assert await backend.deliver(QUEUE) == 1
    assert await states_of(backend, "a", queue=OTHER) == [JobState.WAITING]
    with pytest.raises(Undelivered, match="letters"):
        await backend.deliver(QUEUE)
    await backend.amend(OTHER, "other", Remove())
    assert await backend.deliver(QUEUE) == 1, "there is room for one of them"
    await backend.amend(OTHER, "a", Remove())
    assert await backend.deliver(QUEUE) == 1
    assert (await backend.status("letters")).counts[JobState.WAITING] == 2
    await backend.close()
