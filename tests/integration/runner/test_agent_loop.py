"""The loop of an agent with tools, with a real server of them and scripted models: what is performed, how often."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from stigmer_cli.api.agent_tools import LoopSpec
from stigmer_cli.api.reports import FollowUpBody, GenerationsBody, Work
from stigmer_cli.api.sessions import ExchangeBody
from stigmer_cli.api.usage import UsedBody
from stigmer_cli.clock import SystemClock
from stigmer_cli.domain.model_provider import OPENAI
from stigmer_cli.domain.waiting import WaitFor
from stigmer_cli.runner.agent.broken import LoopBroken
from stigmer_cli.runner.agent.loop import AgentLoop
from stigmer_cli.runner.journal import StepParked
from stigmer_cli.runner.model.hosted import HostedModel
from stigmer_cli.runner.model.library import ModelLibrary
from stigmer_cli.runner.model.script import ScriptedModel
from stigmer_cli.runner.model.seam import ModelFailed
from stigmer_cli.runner.waits import Exhausted
from stigmer_cli.tool_server import connection
from stigmer_cli.tool_server.connection import ServerSettings
from tests.support.http_tool_server import HttpToolServer
from tests.support.memory_journal import MemoryJournal
from tests.support.model_endpoint import Endpoint
from tests.support.polling import eventually

SERVER = Path(__file__).parents[2] / "support" / "ledger_server.py"
ODD = SERVER.with_name("odd_server.py")


class Agent:
    """A scripted agent with the ledger's tools, and what its executions did."""

    def __init__(self, folder: Path) -> None:
        self._script = folder / "script.yaml"
        self._ledger = folder / "ledger"
        self.journal = MemoryJournal()
        self.said = ""
        self.silent_s = 5.0

    def plays(self, *turns: dict[str, Any]) -> None:
        self._script.write_text(yaml.safe_dump(list(turns)))

    async def attempt(
        self,
        *,
        spec: dict[str, Any] | None = None,
        model: HostedModel | None = None,
        said: Sequence[ExchangeBody] = (),
        used: UsedBody | None = None,
        later: Sequence[FollowUpBody] = (),
        generations: GenerationsBody | None = None,
        **server: Any,
    ) -> str:
        """What one attempt answers; the journal goes on. With `spec` there is no server unless it names one."""
        self.said = ""
        command = [sys.executable, str(SERVER), str(self._ledger)]
        tools = [{"mcp": {"command": command}, **server}]
        work = Work(
            instructions="be brief",
            message="go",
            model="script:x",
            agent_name="a",
            conversation=list(said),
            used=used,
            follow_ups=list(later),
            generations=generations,
            spec=LoopSpec.model_validate({"tools": tools} if spec is None else spec),
        )
        clock = SystemClock()
        loop = AgentLoop(settings=ServerSettings(environ=os.environ, silent_s=self.silent_s, start_s=20.0), clock=clock)
        script = ScriptedModel(self._script, clock=clock)
        return await loop.run(work, model or script, self.journal, self._write, execution="aex-1")

    def _write(self, text: str) -> None:
        self.said += text

    def calls(self) -> list[tuple[str, object]]:
        return [(line["tool"], line["what"]) for line in self.lines()]

    async def has_called_twice(self) -> bool:
        return self._ledger.exists() and len(self.lines()) == 2

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._ledger.read_text().splitlines()]


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def call(tool: str, **arguments: object) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments}


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
