"""Answers that must fit a schema: asked for again, and where they never fit, why."""

import pytest

from stigmer_cli.runner.model.seam import ModelFailed
from tests.integration.runner.looping_agent import Agent, call

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_an_answer_that_does_not_fit_the_schema_is_asked_for_again(agent: Agent) -> None:
    agent.plays({"text": "four"}, {"text": '{"n": "four"}'}, {"text": '```json\n{"n": 4}\n```'})
    assert await agent.attempt(spec={"output": SCHEMA}) == '{"n": 4}'
    assert agent.journal.performed == ["/turns/0", "/turns/1", "/turns/2"]


async def test_a_model_that_answers_nothing_is_asked_again_now_and_where_the_execution_is_resumed(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="1")]}, *[{"text": ""}] * 3)
    with pytest.raises(ModelFailed, match="the model script:x has given an empty answer, and was asked"):
        await agent.attempt()
    assert agent.journal.steps.pop("/turns/3")[0] == "FAILED"  # a resume forgets the turn that failed it
    agent.journal.next_attempt()
    agent.plays(*[{"text": "never"}] * 3, {"text": "Sent."})
    assert await agent.attempt() == "Sent."
    assert (agent.journal.performed, agent.calls()) == (["/turns/3"], [("send", "1")])


@pytest.mark.parametrize(("number", "why"), [("NaN", "NaN is not allowed"), ("1e400", "the number 1e400 is too large")])
async def test_a_number_that_json_does_not_have_does_not_fit(agent: Agent, number: str, why: str) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "number", "maximum": 10}}}
    agent.plays(*[{"text": f'{{"n": {number}}}'}] * 3)
    with pytest.raises(ModelFailed) as caught:
        await agent.attempt(spec={"output": schema})
    assert caught.value.message == f"the answer does not fit spec.output: it is no JSON ({why})"


async def test_an_answer_that_never_fits_fails_with_the_path(agent: Agent) -> None:
    agent.plays(*[{"text": '{"n": "four"}'}] * 3)
    with pytest.raises(ModelFailed) as caught:
        await agent.attempt(spec={"output": SCHEMA})
    assert caught.value.message == "the answer does not fit spec.output: at $.n: 'four' is not of type 'integer'"
    assert [agent.journal.steps[f"/turns/{turn}"][0] for turn in range(3)] == ["DONE", "DONE", "FAILED"]


async def test_a_model_whose_answers_did_not_fit_is_asked_again_where_the_execution_is_resumed(agent: Agent) -> None:
    agent.plays(*[{"text": '{"n": "four"}'}] * 3)
    with pytest.raises(ModelFailed):
        await agent.attempt(spec={"output": SCHEMA})
    del agent.journal.steps["/turns/2"]  # a resume forgets the turn that failed it
    agent.journal.next_attempt()
    agent.plays(*[{"text": "never"}] * 2, {"text": '{"n": 4}'})
    assert await agent.attempt(spec={"output": SCHEMA}) == '{"n": 4}'
    assert agent.journal.performed == ["/turns/2"]


async def test_a_schema_fetches_nothing(agent: Agent) -> None:
    agent.plays(*[{"text": "1"}] * 3)
    with pytest.raises(ModelFailed, match=r"refers to http://127.0.0.1:9/x, which is not in it"):
        await agent.attempt(spec={"output": {"$ref": "http://127.0.0.1:9/x"}})
