"""The loop of an agent with a model behind an endpoint: how it writes its calls, and what it is told."""

import json
import sys
from typing import Any

import pytest

from stigmer_cli.domain.model_provider import OPENAI
from stigmer_cli.runner.agent.broken import LoopBroken
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.seam import ModelFailed
from tests.integration.runner.looping_agent import ODD, Agent, call
from tests.support.model_endpoint import Endpoint


async def test_a_model_behind_an_endpoint_calls_tools_and_a_busy_one_is_asked_by_another_attempt(
    agent: Agent, endpoint: Endpoint
) -> None:
    def fragment(**function: str) -> dict[str, object]:
        return {"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": function}]}

    endpoint.turns = [
        ([{"content": "Wait."}, fragment(name="send", arguments='{"te'), fragment(arguments='xt": "a"}')], "tool_calls")
    ]
    endpoint.status, endpoint.body = 503, "busy"
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    with pytest.raises(LoopBroken, match="answered 503") as caught:
        await agent.attempt(model=model)
    assert (caught.value.broke_off, caught.value.has_progressed) == (False, True)
    assert agent.calls() == [("send", "a")]
    endpoint.turns = [([{"content": "Sent."}], "stop")]
    agent.journal.next_attempt()
    assert await agent.attempt(model=model) == "Sent."
    assert agent.said == "Wait.\n\nSent."
    assert agent.calls() == [("send", "a")]
    assert len(endpoint.asked) == 3
    messages: Any = endpoint.asked[-1]["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[-1]["content"] == "sent a"
    tools: Any = endpoint.asked[0]["tools"]
    assert "send" in [tool["function"]["name"] for tool in tools]


def _piece(index: int, id_: str | None, name: str | None, arguments: str) -> dict[str, object]:
    return {"tool_calls": [{"index": index, "id": id_, "function": {"name": name, "arguments": arguments}}]}


A, B = '{"text": "a"}', '{"text": "b"}'
ODD_CALLS: dict[str, tuple[list[dict[str, object]], list[tuple[str, str]]]] = {
    "one place for all": ([_piece(0, "c1", "send", A), _piece(0, "c2", "send", B)], [("send", "a"), ("send", "b")]),
    "in pieces": (
        [_piece(0, "c1", "send", '{"te'), _piece(0, "c1", "send", 'xt": "a"}'), _piece(0, "c2", "send", B)],
        [("send", "a"), ("send", "b")],
    ),
    "an id for each piece": ([_piece(0, "c1", "send", '{"te'), _piece(0, "c2", "send", 'xt": "a"}')], [("send", "a")]),
    "one place, then another": (
        [_piece(0, "c1", "send", A), _piece(0, "c2", "send", A), _piece(1, "c3", "send", B)],
        [("send", "a"), ("send", "a"), ("send", "b")],
    ),
    "one id for all": ([_piece(0, "c", "send", A), _piece(1, "c", "send", B)], [("send", "a"), ("send", "b")]),
    "JSON within a text": ([_piece(0, "c", "send", json.dumps(A))], [("send", "a")]),
    "halves of characters": (
        [_piece(0, "c", "send", '{"text": "\ud83d'), _piece(0, None, None, '\ude00"}')],
        [("send", "\U0001f600")],
    ),
}


@pytest.mark.parametrize("case", ODD_CALLS)
async def test_calls_that_an_endpoint_writes_in_its_own_way_are_each_performed(
    agent: Agent, endpoint: Endpoint, case: str
) -> None:
    deltas, calls = ODD_CALLS[case]
    endpoint.turns, endpoint.words = [(deltas, "tool_calls")], ["Done."]
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    assert await agent.attempt(model=model) == "Done."
    assert agent.calls() == calls
    messages: Any = endpoint.asked[-1]["messages"]
    called = [one["id"] for one in messages[-len(calls) - 1]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[-len(calls) :]] == called
    assert len(set(called)) == len(calls)
    agent.journal.next_attempt()
    assert await agent.attempt(model=model) == "Done.", "it plays again"
    assert agent.calls() == calls


@pytest.mark.parametrize("arguments", ["null", "", "{}"])
async def test_a_call_without_arguments_is_performed_however_it_is_written(
    agent: Agent, endpoint: Endpoint, arguments: str
) -> None:
    endpoint.turns, endpoint.words = [([_piece(0, "c", "echo", arguments)], "tool_calls")], ["Done."]
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    spec = {"tools": [{"mcp": {"command": [sys.executable, str(ODD)]}}]}
    assert await agent.attempt(spec=spec, model=model) == "Done."
    messages: Any = endpoint.asked[-1]["messages"]
    assert messages[-1]["content"] == "this is echo"


@pytest.mark.parametrize("arguments", ["[1]", "3", '"a"', "true"])
async def test_a_model_is_told_of_arguments_that_are_no_object(
    agent: Agent, endpoint: Endpoint, arguments: str
) -> None:
    endpoint.turns, endpoint.words = [([_piece(0, "c", "send", arguments)], "tool_calls")], ["Sorry."]
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    assert await agent.attempt(model=model) == "Sorry."
    messages: Any = endpoint.asked[-1]["messages"]
    assert "dict_type" in messages[-1]["content"]
    assert agent.calls() == []


async def test_a_model_that_calls_nothing_but_a_tool_that_is_not_there_is_said_to(agent: Agent) -> None:
    agent.plays(*[{"calls": [call("nosuch")]}] * 5)
    with pytest.raises(ModelFailed) as caught:
        await agent.attempt()
    assert caught.value.message == "the loop of model and tools ended: Tool 'nosuch' exceeded max retries count of 3."


async def test_a_tool_that_the_model_cannot_be_told_of_is_left_out_and_the_others_are_there(
    agent: Agent, endpoint: Endpoint
) -> None:
    endpoint.turns = [([{"content": "Hello."}], "stop")]
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    spec = {"tools": [{"mcp": {"command": [sys.executable, str(ODD), "bad-nested"]}}]}
    assert await agent.attempt(spec=spec, model=model) == "Hello."
    tools: Any = endpoint.asked[0]["tools"]
    names = {tool["function"]["name"] for tool in tools}
    assert "echo" in names
    assert not {"required_of_one", "type_as_text", "one_choice"} & names


def _calls_huge() -> list[tuple[list[dict[str, object]], str]]:
    called = {"index": 0, "id": "c1", "type": "function", "function": {"name": "huge", "arguments": "{}"}}
    return [([{"tool_calls": [called]}], "tool_calls")]


async def test_a_result_that_is_too_long_for_the_model_is_cut_for_it_and_recorded_whole(
    agent: Agent, endpoint: Endpoint
) -> None:
    endpoint.turns, endpoint.words, endpoint.request_bytes_max = _calls_huge(), ["Long."], 100_000
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    assert (
        await agent.attempt(spec={"tools": [{"mcp": {"command": [sys.executable, str(ODD)]}}]}, model=model) == "Long."
    )
    messages: Any = endpoint.asked[-1]["messages"]
    beginning, note, end = messages[-1]["content"].split("\n")
    assert beginning == end == "x" * len(end)
    assert f"here {2_000_000 - 2 * len(end):,} of 2,000,000 characters are left out" in note
    assert 10_000 < len(end) < 20_000, "no more is left out than need be"
    assert len(endpoint.asked) == 5
    recorded: Any = await agent.journal.find("/turns/0/calls/0")
    assert recorded["content"][0]["text"] == "x" * 2_000_000


async def test_what_is_too_long_without_a_long_result_fails_with_the_words_of_the_model(
    agent: Agent, endpoint: Endpoint
) -> None:
    endpoint.words, endpoint.request_bytes_max = ["No."], 10
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    with pytest.raises(ModelFailed, match="answered 400 Bad Request: your messages have too many tokens"):
        await agent.attempt(spec={}, model=model)
    assert len(endpoint.asked) == 1


async def test_a_turn_whose_model_only_keeps_its_connection_alive_is_asked_by_another_attempt(
    agent: Agent, endpoint: Endpoint
) -> None:
    endpoint.words, endpoint.pauses_s, endpoint.keeps_alive_s = ["Hel", "lo"], [0.0, 2.0], 0.05
    model = HostedModel(OPENAI, "m", ModelLibrary(silent_s=0.4), url=endpoint.url, key="k")
    with pytest.raises(LoopBroken, match=r"has said nothing for 0.4s") as caught:
        await agent.attempt(spec={}, model=model)
    assert caught.value.broke_off


ENDLESS: dict[str, dict[str, object]] = {
    "text": {"content": "again " * 10_000},
    "thoughts": {"reasoning_content": "again " * 10_000},
    "arguments": _piece(0, None, None, "again " * 10_000),
}


@pytest.mark.parametrize("what", ENDLESS)
async def test_an_answer_without_an_end_is_ended(agent: Agent, endpoint: Endpoint, what: str) -> None:
    first: dict[str, object] = {"content": "So. "}
    if what == "arguments":
        first = _piece(0, "c", "send", '{"text": "')
    endpoint.turns = [([first, *[ENDLESS[what]] * 60], "stop")]
    model = HostedModel(OPENAI, "m", ModelLibrary(), url=endpoint.url, key="k")
    with pytest.raises(ModelFailed, match="has not ended its answer after 2,000,000 characters of text, thoughts and"):
        await agent.attempt(spec={}, model=model)
