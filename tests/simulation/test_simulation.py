"""Many short runs of the whole core in virtual time: nothing is lost, nothing runs twice, nothing waits for ever.

A seed that fails prints its own command. Thousands of seeds: python -m tests.simulation.run --seeds 5000
"""

from collections import Counter

import pytest

from tests.simulation.nemesis import FAULTS, FORGETTING
from tests.simulation.seed_run import run_seed
from tests.simulation.simulation import plan_of
from tests.simulation.store import Memory

BATCH = 15
BATCHES = 12


@pytest.mark.parametrize("first", range(0, BATCH * BATCHES, BATCH))
def test_no_seed_loses_an_execution_or_runs_it_twice_or_leaves_it_stuck(memory: Memory, first: int) -> None:
    phases: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        result = run_seed(plan_of(seed), memory)
        phases += result.phases
        faults += result.faults
    assert phases["COMPLETED"] > 0.7 * phases.total(), "faults that end everything prove nothing"
    assert len(faults) > 0.7 * len(FAULTS | FORGETTING)


def test_a_seed_plays_the_same_twice(memory: Memory) -> None:
    once, again = run_seed(plan_of(4), memory), run_seed(plan_of(4), memory)
    assert (once.phases, once.effects, once.calls) == (again.phases, again.effects, again.calls)
