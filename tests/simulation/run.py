"""Thousands of seeds by hand: python -m tests.simulation.run --first 0 --seeds 5000."""

import argparse
import sys
import time
from collections import Counter

import structlog

from tests.simulation.store import memory_engine
from tests.simulation.world import Violation, plan_of, play


def main() -> int:
    """0 if no seed broke anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1000)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    engine, bad, begun = memory_engine(), 0, time.monotonic()
    phases: Counter[str] = Counter()
    attention: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        try:
            result = play(plan_of(seed), engine)
        except Violation as violation:
            bad += 1
            print(violation, "\n")
            continue
        phases += result.phases
        attention += result.attention
        faults += result.faults
    engine.dispose()
    took_s = time.monotonic() - begun
    print(f"{arguments.seeds} seeds in {took_s:.1f} s, {bad} broken")
    for name, counts in (("phases", phases), ("attention", attention), ("faults", faults)):
        print(name, *(f"{kind}: {number}" for kind, number in sorted(counts.items())), sep="\n  ")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
