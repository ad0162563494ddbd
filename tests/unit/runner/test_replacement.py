"""When a worker is replaced, and for which cause."""

import dataclasses

import pytest

from stigmer_cli.runner.replacement import WorkerObservation, replacement_cause

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
def test_a_worker_is_replaced_for_exactly_these_causes(change: dict[str, object], cause: str | None) -> None:
    assert replacement_cause(dataclasses.replace(WELL, **change)) == cause  # type: ignore[arg-type]
