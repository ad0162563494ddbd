"""What is tried again, how soon, and what never is."""

import random

import pytest

from stigmer_cli.cli.retry import RETRY_MIN_S, RetryPolicy
from stigmer_cli.errors import (
    Conflict,
    MachineError,
    NotFound,
    OperationFailed,
    Refused,
    RequestError,
    ServerBusy,
    ServerUnavailable,
    StigmerError,
    StoreBusy,
    TemporalUnavailable,
    TooLarge,
    Unavailable,
)

RNG = random.Random(0)


def delay_s(error: StigmerError, *, tries: int = 1, left_s: float = RETRY_MIN_S) -> float | None:
    return RetryPolicy().delay_s(error, tries=tries, left_s=left_s, rng=RNG)


@pytest.mark.parametrize(
    "error",
    [
        ServerUnavailable("refused", retry_after_s=0.0),
        ServerUnavailable("502"),
        StoreBusy("held"),
        Unavailable("PostgreSQL is starting up"),
    ],
)
def test_what_passes_is_tried_again(error: StigmerError) -> None:
    assert delay_s(error) is not None


@pytest.mark.parametrize(
    "error",
    [
        RequestError("wrong"),
        TooLarge("large"),
        NotFound("none"),
        Conflict("key"),
        Refused("token"),
        MachineError("disk full"),
        OperationFailed("500"),
        TemporalUnavailable("fail-fast"),
    ],
)
def test_what_stays_or_was_refused_on_purpose_is_not(error: StigmerError) -> None:
    assert delay_s(error) is None


def test_the_first_tries_come_fast_and_the_later_ones_a_second_apart_at_the_most() -> None:
    error = ServerUnavailable("refused", retry_after_s=0.0)
    delays = [max(delay_s(error, tries=tries) or 0.0 for _ in range(200)) for tries in (1, 2, 5, 50)]
    assert delays[0] <= 0.1
    assert delays == sorted(delays)
    assert 0.5 < delays[-1] <= 1.0


def test_the_server_says_when_to_come_back_and_is_kept_to() -> None:
    assert (delay_s(StoreBusy("held", retry_after_s=5.0)) or 0.0) >= 5.0
    assert delay_s(StoreBusy("held", retry_after_s=20.0)) is None, "that is after the end"


def test_those_who_were_refused_together_come_again_one_after_the_other_and_in_time() -> None:
    delays = [delay_s(ServerBusy("busy", retry_after_s=8.0)) or 0.0 for _ in range(200)]
    assert 8.0 <= min(delays) < 8.2
    assert 9.8 < max(delays) <= 10.0
    late = [delay_s(ServerBusy("busy", retry_after_s=13.0)) or 0.0 for _ in range(200)]
    assert 13.0 <= min(late) <= max(late) <= RETRY_MIN_S - 1.0, "the last try has a second"
    assert delay_s(ServerBusy("busy", retry_after_s=14.5)) == 14.5
