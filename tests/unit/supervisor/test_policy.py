"""When a child is started again."""

import pytest

from stigmer_cli.supervisor.child import TRANSITIONS, ChildState
from stigmer_cli.supervisor.policy import Again, RestartPolicy, Slowly

POLICY = RestartPolicy()


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        (0, Again(delay_s=0.2, failures=1)),
        (1, Again(delay_s=0.4, failures=2)),
        (2, Again(delay_s=0.8, failures=3)),
        (3, Again(delay_s=1.6, failures=4)),
        (4, Slowly(delay_s=30.0, failures=5)),
        (5, Slowly(delay_s=30.0, failures=6)),
        (10_000, Slowly(delay_s=30.0, failures=10_001)),
    ],
)
def test_quick_ends_double_the_delay_until_the_child_counts_as_failed(failures: int, expected: Again | Slowly) -> None:
    assert POLICY.decide(failures=failures, ran_s=59.9) == expected


@pytest.mark.parametrize("failures", [0, 4, 10_000])
def test_a_minute_of_health_forgets_every_failure(failures: int) -> None:
    assert POLICY.decide(failures=failures, ran_s=60.0) == Again(delay_s=0.2, failures=1)


def test_the_delay_never_exceeds_its_cap() -> None:
    patient = RestartPolicy(failures_max=1_000_000)

    assert patient.decide(failures=500, ran_s=0.0) == Again(delay_s=30.0, failures=501)


def test_every_state_of_a_child_can_be_left_and_reached() -> None:
    assert set(TRANSITIONS) == set(ChildState)
    assert all(TRANSITIONS[state] for state in ChildState)
    assert {state for targets in TRANSITIONS.values() for state in targets} == set(ChildState)


def test_a_child_runs_only_after_it_was_started_and_stops_only_after_it_was_asked() -> None:
    into_running = [state for state in ChildState if ChildState.RUNNING in TRANSITIONS[state]]
    out_of_running = TRANSITIONS[ChildState.RUNNING]

    assert into_running == [ChildState.STARTING]
    assert out_of_running == {ChildState.STOPPING, ChildState.BACKING_OFF, ChildState.FAILED}
