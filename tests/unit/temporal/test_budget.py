"""Retries stay a small share of the calls."""

from stigmer_cli.temporal.budget import RetryBudget


def test_a_quiet_server_may_retry_a_few_times_at_once() -> None:
    budget = RetryBudget()
    budget.record_call()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]


def test_in_a_long_outage_retries_are_a_tenth_of_the_calls_beside_the_reserve() -> None:
    budget = RetryBudget()
    retries = 0
    for _ in range(10_000):
        budget.record_call()
        retries += budget.spend()
        retries += budget.spend()
    assert 1_000 <= retries <= 1_010


def test_calls_that_need_no_retry_save_up_no_more_than_the_reserve() -> None:
    budget = RetryBudget()
    for _ in range(10_000):
        budget.record_call()
    assert sum(budget.spend() for _ in range(100)) == 10
