"""Why a run failed: each cause is one kind of failure, and each kind has its sentence."""

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType  # noqa: A004 - the SDK's

from stigmer_cli.runner.contract import SENTENCES, FailureKind
from stigmer_cli.runner.workflow import kind_of


def failed_with(cause: BaseException) -> ActivityError:
    error = ActivityError(
        "x",
        scheduled_event_id=1,
        started_event_id=2,
        identity="i",
        activity_type="perform",
        activity_id="1",
        retry_state=None,
    )
    error.__cause__ = cause
    return error


KINDS: list[tuple[BaseException, FailureKind]] = [
    (TimeoutError("x", type=TimeoutType.HEARTBEAT, last_heartbeat_details=[]), FailureKind.RUNNER_LOST),
    (TimeoutError("x", type=TimeoutType.START_TO_CLOSE, last_heartbeat_details=[]), FailureKind.ATTEMPT_TOO_LONG),
    (TimeoutError("x", type=TimeoutType.SCHEDULE_TO_CLOSE, last_heartbeat_details=[]), FailureKind.TIMED_OUT),
    (ApplicationError("x", type="runner-stopped"), FailureKind.RUNNER_STOPPED),
    (ApplicationError("x", type="model-interrupted"), FailureKind.MODEL_INTERRUPTED),
    (ApplicationError("x", type="somebody-elses"), FailureKind.UNEXPECTED),
    (ValueError("x"), FailureKind.UNEXPECTED),
]


@pytest.mark.parametrize(("cause", "kind"), KINDS)
def test_each_way_to_fail_is_one_kind(cause: BaseException, kind: FailureKind) -> None:
    assert kind_of(failed_with(cause)) is kind


def test_every_kind_has_a_sentence() -> None:
    assert set(SENTENCES) == set(FailureKind)
