"""How fast jobs are taken in: one at a time, by a hundred callers, in bulk; and what a waiting job weighs."""

from __future__ import annotations

from benchmarks.measures.trial import Arena, Figure, Trial
from benchmarks.program import ContestantFailed, Program

_WEIGHED = 10_000


def _enqueue(figure: str, mode: str, pilot: int) -> Trial:
    def run(arena: Arena, program: Program) -> dict[str, float]:
        count = arena.size(program, figure, pilot)
        before = arena.server.usage()
        done = program.ask("enqueue", **arena.common(program, count, mode=mode, callers=100, bulk=arena.bulk))
        after = arena.server.usage()
        undone = program.ask("records")["undone"]
        if undone != count:
            raise ContestantFailed(f"{count} jobs were enqueued, {undone} are on the server")
        speed = count / done["seconds"]
        arena.saw(program, figure, speed)
        return {figure: speed, f"{figure}-cpu": (after.cpu - before.cpu) * 1e6 / count}

    titles = {"single": "enqueue, one at a time", "concurrent": "enqueue, 100 callers", "bulk": "enqueue in bulk"}
    return Trial(
        figure,
        (
            Figure(figure, titles[mode], "jobs/s"),
            Figure(f"{figure}-cpu", f"{titles[mode]}: server CPU", "µs/job", "lower", 1),
        ),
        run,
    )


def _weigh(arena: Arena, program: Program) -> dict[str, float]:
    before = arena.server.usage().memory
    filled = program.ask("fill", **arena.common(program, _WEIGHED, budget=60))["count"]
    return {"bytes": (arena.server.usage().memory - before) / filled}


TRIALS = (
    _enqueue("enqueue-single", "single", 500),
    _enqueue("enqueue-100", "concurrent", 2000),
    _enqueue("enqueue-bulk", "bulk", 5000),
    Trial("bytes", (Figure("bytes", "server memory of a waiting job", "bytes", "lower"),), _weigh, once=True),
)
