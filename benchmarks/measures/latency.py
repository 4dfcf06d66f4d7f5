"""How long a job waits for a worker that has time for it, for its due time, and for its result to come back."""

from __future__ import annotations

from benchmarks.measures.trial import Arena, Figure, Trial, percentile
from benchmarks.program import Program

_SAMPLES = 100
_CONCURRENCY = 10
_SPREAD_SECONDS = 2.0


def _both(name: str, samples: list[float]) -> dict[str, float]:
    return {f"{name}-p50": percentile(samples, 0.5), f"{name}-p99": percentile(samples, 0.99)}


def _figures(name: str, title: str) -> tuple[Figure, ...]:
    return tuple(Figure(f"{name}-{p}", f"{title}, {p}", "ms", "lower", 2) for p in ("p50", "p99"))


def _idle(arena: Arena, program: Program) -> dict[str, float]:
    common = arena.common(program, _SAMPLES, concurrency=_CONCURRENCY)
    return _both("pickup", program.ask("pickup", **common)["samples"])


def _loaded(arena: Arena, program: Program) -> dict[str, float]:
    # Half of what this contestant can do with ten slots, and of what its producer can add.
    name = program.entry.name
    speeds = [arena.speeds.get((name, figure), 200.0) for figure in ("process-10", "enqueue-100")]
    rate = min(2000.0, min(speeds) / 2)
    count = int(max(50, rate * 2))
    common = arena.common(program, count, concurrency=_CONCURRENCY, rate=rate)
    return _both("loaded", program.ask("pickup", **common)["samples"])


def _result(arena: Arena, program: Program) -> dict[str, float]:
    common = arena.common(program, _SAMPLES, concurrency=_CONCURRENCY, needs=["result"])
    return _both("result", program.ask("result", **common)["samples"])


def _delayed(arena: Arena, program: Program) -> dict[str, float]:
    common = arena.common(
        program, 2 * _SAMPLES, concurrency=_CONCURRENCY, lead=0.5, window=_SPREAD_SECONDS, needs=["delay"]
    )
    return _both("late", program.ask("lateness", **common)["samples"])


TRIALS = (
    Trial("pickup", _figures("pickup", "pick-up by an idle worker"), _idle),
    Trial("loaded", _figures("loaded", "pick-up at half load"), _loaded),
    Trial("result", _figures("result", "enqueue to result"), _result),
    Trial("late", _figures("late", "lateness of delayed jobs"), _delayed),
    Trial(
        "network-pickup",
        _figures("network-pickup", "pick-up by an idle worker, 2 ms round trip"),
        lambda arena, program: {f"network-{name}": value for name, value in _idle(arena, program).items()},
        through_proxy=True,
    ),
)
