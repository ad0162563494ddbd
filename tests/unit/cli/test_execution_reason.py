"""The reason of an execution that waits: a time of another day is told with its day."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.resources import ModelWaitBody
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.api.waiting import WaitingBody
from stigmer_cli.cli.execution_reason import describe_model_wait, describe_reason, describe_wait
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.stuck import StuckClass
from stigmer_cli.time_format import day_and_time, time_and_zone
from tests.support.execution_rows import row
from tests.support.fakes import START


@pytest.mark.parametrize(("days", "told"), [(0.9, time_and_zone), (7, day_and_time)])
def test_a_wait_of_days_names_the_day_of_its_end(days: float, told: Callable[[datetime], str]) -> None:
    until = START + timedelta(days=days)
    waiting = WaitingBody.model_validate({"for": "event", "since": START, "until": until, "cause": "it listens"})
    assert describe_wait(waiting) == f"it listens, until {told(until)}"


def test_a_model_that_is_away_for_days_names_the_day_since_when() -> None:
    next_try = START + timedelta(days=3)
    wait = ModelWaitBody(cause="gone", since=START, tries=9, next_try_at=next_try)
    told = f"gone; 9 tries since {day_and_time(START)}; next try {day_and_time(next_try)}"
    assert describe_model_wait(wait) == told


@pytest.mark.parametrize(
    ("kind", "cause", "told"),
    [
        (StuckClass.LOST, "Temporal has no workflow", "lost: Temporal has no workflow"),
        (StuckClass.WAITING_FOR_MODEL, "its tool server x cannot be used", "its tool server x cannot be used"),
    ],
)
def test_the_class_stands_before_a_cause_that_does_not_say_what_is_waited_for(
    kind: StuckClass, cause: str, told: str
) -> None:
    stuck = StuckBody(kind=kind, cause=cause, since=START, hint="stigmer doctor")
    item = execution_resource(row(Phase.IN_PROGRESS, submitted_s_ago=9)).model_copy(update={"stuck": stuck})
    assert describe_reason(item) == told
