"""What a failed submit means for the execution."""

import random

import pytest

from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.errors import OperationFailed, StigmerError, TemporalUnavailable
from stigmer_cli.executions.submit_failure import CountFailure, WaitAgain, decide_on_failure
from stigmer_cli.temporal.errors import Misconfigured, SubmitRejected, Throttled
from tests.support.execution_rows import row
from tests.support.fakes import START


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TemporalUnavailable("connection refused"), QueueReason.TEMPORAL_UNREACHABLE),
        (Misconfigured("no namespace"), QueueReason.TEMPORAL_MISCONFIGURED),
        (Throttled("slow down"), QueueReason.TEMPORAL_BUSY),
    ],
)
def test_what_is_no_fault_of_the_execution_does_not_count(error: StigmerError, reason: QueueReason) -> None:
    decided = decide_on_failure(error, row(), now=START, rng=random.Random(1))
    assert isinstance(decided, WaitAgain)
    assert decided.reason is reason


def test_a_request_that_will_be_refused_for_ever_needs_a_person_at_once() -> None:
    decided = decide_on_failure(SubmitRejected("too large"), row(), now=START, rng=random.Random(1))
    assert isinstance(decided, CountFailure)
    assert decided.failures_max == 1


def test_any_other_failure_is_tried_five_times_with_growing_waits() -> None:
    rng = random.Random(1)
    longest = []
    for attempts in range(5):
        waits = [
            (decided.next_try_at - START).total_seconds()
            for decided in (
                decide_on_failure(OperationFailed("?"), row(attempts=attempts), now=START, rng=rng) for _ in range(300)
            )
            if isinstance(decided, CountFailure)
        ]
        assert len(waits) == 300
        longest.append(round(max(waits), 1))
    assert longest == [0.5, 1.0, 2.0, 4.0, 8.0]
