"""What a run says of a workflow: servers and runners from before there were workflows understand each other still."""

import pytest
from pydantic import ValidationError

from stigmer_cli.api.reports import OutcomeReport, Work
from stigmer_cli.api.tasks import TASKS_MAX, TasksReport, WorkflowWork
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import WaitFor

TASK = {"key": "/do/0/first", "name": "first", "phase": "running", "startedAt": "2026-01-01T00:00:00.000Z"}
WORK = Work(instructions="", message="", model="echo", agent_name="greeter")


def test_a_report_without_tasks_is_one_that_an_older_server_takes() -> None:
    outcome = OutcomeReport(epoch=1, run="run-1", phase=Phase.COMPLETED).to_wire()
    wait = WaitRequest(epoch=1, run="run-1", attempt=1, wait_for=WaitFor.TIME, cause="it waits").to_wire()
    assert not {"tasks", "errorFields"} & (outcome.keys() | wait.keys())


def test_work_of_an_agent_is_what_an_older_runner_takes() -> None:
    assert "workflow" not in WORK.to_wire()
    workflow = WorkflowWork(document={"do": []}, input=None, started_ms=1, runtime_version="1.0", tasks_max=10)
    sent = WORK.model_copy(update={"workflow": workflow}).to_wire()["workflow"]
    assert isinstance(sent, dict)
    assert {key: sent[key] for key in sent if key != "nowMs"} == {
        "document": {"do": []},
        "input": None,
        "startedMs": 1,
        "runtimeVersion": "1.0",
        "tasksMax": 10,
    }


def test_a_report_names_at_most_five_hundred_tasks() -> None:
    report = {"epoch": 1, "run": "run-1", "attempt": 1, "tasks": [TASK] * TASKS_MAX}
    assert len(TasksReport.model_validate(report).tasks) == 500
    with pytest.raises(ValidationError):
        TasksReport.model_validate({**report, "tasks": [TASK] * (TASKS_MAX + 1)})
