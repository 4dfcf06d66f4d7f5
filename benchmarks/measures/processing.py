"""How fast jobs are worked off, and what one costs the server."""

from __future__ import annotations

from benchmarks.measures.trial import Arena, Figure, Trial, judge, per_job
from benchmarks.program import ContestantFailed, Program

_IO_SECONDS = 0.01


def _process(figure: str, title: str, concurrency: int, pilot: int, **params: object) -> Trial:
    through_proxy = figure.startswith("network")
    kind = params.get("kind", "noop")

    def run(arena: Arena, program: Program) -> dict[str, float]:
        most = concurrency * 400 if kind == "io" else 100_000
        count = arena.size(program, figure, pilot, most=most)
        common = arena.common(program, count, **params)
        filled = program.ask("fill", **common)["count"]
        if filled != count:
            raise ContestantFailed(f"only {filled} of {count} jobs were enqueued in time")
        before = arena.server.usage()
        done = program.ask("process", **common, concurrency=concurrency)
        after = arena.server.usage()
        judge(program, done, count)
        speed = count / done["seconds"]
        arena.saw(program, figure, speed)
        cpu, commands = per_job(before, after, count, done["polls"])
        if kind == "io":
            bare = count / program.ask("bare", count=count, concurrency=concurrency)["seconds"]
            return {figure: 100 * speed * _IO_SECONDS / concurrency, f"{figure}-bare": 100 * speed / bare}
        found = {figure: speed, f"{figure}-cpu": cpu, f"{figure}-commands": commands}
        if "ranks" in done:
            ranks = list(done["ranks"])
            if ranks != sorted(ranks):
                raise ContestantFailed(f"urgent jobs did not come first: mean places by priority {ranks}")
        return found

    if kind == "io":
        figures: tuple[Figure, ...] = (
            Figure(figure, title, "% of concurrency / 10 ms", "higher", 1),
            Figure(f"{figure}-bare", title, "% of the bare event loop", "higher", 1),
        )
    else:
        figures = (
            Figure(figure, title, "jobs/s"),
            Figure(f"{figure}-cpu", f"{title}: server CPU", "µs/job", "lower", 1),
            Figure(f"{figure}-commands", f"{title}: commands", "commands/job", "lower", 2),
        )
    return Trial(figure, figures, run, through_proxy=through_proxy, without_server=figure == "process-100")


TRIALS = (
    _process("process-1", "no-op, concurrency 1", 1, 300),
    _process("process-10", "no-op, concurrency 10", 10, 1500),
    _process("process-100", "no-op, concurrency 100", 100, 3000),
    _process("process-500", "no-op, concurrency 500", 500, 5000),
    _process("io-10", "10 ms of I/O, concurrency 10", 10, 400, kind="io"),
    _process("io-100", "10 ms of I/O, concurrency 100", 100, 2000, kind="io"),
    _process("retries", "half the jobs fail once, concurrency 100", 100, 2000, kind="flaky"),
    _process("priorities", "four priorities, concurrency 100", 100, 2000, level=True, needs=["priority"]),
    _process("processes-2", "no-op, 2 processes of 100", 100, 3000, processes=2),
    _process("processes-4", "no-op, 4 processes of 100", 100, 3000, processes=4),
    _process("network-10", "no-op, concurrency 10, 2 ms round trip", 10, 1000),
    _process("network-100", "no-op, concurrency 100, 2 ms round trip", 100, 2000),
)
