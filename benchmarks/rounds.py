"""Rounds: every trial with every contestant, one after the other, in a changing order, on a server just emptied."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.environments import Unavailable, prepare
from benchmarks.measures.trial import Arena, Trial
from benchmarks.program import ContestantFailed, Program, Unsupported
from benchmarks.proxy import ProxyProcess
from benchmarks.roster import Entry

Say = Callable[[str], None]
_FORGIVEN = 1


@dataclass(slots=True)
class Outcome:
    """All that was found out. Values are by figure, contestant and round."""

    values: dict[str, dict[str, dict[int, float]]] = field(default_factory=dict[str, dict[str, dict[int, float]]])
    footnotes: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """Why a contestant has no value, by trial and contestant."""
    failures: dict[tuple[str, str], list[str]] = field(default_factory=dict[tuple[str, str], list[str]])
    """Why runs broke, one reason a run, by trial and contestant."""
    facts: dict[str, dict[str, object]] = field(default_factory=dict[str, dict[str, object]])
    """Versions, settings and notes, by contestant."""
    absent: dict[str, str] = field(default_factory=dict[str, str])
    round_trip_ms: float | None = None
    """What a PING through the delaying proxy took."""

    def add(self, contestant: str, number: int, values: dict[str, float]) -> None:
        """Put down what one run of a trial gave."""
        for figure, value in values.items():
            self.values.setdefault(figure, {}).setdefault(contestant, {})[number] = value

    def fail(self, trial: str, entry: Entry, why: str) -> None:
        """A run broke. A rival's first may be bad luck, and its other rounds count; one of ours is never forgiven."""
        reasons = self.failures.setdefault((trial, entry.name), [])
        reasons.append(why)
        if not entry.rival:
            self.footnotes[trial, entry.name] = f"failed: {why}"
        elif len(reasons) > _FORGIVEN:
            self.footnotes[trial, entry.name] = f"failed twice, the second time: {why}"

    def note(self, trial: str, contestant: str) -> str | None:
        """What a reader has to know of a contestant in this trial, beside its figures or instead of them."""
        place = (trial, contestant)
        if place in self.footnotes:
            return self.footnotes[place]
        if place in self.failures:
            return f"one run failed and does not count: {self.failures[place][0]}"
        return None


def play(arena: Arena, entries: Sequence[Entry], trials: Sequence[Trial], rounds: int, say: Say) -> Outcome:
    """``rounds`` rounds that count, after a short one that only finds out speeds and warms every program up."""
    outcome = Outcome()
    commands: dict[str, list[str]] = {}
    for entry in entries:
        say(f"preparing {entry.name}")
        try:
            commands[entry.name] = prepare(entry)
        except Unavailable as why:
            outcome.absent[entry.name] = str(why)
            say(f"SKIPPED {entry.name}: {why}")
    present = [entry for entry in entries if entry.name in commands]
    with ExitStack() as stack:
        proxy = None
        if any(trial.through_proxy for trial in trials):
            proxy = stack.enter_context(ProxyProcess(arena.server.port))
            outcome.round_trip_ms = proxy.round_trip() * 1000
        programs: dict[tuple[str, bool], Program] = {}
        for number in range(rounds + 1):
            for trial in trials:
                if trial.once and number != 1:
                    continue
                order = [entry for entry in present if _takes_part(entry, trial)]
                random.Random(f"{number} {trial.name}").shuffle(order)
                for entry in order:
                    key = (entry.name, trial.through_proxy)
                    found: dict[str, float] | None = None
                    # In the warm-up, first a run of a size that suits the slowest, then one of the size that counts.
                    for _ in range(2 if number == 0 and not trial.once else 1):
                        if key not in programs:
                            # It connects as it starts; a million jobs of the one before keep the server for seconds.
                            arena.server.empty_keys()
                            url = proxy.url if proxy and trial.through_proxy else arena.server.url
                            made = Program(entry, commands[entry.name], url=url, direct_url=arena.server.url)
                            programs[key] = stack.enter_context(made)
                        found = _one(arena, programs[key], trial, outcome)
                        if found is None or programs[key].used_up:
                            # A program that broke may be in any state, and its worker may still take jobs: it is
                            # ended here, and the next run begins with a new one.
                            programs.pop(key).__exit__(None, None, None)
                    if found and number:
                        outcome.add(entry.name, number, found)
                    label = "warm-up" if number == 0 else f"round {number}/{rounds}"
                    shown = outcome.footnotes.get((trial.name, entry.name), "failed") if not found else _shown(found)
                    say(f"{label}  {trial.name:<14} {entry.name:<16} {shown}")
    return outcome


def _takes_part(entry: Entry, trial: Trial) -> bool:
    if entry.variant == "memory":
        return trial.without_server
    return not trial.only or entry.name in trial.only


def _one(arena: Arena, program: Program, trial: Trial, outcome: Outcome) -> dict[str, float] | None:
    """The figures of one run; empty if the contestant has no such ability, None if it broke."""
    place = (trial.name, program.entry.name)
    if place in outcome.footnotes:
        return {}
    arena.server.empty_keys()
    try:
        if program.entry.name not in outcome.facts:
            outcome.facts[program.entry.name] = program.ask("describe")
        with _connected(program):
            return trial.run(arena, program)
    except Unsupported as why:
        outcome.footnotes[place] = str(why)
        return {}
    except ContestantFailed as why:
        outcome.fail(trial.name, program.entry, str(why))
        return None


@contextmanager
def _connected(program: Program) -> Iterator[None]:
    program.ask("reopen")
    yield
    program.spent = program.ask("rest").get("spent", False)


def _shown(found: dict[str, float]) -> str:
    return "  ".join(f"{name}={value:,.2f}" for name, value in found.items())
