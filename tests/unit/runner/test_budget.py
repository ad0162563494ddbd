"""What an execution may still use."""

import pytest

from stigmer_cli.api.agent_tools import LimitsBody
from stigmer_cli.api.usage import UsageBody, UsedBody
from stigmer_cli.runner.agent.budget import TURNS_MAX, Budget, LimitReached
from tests.support.fakes import ManualClock


def budget(limits: dict[str, float], **used: float) -> tuple[Budget, ManualClock]:
    clock = ManualClock()
    body = UsedBody.model_validate({"model": "m", "cost": 0.0, **used})
    return Budget(LimitsBody.model_validate(limits), body, clock=clock), clock


def turn(one: Budget, tokens: int = 0, cost: float | None = 0.0) -> None:
    one.admit_turn()
    one.count(UsageBody(model="m", input_tokens=tokens, cost=cost))


def test_the_turn_that_goes_beyond_a_limit_is_the_last_one() -> None:
    one, _ = budget({"tokens": 100}, inputTokens=40)
    turn(one, tokens=59)
    turn(one, tokens=500)
    with pytest.raises(LimitReached) as caught:
        one.admit_turn()
    assert (caught.value.name, caught.value.message) == (
        "tokens",
        "it has used 599 tokens, and its limit is 100 (spec.limits.tokens)",
    )


def test_calls_of_one_turn_are_counted_as_they_begin() -> None:
    one, _ = budget({"toolCalls": 2}, toolCalls=1)
    one.admit_call()
    with pytest.raises(LimitReached, match=r"wants more than 2 calls of tools, its limit \(spec.limits.toolCalls\)"):
        one.admit_call()


def test_time_counts_while_turns_and_calls_are_at_work_only() -> None:
    one, clock = budget({"seconds": 10}, seconds=4.0)
    clock.move(60.0)
    with one.measured():
        clock.move(5.5)
    one.admit_turn()
    with one.measured():
        clock.move(0.5)
    with pytest.raises(LimitReached, match=r"it has worked for 10s, and its limit is 10s \(spec.limits.seconds\)"):
        one.admit_call()


def test_money_is_a_limit_only_where_every_price_is_known() -> None:
    one, _ = budget({"money": 0.5}, cost=0.2)
    turn(one, cost=0.2)
    turn(one, cost=0.2)
    with pytest.raises(LimitReached, match=r"it has cost \$0.6000, and its limit is \$0.5 \(spec.limits.money\)"):
        one.admit_turn()
    other, _ = budget({"money": 0.5})
    turn(other, tokens=1, cost=None)
    with pytest.raises(LimitReached, match="the price of what it has used is not known, and only --limit money=none"):
        other.admit_turn()


def test_an_agent_that_says_nothing_has_a_limit_of_turns() -> None:
    one = Budget(None, None, clock=ManualClock())
    for _ in range(TURNS_MAX):
        turn(one, tokens=10**6, cost=None)
        one.admit_call()
    with pytest.raises(LimitReached, match=rf"after {TURNS_MAX} turns"):
        one.admit_turn()
