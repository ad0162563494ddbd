"""When a busy model is asked again, and when no more."""

import random
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from stigmer_cli.runner.model.seam import ModelBusy
from stigmer_cli.runner.model_retry import BACKOFF, GiveUp, ModelRetry, TryAgain, Unanswered

RETRY = ModelRetry(for_s=900.0)
SINCE = datetime(2026, 5, 4, 12, 3, 10, tzinfo=UTC)
FIRST = Unanswered(failure=ModelBusy("no room"), tries=1, broken_off=0, since=None, busy_s=0.0)
LATER = replace(FIRST, tries=12, since=SINCE, busy_s=200.0)


def decide(unanswered: Unanswered, retry: ModelRetry = RETRY) -> TryAgain | GiveUp:
    return retry.decide(unanswered, random.Random(1))


def delay_s(unanswered: Unanswered, retry: ModelRetry = RETRY) -> float:
    decided = decide(unanswered, retry)
    assert isinstance(decided, TryAgain), decided
    return decided.delay_s


def sentence(unanswered: Unanswered, retry: ModelRetry = RETRY) -> str:
    decided = decide(unanswered, retry)
    assert isinstance(decided, GiveUp), decided
    return decided.sentence


def asking(retry_after_s: float, like: Unanswered = LATER) -> Unanswered:
    return replace(like, failure=ModelBusy("no room", wait_s=retry_after_s))


@given(tries=st.integers(min_value=1, max_value=10_000), seed=st.integers())
def test_delays_grow_to_half_a_minute_and_are_never_nothing(tries: int, seed: int) -> None:
    decided = RETRY.decide(replace(LATER, tries=tries), random.Random(seed))
    assert isinstance(decided, TryAgain)
    assert min(30.0, 2.0 ** min(tries - 1, 10)) / 2 <= decided.delay_s <= BACKOFF.cap_s == 30.0


def test_what_the_provider_asks_for_wins_over_the_schedule_and_spreads_a_herd() -> None:
    assert 120.0 <= delay_s(asking(120.0)) <= 132.0
    assert 1.0 <= delay_s(asking(1.0)) <= 1.1


def test_the_last_try_is_at_the_end_of_the_time() -> None:
    assert delay_s(replace(LATER, busy_s=895.0)) == 5.0
    assert sentence(replace(LATER, busy_s=900.0)) == (
        "no room; given up after 12 tries since 2026-05-04T12:03:10.000Z: STIGMER_MODEL_RETRY_FOR is 15m"
    )


def test_a_tool_server_may_be_away_for_a_minute() -> None:
    away = replace(LATER, is_tool_server=True)
    assert delay_s(replace(away, busy_s=57.0)) == 3.0
    assert sentence(replace(away, busy_s=60.0)).endswith(": it may be away for 1m")
    assert sentence(replace(away, busy_s=2.0), ModelRetry(for_s=2.0)).endswith(": STIGMER_MODEL_RETRY_FOR is 2s")


def test_the_executions_own_time_out_leaves_time_for_the_last_try() -> None:
    assert delay_s(replace(LATER, time_left_s=10.0)) == 8.0
    assert sentence(replace(LATER, time_left_s=1.5)).endswith(": the execution's own time-out leaves no more")


def test_a_provider_that_asks_for_longer_than_there_is_time_is_not_waited_for() -> None:
    assert sentence(asking(3600.0)).endswith(": it asks to wait for 1h, and STIGMER_MODEL_RETRY_FOR is 15m")
    assert sentence(replace(asking(60.0), time_left_s=30.0)).endswith("the execution's own time-out leaves no more")


def test_nothing_is_asked_again_where_the_setting_is_nothing() -> None:
    assert sentence(FIRST, ModelRetry(for_s=0.0)) == "no room; given up after 1 try: STIGMER_MODEL_RETRY_FOR is 0s"


def test_an_answer_may_break_off_four_times() -> None:
    assert delay_s(replace(FIRST, broken_off=4)) > 0
    assert sentence(replace(FIRST, tries=5, broken_off=5)).endswith(
        "given up after 5 tries: it broke off in 5 tries, which is as often as it may"
    )
