"""Calls that a person has to approve: none is performed before, and what was decided is done, once."""

import json
from typing import Any

import pytest

from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.waiting import AskedCallBody
from stigmer_cli.domain.model_provider import OPENAI
from stigmer_cli.domain.waiting import Verdict, WaitFor
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.waits import Waits
from tests.integration.runner.looping_agent import Agent, call
from tests.support.model_endpoint import Endpoint

FIRST, SECOND = "/turns/0/calls/0", "/turns/0/calls/1"


async def asked(agent: Agent, approve: str = "always") -> list[AskedCallBody]:
    """The calls about which the next attempt asks."""
    agent.journal.next_attempt()
    with pytest.raises(Waits) as caught:
        await agent.attempt(approve=approve)
    wait = caught.value.wait
    assert (wait.wait_for, wait.step) == (WaitFor.APPROVAL, wait.calls[0].step)
    return list(wait.calls)


def decide(agent: Agent, one: AskedCallBody, verdict: Verdict = Verdict.APPROVED, **given: Any) -> None:
    """What the server keeps of a decision."""
    agent.journal.decisions[one.step] = DecisionBody(
        step=one.step, tool=one.tool, arguments_hash=one.arguments_hash, verdict=verdict, **given
    )


@pytest.mark.slow
async def test_a_turn_waits_before_any_of_its_calls_and_goes_on_in_the_order_of_the_model(agent: Agent) -> None:
    agent.plays(
        {"text": "Let me.", "calls": [call("read", name="a"), call("send", text="1"), call("send", text="2")]},
        {"text": "Done."},
    )
    calls = await asked(agent, "once-effects")
    assert [(one.step, one.tool, json.loads(one.arguments or "")) for one in calls] == [
        (SECOND, "send", {"text": "1"}),
        ("/turns/0/calls/2", "send", {"text": "2"}),
    ]
    assert (agent.said, agent.journal.performed) == ("Let me.", ["/turns/0"])
    decide(agent, calls[0])
    assert [one.step for one in await asked(agent, "once-effects")] == ["/turns/0/calls/2"]
    decide(agent, calls[1])
    agent.journal.next_attempt()
    assert await agent.attempt(approve="once-effects") == "Done."
    assert agent.calls() == [("read", "a"), ("send", "1"), ("send", "2")]
    agent.journal.next_attempt()
    assert await agent.attempt(approve="once-effects") == "Done."
    assert (len(agent.calls()), agent.journal.performed) == (3, [])


async def test_a_denial_is_the_answer_of_the_tool_with_the_reason(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="1"), call("read", name="a")]}, {"text": "Then not."})
    first, second = await asked(agent)
    decide(agent, first, Verdict.DENIED, reason="not today")
    decide(agent, second)
    agent.journal.next_attempt()
    assert await agent.attempt(approve="always") == "Then not."
    assert agent.calls() == [("read", "a")]
    assert agent.journal.steps[FIRST] == ("FAILED", "a person denied this call: not today")
    [told] = [part for part in json.loads(agent.journal.begun["/turns/1"])["parts"] if part["tool"] == "send"]
    assert (told["result"], told["outcome"]) == ("a person denied this call: not today", "failed")


async def test_a_call_whose_arguments_are_no_json_is_answered_so_and_nobody_is_asked(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text=float("nan")), call("send", text="1")]}, {"text": "Sent."})
    [one] = await asked(agent)
    assert one.step == SECOND
    decide(agent, one)
    agent.journal.next_attempt()
    assert await agent.attempt(approve="always") == "Sent."
    assert agent.calls() == [("send", "1")]
    told = json.loads(agent.journal.begun["/turns/1"])["parts"][0]
    assert (told["result"], told["outcome"]) == (
        "the arguments of send are not valid JSON: NaN and Infinity are not allowed",
        "failed",
    )


@pytest.mark.slow
async def test_arguments_that_a_person_edited_are_performed_and_recorded(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="all of it")]}, {"text": "Sent."})
    [one] = await asked(agent)
    decide(agent, one, arguments='{"text":"a part"}')
    for _ in range(2):
        agent.journal.next_attempt()
        assert await agent.attempt(approve="always") == "Sent."
    assert agent.calls() == [("send", "a part")]
    assert json.loads(agent.journal.begun[FIRST])["arguments"] == {"text": "a part"}


async def test_what_a_person_edited_counts_although_nobody_would_be_asked_any_more(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="all of it")]}, {"text": "Sent."})
    [one] = await asked(agent)
    decide(agent, one, arguments='{"text":"a part"}')
    for _ in range(2):
        agent.journal.next_attempt()
        assert await agent.attempt(approve="never") == "Sent."
    assert agent.calls() == [("send", "a part")]


async def test_a_model_is_told_of_what_a_person_edited_and_a_replay_compares_what_it_did_before(
    agent: Agent, endpoint: Endpoint
) -> None:
    function = {"name": "send", "arguments": '{"text": "all of it"}'}
    wanted: dict[str, object] = {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": function}]}
    endpoint.turns = [([wanted], "tool_calls"), ([{"content": "Sent."}], "stop")]
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    with pytest.raises(Waits) as caught:
        await agent.attempt(approve="always", model=model)
    decide(agent, caught.value.wait.calls[0], arguments='{"text":"a part"}')
    agent.journal.next_attempt()
    assert await agent.attempt(approve="always", model=model) == "Sent."
    messages: Any = endpoint.asked[-1]["messages"]
    assert messages[-1]["content"] == (
        'A person changed the arguments of this call: it was performed with {"text":"a part"}\nsent a part'
    )
    assert "A person" not in agent.journal.begun["/turns/1"]


@pytest.mark.slow
async def test_a_decision_about_other_arguments_is_none(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="1")]}, {"text": "Sent."})
    [one] = await asked(agent)
    decide(agent, one.model_copy(update={"arguments_hash": "of another call"}))
    assert [again.step for again in await asked(agent)] == [FIRST]


@pytest.mark.slow
async def test_what_is_recorded_needs_no_approval_any_more(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="1")]}, {"text": "Sent."})
    assert await agent.attempt(approve="never") == "Sent."
    agent.journal.next_attempt()
    assert await agent.attempt(approve="always") == "Sent."
    assert agent.calls() == [("send", "1")]
