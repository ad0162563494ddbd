"""What a failed submit means for the execution: a pure decision that the dispatcher carries out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from stigmer_cli.backoff import Backoff
from stigmer_cli.domain.execution import NEXT_TRY_MAX_S, Execution, QueueReason
from stigmer_cli.errors import StigmerError, TemporalUnavailable
from stigmer_cli.temporal.errors import Misconfigured, SubmitRejected, Throttled

FAILURES_MAX = 5
"""Failed submits that are no connection error before a person has to look."""

RETRY = Backoff(initial_s=0.5, factor=2.0, cap_s=NEXT_TRY_MAX_S)


@dataclass(frozen=True, kw_only=True)
class WaitAgain:
    """No fault of the execution: it stays queued and keeps its tries."""

    reason: QueueReason
    next_try_at: datetime


@dataclass(frozen=True, kw_only=True)
class CountFailure:
    """The try counts; with the last of `failures_max` the execution is marked for attention."""

    next_try_at: datetime
    failures_max: int


FailureDecision = WaitAgain | CountFailure


def decide_on_failure(error: StigmerError, execution: Execution, *, now: datetime, rng: Random) -> FailureDecision:
    """What `error`, met while submitting `execution`, means for it."""
    failures = execution.dispatch.attempts + 1
    later = now + timedelta(seconds=RETRY.delay_s(failures, rng))
    match error:
        case Misconfigured():
            return WaitAgain(reason=QueueReason.TEMPORAL_MISCONFIGURED, next_try_at=now)
        case Throttled():
            return WaitAgain(reason=QueueReason.TEMPORAL_BUSY, next_try_at=later)
        case TemporalUnavailable():
            return WaitAgain(reason=QueueReason.TEMPORAL_UNREACHABLE, next_try_at=now)
        case SubmitRejected(is_permanent=True):  # the same request will be refused for ever
            return CountFailure(next_try_at=later, failures_max=1)
        case _:
            return CountFailure(next_try_at=later, failures_max=FAILURES_MAX)
