"""Tasks as they are shown."""

from datetime import UTC, datetime

import pytest

from stigmer_cli.domain.task import TaskPhase, TaskState

BEGAN, ENDED = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize("phase", TaskPhase)
def test_a_task_that_goes_on_as_its_execution_ends_is_cancelled(phase: TaskPhase) -> None:
    task = TaskState(key="/do/0/a", name="a", phase=phase, attempts=1, started_at=BEGAN)
    shown = task.end_by(ENDED)
    if phase in (TaskPhase.RUNNING, TaskPhase.WAITING):
        assert (shown.phase, shown.completed_at) == (TaskPhase.CANCELLED, ENDED)
    else:
        assert shown == task
