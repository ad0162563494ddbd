"""The loop of an agent with tools, with a real server of them and scripted models: what is performed, how often."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from stigmer_cli.api.reports import FollowUpBody, GenerationsBody
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.api.usage import UsedBody
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.runner.agent.broken import LoopBroken
from stigmer_cli.runner.journal import StepParked
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.runner.waits import Exhausted
from stigmer_cli.tool_server import connection
from tests.integration.runner.looping_agent import ODD, SERVER, Agent, call
from tests.support.http_tool_server import HttpToolServer
from tests.support.memory_journal import MemoryJournal
from tests.support.polling import eventually


async def test_the_model_and_the_tools_take_turns_until_it_answers(agent: Agent) -> None:
    agent.plays(
        {"text": "Let me see.", "calls": [call("read", name="a"), call("read", name="b")]},
        {"calls": [call("send", text="hello")]},
        {"text": "Done."},
    )
    assert await agent.attempt() == "Done."
    assert agent.said == "Let me see.\n\nDone."
    assert sorted(agent.calls()) == [("read", "a"), ("read", "b"), ("send", "hello")]
    assert sorted(agent.journal.performed) == [
        "/turns/0", "/turns/0/calls/0", "/turns/0/calls/1", "/turns/1", "/turns/1/calls/0", "/turns/2",
    ]  # fmt: skip
    keys = [line["key"] for line in agent.lines()]
    assert len(set(keys)) == 3
    assert all(len(key) == 32 for key in keys)


async def test_a_call_that_a_person_has_made_anew_has_another_key(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="hello")]}, {"text": "Done."})
    kept = {"/turns/0/calls/0": 0}
    for generations in (None, GenerationsBody(present=1), GenerationsBody(present=1, kept=kept)):
        agent.journal = MemoryJournal()
        await agent.attempt(generations=generations)
    first, anew, again = [line["key"] for line in agent.lines()]
    assert first == again != anew


async def test_a_session_goes_on_behind_the_turns_that_were_played_in_it(agent: Agent) -> None:
    said = [ExchangeBody(execution="aex-0", message="before?", output="Read it.", turns=2)]
    agent.plays(
        {"calls": [call("read", name="a")]}, {"text": "Read it."}, {"calls": [call("read", name="b")]}, {"text": "Too."}
    )
    assert await agent.attempt(said=said) == "Too."
    assert agent.calls() == [("read", "b")]
    first = json.loads(agent.journal.begun["/turns/0"])
    assert [one["execution"] for one in first["conversation"]] == ["aex-0"]
    assert "before?" not in agent.journal.begun["/turns/0"]


async def test_a_later_message_is_said_before_its_turn_and_what_was_recorded_before_it_is_taken_over(
    agent: Agent,
) -> None:
    agent.plays({"calls": [call("read", name="a")]}, {"text": "Read it."})
    assert await agent.attempt() == "Read it."
    agent.journal.next_attempt()
    del agent.journal.steps["/turns/1"], agent.journal.begun["/turns/1"]  # as a fork from there
    agent.plays({"fail": "no"}, {"calls": [call("read", name="b")]}, {"text": "And more."})
    later = [FollowUpBody(turn=1, message="and b?")]
    assert await agent.attempt(later=later) == "And more."
    assert agent.calls() == [("read", "a"), ("read", "b")]
    assert "and b?" not in agent.journal.begun["/turns/0"] + agent.journal.begun["/turns/2"]
    parts = json.loads(agent.journal.begun["/turns/1"])["parts"]
    assert [*parts[0]] == ["call", "outcome", "result", "tool"]
    assert parts[1:] == [{"message": "and b?"}]
    assert agent.journal.performed == ["/turns/1", "/turns/1/calls/0", "/turns/2"]


async def test_an_attempt_that_sees_another_conversation_takes_no_recorded_turn_over(agent: Agent) -> None:
    said = [ExchangeBody(execution="aex-0", message="before?", output="Read it.")]
    agent.plays({"text": "Read it."}, {"text": "Too."})
    assert await agent.attempt(said=said) == "Too."
    agent.journal.next_attempt()
    assert await agent.attempt(said=said) == "Too."
    assert agent.journal.performed == []
    with pytest.raises(StepParked):
        await agent.attempt(said=[said[0].model_copy(update={"output": "Changed."})])


async def test_what_is_recorded_is_not_performed_again(agent: Agent) -> None:
    agent.plays({"text": "First.", "calls": [call("send", text="1")]}, {"fail": "the script stops here"})
    with pytest.raises(ModelFailed, match="the script stops here"):
        await agent.attempt()
    del agent.journal.steps["/turns/1"]  # as if the attempt had died before that
    agent.journal.next_attempt()
    agent.plays({"text": "Another first.", "calls": [call("send", text="2")]}, {"text": "The end."})
    assert await agent.attempt() == "The end."
    assert agent.journal.performed == ["/turns/1"]
    assert agent.calls() == [("send", "1")]
    assert agent.said == "First.\n\nThe end."


async def test_recorded_calls_of_a_tool_that_is_gone_are_replayed_and_the_model_is_not_told_of_it(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="1")]}, {"fail": "stopped"})
    with pytest.raises(ModelFailed, match="stopped"):
        await agent.attempt()
    del agent.journal.steps["/turns/1"]
    agent.journal.next_attempt()
    agent.plays({"text": "never"}, {"calls": [call("read", name="a"), call("send", text="2")]}, {"text": "The end."})
    assert await agent.attempt(deny=["send"]) == "The end."
    assert agent.calls() == [("send", "1"), ("read", "a")]
    assert agent.journal.steps["/turns/1/calls/1"] == ("FAILED", "there is no tool send any more")


async def test_a_tool_that_was_not_there_for_a_recorded_turn_is_not_called_by_its_replay(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="1")]}, {"calls": [call("read", name="a")]}, {"fail": "stopped"})
    with pytest.raises(ModelFailed, match="stopped"):
        await agent.attempt(allow=["read"])
    del agent.journal.steps["/turns/2"]
    agent.journal.next_attempt()
    agent.plays({"text": "never"}, {"text": "never"}, {"calls": [call("send", text="2")]}, {"text": "The end."})
    assert await agent.attempt(allow=["read", "send"]) == "The end."
    assert agent.calls() == [("read", "a"), ("send", "2")]


async def test_a_tool_that_its_server_adds_later_can_be_called_from_then_on(agent: Agent) -> None:
    agent.plays({"calls": [call("changes_list")]}, {"calls": [call("late")]}, {"text": "Done."})
    server = {"command": [sys.executable, str(ODD)]}
    assert await agent.attempt(mcp=server) == "Done."
    state, recorded = agent.journal.steps["/turns/1/calls/0"]
    assert isinstance(recorded, dict)
    assert (state, recorded["content"]) == ("DONE", [{"type": "text", "text": "this is late"}])
    agent.journal.next_attempt()
    assert await agent.attempt(mcp=server) == "Done."
    assert agent.journal.performed == []


async def test_a_tool_with_a_name_that_models_do_not_take_has_another_for_them(agent: Agent) -> None:
    agent.plays({"calls": [call("a.b/c"), call("a_b_c")]}, {"text": "Done."})
    assert await agent.attempt(mcp={"command": [sys.executable, str(ODD)]}) == "Done."
    for place in (0, 1):
        _, recorded = agent.journal.steps[f"/turns/0/calls/{place}"]
        assert isinstance(recorded, dict)
        assert recorded["content"] == [{"type": "text", "text": "this is a.b/c"}]
    await agent.attempt(mcp={"command": [sys.executable, str(ODD)]})


async def test_a_call_with_effect_once_that_broke_off_is_never_repeated(agent: Agent) -> None:
    agent.plays({"calls": [call("crash")]}, {"text": "never said"})
    with pytest.raises(LoopBroken) as caught:
        await agent.attempt()
    assert "broke off" in caught.value.failure.message
    assert caught.value.wait_for is WaitFor.TOOL_SERVER
    assert not caught.value.broke_off
    agent.journal.next_attempt()
    with pytest.raises(StepParked, match="/turns/0/calls/0"):
        await agent.attempt()
    assert agent.calls() == [("crash", None)]


async def test_a_call_with_effect_once_that_its_server_refuses_fails_and_a_wall_of_refusals_ends_the_attempt(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TRY_AGAIN_S", 0.01)
    agent.plays(*[{"calls": [call("send")]}] * 5, {"text": "Sent."})
    with HttpToolServer().running() as http:
        http.refuse["tools/call"] = 429
        with pytest.raises(LoopBroken, match="has refused 3 calls in a row") as caught:
            await agent.attempt(mcp={"url": http.url})
        assert caught.value.wait_for is WaitFor.TOOL_SERVER
        failed = f"its tool server {http.url} refuses it: it answered HTTP 429; the call was not performed"
        assert agent.journal.steps["/turns/2/calls/0"] == ("FAILED", failed)
        assert "/turns/3/calls/0" not in agent.journal.begun
        http.refuse.clear()
        agent.journal.next_attempt()
        assert await agent.attempt(mcp={"url": http.url}) == "Sent."
    assert agent.journal.performed == ["/turns/3/calls/0", "/turns/4", "/turns/4/calls/0", "/turns/5"]


@pytest.mark.slow
async def test_a_call_that_may_be_repeated_survives_the_death_of_its_server(agent: Agent) -> None:
    agent.plays({"calls": [call("crash_once")]}, {"text": "Done."})
    assert await agent.attempt() == "Done."
    [first, second] = agent.lines()
    assert first["key"] == second["key"]
    assert first["pid"] != second["pid"]


@pytest.mark.slow
async def test_a_server_that_hangs_is_given_up_after_a_few_tries(agent: Agent) -> None:
    agent.silent_s = 0.5
    agent.plays({"calls": [call("wait", seconds=60)]}, {"text": "never said"})
    with pytest.raises(LoopBroken, match=r"has not answered for 0.5s \(STIGMER_TOOL_SILENT_FOR\)"):
        await agent.attempt()
    assert agent.calls() == [("wait", 60)] * 3


@pytest.mark.slow
async def test_an_error_of_a_tool_is_a_result_that_the_model_is_told(agent: Agent) -> None:
    agent.plays({"calls": [call("refuse"), call("nothing")]}, {"text": "It failed."})
    assert await agent.attempt() == "It failed."
    _, recorded = agent.journal.steps["/turns/0/calls/0"]
    assert recorded is not None
    assert agent.calls() == [("refuse", None)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("server", "effects"),
    [
        ({}, {"send": "once", "put": "repeatable", "read": "none"}),
        ({"effects": {"send": "none", "read": "once"}}, {"send": "none", "put": "repeatable", "read": "once"}),
    ],
)
async def test_the_spec_has_the_last_word_about_an_effect(
    agent: Agent, server: dict[str, Any], effects: dict[str, str]
) -> None:
    agent.plays({"calls": [call("send", text="a"), call("put", name="b"), call("read", name="c")]}, {"text": "Done."})
    seen: dict[str, str] = {}
    perform = agent.journal.perform

    async def note(step: Any, effect: Callable[[], Any], **options: Any) -> Any:
        if step.kind == "tool":
            seen[step.name] = step.effect
        return await perform(step, effect, **options)

    agent.journal.perform = note  # type: ignore[method-assign]
    await agent.attempt(**server)
    assert seen == effects


@pytest.mark.slow
async def test_only_tools_that_the_spec_allows_are_there(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="a")]}, {"text": "Done."})
    assert await agent.attempt(allow=["read", "put"], deny=["put"]) == "Done."
    assert agent.calls() == []


@pytest.mark.slow
async def test_a_server_gets_nothing_of_the_environment_that_was_not_named(agent: Agent) -> None:
    agent.plays({"calls": [call("environment")]}, {"text": "Done."})
    await agent.attempt()
    _, recorded = agent.journal.steps["/turns/0/calls/0"]
    assert isinstance(recorded, dict)
    names = recorded["structuredContent"]["result"]
    assert set(names) <= {"PATH", "HOME", "LANG", "LC_CTYPE"}


@pytest.mark.slow
async def test_a_server_that_cannot_be_started_is_named(agent: Agent) -> None:
    agent.plays({"text": "never said"})
    with pytest.raises(LoopBroken, match="cannot start there-is-no-such-program"):
        await agent.attempt(mcp={"command": ["there-is-no-such-program"]})


@pytest.mark.slow
async def test_no_server_outlives_its_attempt(agent: Agent) -> None:
    agent.plays({"calls": [call("send", text="a"), call("wait", seconds=60)]}, {"text": "never said"})
    async with asyncio.timeout(30):
        task = asyncio.create_task(agent.attempt())
        await eventually(agent.has_called_twice, within_s=20, what="two calls")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    for line in agent.lines():
        with pytest.raises(ProcessLookupError):
            os.kill(line["pid"], 0)


LIMITS = {
    "turns": (2, "the model has not ended its work after 2 turns, its limit (spec.limits.turns)"),
    "tokens": (20, "it has used 20 tokens, and its limit is 20 (spec.limits.tokens)"),
    "money": (0.02, "it has cost $0.0200, and its limit is $0.02 (spec.limits.money)"),
    "seconds": (3, "it has worked for 3s, and its limit is 3s (spec.limits.seconds)"),
}


@pytest.mark.parametrize("limit", LIMITS)
async def test_a_limit_counts_what_earlier_attempts_have_used(agent: Agent, limit: str) -> None:
    usage = {"inputTokens": 8, "outputTokens": 2, "cost": 0.01}
    again = {"calls": [call("nothing")], "usage": usage}
    agent.plays(again, {"fail": "stopped"})
    with pytest.raises(ModelFailed, match="stopped"):
        await agent.attempt(spec={})
    del agent.journal.steps["/turns/1"]
    agent.journal.next_attempt()
    agent.plays(again, again, again, {"text": "Done."})
    count, sentence = LIMITS[limit]
    took_s = 3.0 if limit == "seconds" else 0.0
    used = UsedBody(model="script:x", input_tokens=8, output_tokens=2, cost=0.01, turns=1, seconds=took_s)
    with pytest.raises(Exhausted) as caught:
        await agent.attempt(spec={"limits": {limit: count}}, used=used)
    assert caught.value.message == sentence
    assert agent.journal.performed == ([] if limit == "seconds" else ["/turns/1"])


@pytest.mark.slow
async def test_calls_of_tools_are_limited(agent: Agent) -> None:
    agent.plays({"calls": [call("read", name="a")]}, {"calls": [call("read", name="b")]}, {"text": "Done."})
    command = [sys.executable, str(SERVER), str(agent._ledger)]
    spec = {"tools": [{"mcp": {"command": command}}], "limits": {"toolCalls": 1}}
    with pytest.raises(Exhausted) as caught:
        await agent.attempt(spec=spec)
    assert caught.value.message == "the model wants more than 1 calls of tools, its limit (spec.limits.toolCalls)"
    assert agent.calls() == [("read", "a")]
