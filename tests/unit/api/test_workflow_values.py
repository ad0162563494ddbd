"""What an execution of a workflow shows of its input, output and error."""

import json
from dataclasses import replace
from typing import Any

import pytest

from stigmer_cli.api.execution_body import execution_resource
from stigmer_cli.api.plain_text import sentence_of
from stigmer_cli.api.resources import ExecutionRequest
from stigmer_cli.api.steps import JournalBody
from stigmer_cli.api.workflow_values import LISTED_CHARS_MAX
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from tests.support.execution_rows import row

WHOLE = JournalBody(steps=[], count=0)


def workflow_row(phase: Phase = Phase.COMPLETED, **fields: Any) -> Execution:
    return replace(row(phase), kind=Kind.WORKFLOW, agent_name="pets", message='{"id":7}', **fields)


@pytest.mark.parametrize("output", ['{"a":[1,null]}', '"text"', "7", "false", "null"])
def test_input_and_output_are_json_as_it_is(output: str) -> None:
    sent = execution_resource(workflow_row(output=output), None, WHOLE).to_wire()
    spec, status = sent["spec"], sent["status"]
    assert isinstance(spec, dict)
    assert isinstance(status, dict)
    assert (spec["workflowName"], spec["input"]) == ("pets", {"id": 7})
    assert not {"agentName", "agentId", "message"} & spec.keys()
    assert status["output"] == json.loads(output)


def test_a_list_leaves_long_values_out_and_says_so() -> None:
    long = json.dumps("x" * LISTED_CHARS_MAX)
    listed = execution_resource(workflow_row(output=long))
    assert (listed.status.output, listed.status.output_omitted) == (None, True)
    assert (listed.spec.input, listed.spec.input_omitted) == ({"id": 7}, False)
    assert execution_resource(workflow_row(output=long), None, WHOLE).status.answer == json.loads(long)


def test_an_error_has_the_fields_of_the_specification_wherever_it_comes_from() -> None:
    fields = {
        "type": "https://x.example/e",
        "status": 409,
        "title": "Boom",
        "detail": "it broke",
        "instance": "/do/0/a",
    }
    raised = execution_resource(workflow_row(Phase.FAILED, error="said", error_fields=json.dumps(fields)))
    assert raised.status.error == fields
    assert raised.status.error_text == "Boom: it broke (at /do/0/a)"
    ended = execution_resource(workflow_row(Phase.CANCELLED, error="cancelled by a person"))
    assert ended.status.error == {
        "type": "https://open-workflow-specification.org/spec/1.0.0/errors/runtime",
        "status": 500,
        "title": "Cancelled",
        "detail": "cancelled by a person",
        "instance": "/",
    }
    assert execution_resource(workflow_row()).status.error is None


def test_the_error_of_an_agent_stays_a_sentence() -> None:
    assert execution_resource(replace(row(Phase.FAILED), error="it broke")).status.error == "it broke"
    assert sentence_of(None) is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"agent": "a"},
        {"workflow": "w", "agent": "a", "message": "m"},
        {"workflow": "w", "session": "s"},
        {"workflow": "w", "limits": {"turns": 1}},
        {"agent": "a", "message": "m", "input": 1},
        {"workflow": "w", "id": "aex-00000000000000000000000000"},
    ],
)
def test_a_request_names_an_agent_with_a_message_or_a_workflow_with_an_input(fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"Value error|Field required"):
        ExecutionRequest.model_validate(fields)


def test_an_input_of_null_is_sent_and_none_is_an_empty_mapping() -> None:
    assert ExecutionRequest(workflow="w", input=None).to_wire()["input"] is None
    assert ExecutionRequest.model_validate({"workflow": "w"}).input == {}
    assert "input" not in ExecutionRequest(agent="a", message="m").to_wire()
