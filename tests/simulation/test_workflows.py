"""Executions of workflows in virtual time: known outputs, no `once` step twice, and each wait ends once, in time.

They wait for days, for events and for other executions, while Temporal forgets and servers and runners die.
"""

from collections import Counter
from dataclasses import replace

import pytest

from tests.simulation.seed_run import run_seed
from tests.simulation.simulation import Plan
from tests.simulation.store import Memory
from tests.simulation.workflow_documents import REFUSED, WORKFLOWS

FIRST, BATCH, BATCHES = 80_000, 10, 2
CALM_FIRST, CALM_SEEDS = 90_000, 5
EMPTIED_FIRST, EMPTIED_SEEDS = 95_000, 3
EMPTIED = "T7 temporal emptied"


def test_each_workflow_completes_and_leaves_nothing_open_where_nothing_fails(memory: Memory) -> None:
    completed: Counter[str] = Counter()
    for seed in range(CALM_FIRST, CALM_FIRST + CALM_SEEDS):
        plan = Plan(seed=seed, executions=14, within_s=6.0, faults=0, runners=3, workflows=1.0)
        result = run_seed(plan, memory)
        completed += result.completed
        assert not result.attention
    assert set(completed) >= WORKFLOWS.keys() - {REFUSED.name}


@pytest.mark.parametrize("first", range(FIRST, FIRST + BATCH * BATCHES, BATCH))
def test_workflows_give_their_output_and_wait_in_time_whatever_fails(memory: Memory, first: int) -> None:
    phases: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        servers, remembers = 2 if seed % 4 == 0 else 1, seed % 3 == 0
        plan = Plan(seed=seed, executions=6, within_s=6.0, runners=3, servers=servers, remembers=remembers)
        phases += run_seed(replace(plan, workflows=0.9), memory).phases
    assert phases["COMPLETED"] > 0.6 * phases.total(), "what never completes proves nothing"


def test_a_temporal_that_is_emptied_again_and_again_ends_no_workflow(memory: Memory) -> None:
    plan = Plan(
        seed=0, executions=12, within_s=6.0, faults=16, runners=3, workflows=1.0, kinds=(EMPTIED, "S3 server killed")
    )
    for seed in range(EMPTIED_FIRST, EMPTIED_FIRST + EMPTIED_SEEDS):
        result = run_seed(replace(plan, seed=seed), memory)
        assert result.faults[EMPTIED] >= 4
        assert set(result.failed) <= {REFUSED.name}


def test_a_seed_of_workflows_plays_the_same_twice(memory: Memory) -> None:
    plan = Plan(seed=80_001, executions=6, within_s=6.0, runners=3, workflows=0.9)
    once, again = run_seed(plan, memory), run_seed(plan, memory)
    assert (once.phases, once.effects, once.calls) == (again.phases, again.effects, again.calls)
