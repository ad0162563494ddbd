"""What a list reads by hand of the server's answer is what the models read of it."""

import json
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from itertools import cycle

import pytest
from pydantic import BaseModel, ValidationError

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.listed import ListedWaiting, read_agent, read_execution
from stigmer_cli.api.resources import (
    AgentResource,
    AgentStatus,
    ExecutionResource,
    LastRun,
    agent_resource,
)
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.domain.execution import Agent, AgentSpec, Attention, AttentionCode, Execution, ModelWait
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import PendingCall, WaitFor, Waiting
from tests.support.execution_rows import row
from tests.support.fakes import START

LATER = START + timedelta(minutes=5, milliseconds=123)
CALL = PendingCall(step="/1", tool="git.push", arguments='{"force": true}', since=START)
EXECUTIONS: dict[str, Execution] = {
    "queued": row(),
    "submitted": row(submitted_s_ago=3),
    "running": replace(
        row(Phase.IN_PROGRESS, submitted_s_ago=9), claimed_by="runner/1", claimed_attempt=2, started_at=START
    ),
    "claimed": replace(row(Phase.IN_PROGRESS, submitted_s_ago=9), claimed_by="runner/1"),
    "failed": replace(row(Phase.FAILED), error="no model", labels={"env": "prod", "seen": ""}, completed_at=LATER),
    "completed": replace(row(Phase.COMPLETED), started_at=START, completed_at=LATER),
    "needs attention": replace(
        row(), attention=Attention(code=next(iter(AttentionCode)), reason="ask a person", since=START)
    ),
    "model busy": replace(
        row(Phase.IN_PROGRESS), model_wait=ModelWait(cause="429", since=START, tries=2, next_try_at=LATER)
    ),
    "model asked": replace(
        row(Phase.IN_PROGRESS), model_wait=ModelWait(cause="429", since=START, tries=1, next_try_at=None)
    ),
    **{
        f"waits for {kind}": replace(
            row(Phase.IN_PROGRESS),
            waiting=Waiting(wait_for=kind, step="/1", since=START, until=until, cause="says so", calls=(CALL, CALL)),
        )
        for kind, until in zip(WaitFor, cycle((None, LATER)), strict=False)
    },
}
LAST_RUN = LastRun(id="x", at=LATER, phase=Phase.FAILED)
STUCK = StuckBody(kind="of-a-newer-server", cause=f"workflow stigmer/{row().id} is gone", since=START, hint="wait")


def _differences(listed: object, model: object, at: str = "") -> list[str]:
    """Where `listed` has something else than `model` under the same name."""
    if not is_dataclass(listed):
        return [] if listed == model else [f"{at}: {listed!r} != {model!r}"]
    assert isinstance(model, BaseModel), at
    found = []
    for field in fields(listed):
        mine, its = getattr(listed, field.name), getattr(model, field.name)
        if isinstance(listed, ListedWaiting) and field.name == "calls":
            mine, its = len(mine), len(its)
        found += _differences(mine, its, f"{at}.{field.name}")
    return found


@pytest.mark.parametrize("stuck", [None, STUCK])
@pytest.mark.parametrize("name", EXECUTIONS)
def test_an_execution_has_the_fields_and_the_reason_of_the_model(name: str, stuck: StuckBody | None) -> None:
    text = execution_resource(EXECUTIONS[name], stuck).model_dump_json(by_alias=True)
    model, listed = ExecutionResource.model_validate_json(text), read_execution(json.loads(text))
    assert _differences(listed, model) == []
    assert describe_reason(listed) == describe_reason(model)


def test_a_long_input_that_a_list_leaves_out_is_not_shown_as_null() -> None:
    body = json.loads(execution_resource(row()).model_dump_json(by_alias=True))
    body["spec"] = {"workflowId": "wfl-1", "workflowName": "order", "inputOmitted": True}
    model, listed = ExecutionResource.model_validate_json(json.dumps(body)), read_execution(body)
    assert (model.spec.asked, listed.spec.asked) == ("(long input)", "(long input)")


@pytest.mark.parametrize(
    "status",
    [
        None,
        AgentStatus(executions=0),
        AgentStatus(executions=7, last_run=LAST_RUN),
    ],
)
def test_an_agent_has_the_fields_of_the_model(status: AgentStatus | None) -> None:
    agent = Agent(
        id=AgentId("agt-01kqrxnp6m8w8t6e3d2m5k7j9z"),
        name="Greeter",
        slug="greeter",
        labels={"team": "one"},
        spec=AgentSpec(description="says hello", model="echo"),
        created_at=START,
        updated_at=LATER,
    )
    text = agent_resource(agent).model_copy(update={"status": status}).model_dump_json(by_alias=True)
    assert _differences(read_agent(json.loads(text)), AgentResource.model_validate_json(text)) == []


@pytest.mark.parametrize(
    "place",
    [
        "metadata id",
        "metadata createdAt",
        "metadata labels",
        "spec message",
        "status",
        "status phase",
        "status attempt",
        "status startedAt",
        "status dispatch state",
        "status dispatch since",
        "status modelWait tries",
        "stuck class",
    ],
)
@pytest.mark.parametrize("value", [["x"], {"x": 1}, "x"])
def test_what_is_of_another_kind_is_refused_as_the_model_refuses_it(place: str, value: object) -> None:
    body = json.loads(execution_resource(EXECUTIONS["model busy"], STUCK).model_dump_json(by_alias=True))
    *way, last = place.split()
    inner = body
    for name in way:
        inner = inner[name]
    inner[last] = value
    is_refused_by_model = False
    try:
        ExecutionResource.model_validate_json(json.dumps(body))
    except ValidationError:
        is_refused_by_model = True
    try:
        read_execution(body)
    except (KeyError, TypeError, ValueError):
        assert is_refused_by_model
    else:
        assert not is_refused_by_model
