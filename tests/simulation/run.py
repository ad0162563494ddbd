"""Thousands of seeds on all cores: python -m tests.simulation.run --first 0 --seeds 5000."""

import argparse
import gc
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache

import structlog

from tests.simulation.seed_run import run_seed
from tests.simulation.simulation import plan_of
from tests.simulation.store import Memory
from tests.simulation.watcher import Violation

SHARE = 25
"""Seeds that a process takes at once."""


@dataclass
class Tally:
    """The results of some seeds."""

    broken: list[str] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)
    attention: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Count `other` in."""
        self.broken += other.broken
        self.phases += other.phases
        self.attention += other.attention
        self.faults += other.faults


def play_seeds(seeds: Sequence[int]) -> Tally:
    """Play `seeds`, one after another."""
    memory, tally = _memory(), Tally()
    for seed in seeds:
        try:
            result = run_seed(plan_of(seed), memory)
        except Violation as violation:
            tally.broken.append(str(violation))
            continue
        tally.phases += result.phases
        tally.attention += result.attention
        tally.faults += result.faults
    return tally


@cache
def _memory() -> Memory:
    """The one of this process: its statements are compiled once."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    memory = Memory()
    gc.freeze()  # what exists now stays: the collector need not scan it
    return memory


def main() -> int:
    """0 if no seed broke anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    last, begun, total = arguments.first + arguments.seeds, time.monotonic(), Tally()
    shares = [range(first, min(first + SHARE, last)) for first in range(arguments.first, last, SHARE)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        for share, tally in zip(shares, pool.map(play_seeds, shares), strict=True):
            print(f"\r{share[-1] + 1 - arguments.first} played", end="", file=sys.stderr, flush=True)
            print(*tally.broken, sep="\n\n", end="\n\n" if tally.broken else "", flush=True)
            total.add(tally)
    took_s = time.monotonic() - begun
    rate = 60 * arguments.seeds / took_s
    print(f"{arguments.seeds} seeds in {took_s:.1f} s ({rate:.0f} a minute), {len(total.broken)} broken")
    for name, counts in (("phases", total.phases), ("attention", total.attention), ("faults", total.faults)):
        print(name, *(f"{kind}: {number}" for kind, number in sorted(counts.items())), sep="\n  ")
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
