"""F22, the long form: ``python -m tests.model --sequences 2000 --steps 50 --seed 7``."""

from __future__ import annotations

import argparse
import secrets
import sys

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from tests.model.test_equivalence import Equivalence, settings_of
from tests.servers import server, valkey_binary

SEQUENCES, STEPS = 2_000, 50


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--sequences", type=int, default=SEQUENCES, help=f"how many ({SEQUENCES})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"operations in each, at the most ({STEPS})")
    parser.add_argument("--seed", type=int, help="the same sequences again; drawn, and printed, without it")
    given = parser.parse_args()
    seed = secrets.randbelow(2**32) if given.seed is None else given.seed
    if not same(seed, given.sequences, given.steps):
        raise SystemExit(1)


def same(seed: int, sequences: int, steps: int = STEPS) -> bool:
    """Play so many sequences on memory and on a server, and say how it went. The shortest one that shows a difference
    is printed, and kept in ``.hypothesis`` so that the next run begins with it.
    """

    class Seeded(Equivalence):
        """A machine of its own, whose choices come from the seed."""

    hypothesis.seed(seed)(Seeded)
    with server(valkey_binary()) as url:
        Seeded.url = url
        try:
            run_state_machine_as_test(Seeded, settings=settings_of(sequences, steps, derandomized=False))
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this seed's
            print(f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
            again = f"python -m tests.model --seed {seed} --sequences {sequences} --steps {steps}"
            print(f"F22 seed {seed}: NOT THE SAME; see above, and: {again}", flush=True)
            return False
    print(f"F22 seed {seed}: {sequences} sequences of up to {steps} operations, memory and server the same", flush=True)
    return True


if __name__ == "__main__":
    main()
