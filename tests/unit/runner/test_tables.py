"""The runner's small tables: when a worker is replaced, why a run failed."""

import dataclasses

import pytest
from temporalio.exceptions import ActivityError, ApplicationError, TimeoutError, TimeoutType  # noqa: A004 - the SDK's

from stigmer_cli.runner.contract import SENTENCES, FailureKind
from stigmer_cli.runner.replacement import WorkerObservation, replacement_cause
from stigmer_cli.runner.workflow import kind_of

WELL = WorkerObservation(
    is_broken=False, is_of_this_connection=True, is_seen=True, age_s=100, access_age_s=30, free_s=100, idle_s=100
)

CAUSES: list[tuple[dict[str, object], str | None]] = [
    ({}, None),
    ({"is_broken": True}, "the worker broke"),
    ({"is_of_this_connection": False}, "Temporal came back"),
    ({"is_seen": False, "access_age_s": None, "age_s": 9.9}, None),
    ({"is_seen": False, "access_age_s": None, "age_s": 10.1}, "the task queue never showed it"),
    ({"access_age_s": 91}, "the task queue sees it no more"),
    ({"access_age_s": None}, "the task queue sees it no more"),
    ({"access_age_s": None, "free_s": 9.9}, None),
    ({"access_age_s": 91, "free_s": 89}, None),
    ({"access_age_s": 91, "patience": 2}, None),
    ({"access_age_s": 7.9, "stale_max_s": 8}, None),
    ({"access_age_s": 8.1, "stale_max_s": 8}, "the task queue sees it no more"),
    ({"silences": 1}, None),
    ({"silences": 2}, "its own client gets no answer"),
    ({"waits_s": 4.9}, None),
    ({"waits_s": 5.1}, "work waits and it takes none up"),
    ({"waits_s": 5.1, "idle_s": 4.9}, None),
    ({"waits_s": 5.1, "free_s": 0}, None),
    ({"waits_s": 5.1, "patience": 2}, None),
]


@pytest.mark.parametrize(("change", "cause"), CAUSES)
def test_a_worker_is_relieved_for_exactly_these_causes(change: dict[str, object], cause: str | None) -> None:
    assert replacement_cause(dataclasses.replace(WELL, **change)) == cause  # type: ignore[arg-type]


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
