"""What a worker without work asks of the server."""

from __future__ import annotations

import time

from benchmarks.measures.trial import Arena, Figure, Trial
from benchmarks.program import Program

_SETTLE, _WATCH = 2.0, 60.0


def _idle(arena: Arena, program: Program) -> dict[str, float]:
    program.ask("start", concurrency=10)
    time.sleep(_SETTLE)
    before = arena.server.usage()
    time.sleep(_WATCH)
    after = arena.server.usage()
    program.ask("stop")
    # One of the commands is the harness's own look.
    return {"idle": (after.commands - before.commands - 1) * 60 / _WATCH}


TRIALS = (Trial("idle", (Figure("idle", "an idle worker", "commands/min", "lower"),), _idle, once=True),)
