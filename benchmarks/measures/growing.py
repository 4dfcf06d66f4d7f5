"""What a long queue costs: speed, latency and memory with up to a million jobs waiting, delayed, or failed and kept."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from benchmarks.measures.trial import Arena, Figure, Trial, percentile
from benchmarks.program import ContestantFailed, Program, Unsupported

_SMALL, _MIDDLE, _LARGE = 1_000, 100_000, 1_000_000
_BUDGET = 240.0
_REPEATS = 7


def _fill(arena: Arena, program: Program, count: int, **params: object) -> int:
    """Fill and return the first number. Raises Unsupported where it takes too long to be worth it."""
    common = arena.common(program, count, budget=_BUDGET, **params)
    filled = program.ask("fill", **common)
    if filled["count"] != count:
        raise Unsupported(f"only {filled['count']} of {count} jobs could be enqueued within {_BUDGET:.0f} s")
    return int(str(common["first"]))


def _work_off(arena: Arena, program: Program, first: int, backlog: int, count: int) -> float:
    common = {"first": first, "count": count, "total": backlog, "payload_bytes": arena.payload_bytes}
    done = program.ask("process", **common, concurrency=100)
    if done["twice"] or done["ran"] != done["recorded"]:
        raise ContestantFailed(f"{done['ran']} ran, {done['recorded']} were recorded, {done['twice']} ran twice")
    return float(done["jobs"]) / float(done["seconds"])


def _backlog(count: int, name: str) -> Callable[[Arena, Program], dict[str, float]]:
    def run(arena: Arena, program: Program) -> dict[str, float]:
        if count == _SMALL:
            speeds: list[float] = []
            for _ in range(_REPEATS):
                speeds.append(_work_off(arena, program, _fill(arena, program, count), count, 900))
                arena.server.empty_keys()
                program.ask("reopen")
            return {f"backlog-{name}": median(speeds)}
        first = _fill(arena, program, count)
        speed = arena.speeds.get((program.entry.name, "process-100"), 2000.0)
        share = int(min(count * 0.8, max(2000, speed * arena.seconds)))
        # A program of its own, so that its memory is the worker's and not what enqueueing left behind.
        with arena.second(program) as worker:
            found = {f"backlog-{name}": _work_off(arena, worker, first, count, share)}
            if count == _LARGE:
                found["resident"] = worker.peak_resident_bytes / 2**20
        return found

    return run


def _beside(name: str, count: int, **params: object) -> Callable[[Arena, Program], dict[str, float]]:
    """Speed and pick-up latency while many other jobs lie there."""

    def run(arena: Arena, program: Program) -> dict[str, float]:
        first = _fill(arena, program, count, **params)
        if params.get("kind") == "broken":
            common = {"first": first, "count": count, "payload_bytes": arena.payload_bytes}
            program.ask("process", **common, concurrency=100, kind="broken")
        speed = arena.speeds.get((program.entry.name, "process-100"), 2000.0)
        share = int(max(1000, min(20_000, speed * arena.seconds)))
        speed = _work_off(arena, program, _fill(arena, program, share), share, int(share * 0.85))
        samples = program.ask("pickup", **arena.common(program, 50, concurrency=10))["samples"]
        return {f"{name}": speed, f"{name}-pickup": percentile(samples, 0.5)}

    return run


def _beside_trial(name: str, title: str, count: int, **params: object) -> Trial:
    figures = (
        Figure(name, f"no-op, concurrency 100, {title}", "jobs/s"),
        Figure(f"{name}-pickup", f"pick-up by an idle worker, {title}, p50", "ms", "lower", 2),
    )
    return Trial(name, figures, _beside(name, count, **params), once=True)


_RESIDENT: dict[str, tuple[Figure, ...]] = {
    "1k": (),
    "100k": (),
    "1M": (Figure("resident", "the worker's memory at 1M waiting", "MiB", "lower"),),
}

TRIALS = (
    *(
        Trial(
            f"backlog-{name}",
            (Figure(f"backlog-{name}", f"no-op, concurrency 100, {name} waiting", "jobs/s"), *_RESIDENT[name]),
            _backlog(count, name),
            once=count > _SMALL,
        )
        for name, count in (("1k", _SMALL), ("100k", _MIDDLE), ("1M", _LARGE))
    ),
    _beside_trial("delayed-1M", "1 000 000 delayed", _LARGE, lead=86_400, needs=["delay"]),
    _beside_trial("failed-100k", "100 000 failed and kept", _MIDDLE, kind="broken"),
)
