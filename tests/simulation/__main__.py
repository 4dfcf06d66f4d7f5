"""``python -m tests.simulation --seeds 10000``, or ``--seed 7`` to see one history."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys

from tests.simulation.world import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many histories (10 000)")
    parser.add_argument("--first", type=int, help="the first seed; drawn, and printed, without it")
    parser.add_argument("--seed", type=int, help="this history alone, told line by line")
    parser.add_argument("--limited", action="store_true", help="with groups and limits")
    given = parser.parse_args()
    if given.seed is not None:
        world = World(given.seed, limited=given.limited)
        try:
            world.run()
        finally:
            print("\n".join(world.trace))
        return
    first = secrets.randbelow(2**32) if given.first is None else given.first
    failed = broken(first, given.seeds, limited=given.limited)
    if failed:
        how = " --limited" if given.limited else ""
        raise SystemExit(f"look at one with: python -m tests.simulation{how} --seed {failed[0]}")


def broken(first: int, count: int, *, limited: bool = False) -> list[int]:
    """Run so many histories and say how it went; returns the seeds of those that broke a promise."""
    logging.disable(logging.CRITICAL)
    failed: list[int] = []
    runs = 0
    for seed in range(first, first + count):
        world = World(seed, limited=limited)
        try:
            world.run()
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this seed's
            failed.append(seed)
            print(f"seed {seed}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        runs += len(world.trace)
    print(
        f"F23 {count} histories from seed {first}, {runs} things that happened: {len(failed)} broke a promise",
        flush=True,
    )
    return failed


if __name__ == "__main__":
    main()
