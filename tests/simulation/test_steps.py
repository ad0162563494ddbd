"""Executions of steps in virtual time: no `once` effect twice, none lost, and nothing waits in vain."""

from collections import Counter

import pytest

from tests.simulation.seed_run import run_seed
from tests.simulation.simulation import Plan
from tests.simulation.store import Memory

FIRST, BATCH, BATCHES = 50_000, 10, 4


@pytest.mark.parametrize("first", range(FIRST, FIRST + BATCH * BATCHES, BATCH))
def test_steps_are_performed_as_often_as_their_effects_allow(memory: Memory, first: int) -> None:
    phases: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        plan = Plan(seed=seed, executions=8, within_s=4.0, faults=8, runners=4)
        result = run_seed(plan, memory)
        phases += result.phases
    assert phases["COMPLETED"] > 0.6 * phases.total(), "what never completes proves nothing"
