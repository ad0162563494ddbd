"""What a step counts for in the sum of its execution."""

import pytest

from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.step import StepKind, StepState
from stigmer_cli.store.step_rows import StepEnd, count_step

COUNTED = TokenUsage(model="openai:gpt-5-mini", input_tokens=3, cost=0.25)


@pytest.mark.parametrize(
    ("name", "end", "cost"),
    [
        ("openai:gpt-5-mini", StepEnd(state=StepState.FAILED, error="401"), 0.0),
        ("openai:gpt-5-mini", StepEnd(state=StepState.FAILED, error="odd", usage=COUNTED), 0.25),
        ("openai:gpt-5-mini", StepEnd(state=StepState.DONE, result="{}"), None),
        ("echo", StepEnd(state=StepState.DONE, result="{}"), 0.0),
    ],
    ids=["refused", "failed and counted", "answered and not counted", "not hosted"],
)
def test_only_an_answer_that_was_not_counted_has_a_price_that_nobody_knows(
    name: str, end: StepEnd, cost: float | None
) -> None:
    used = count_step(StepKind.TURN, name, end)
    assert (used.cost, used.turns) == (cost, 1)
