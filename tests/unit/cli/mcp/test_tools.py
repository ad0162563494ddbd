"""The tools as a client of the protocol's library sees them, without a stack."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp_types import CallToolResult, TextContent, Tool

from stigmer_cli.cli.context import Cli
from stigmer_cli.cli.mcp.bounds import RESULT_MAX
from stigmer_cli.cli.mcp.serve import build_server
from stigmer_cli.cli.mcp.tool import DEFECT
from stigmer_cli.domain.phase import Phase
from stigmer_cli.settings import Home
from tests.support.temporal_server import free_port

LOOKING = [
    "status",
    "doctor",
    "explain_check",
    "list_agents",
    "list_workflows",
    "list_executions",
    "get_execution",
    "stuck_executions",
    "logs",
    "preview_reconcile",
]
CHANGING = ["run_agent", "run_workflow", "reconcile", "restart", "cancel_execution", "emit_event"]
ADDING = ("run_agent", "run_workflow", "emit_event")
TOKEN = "secret-token-of-this-home-0123456789"


@pytest.fixture
def cli(home: Home, tmp_path: Path) -> Cli:
    home.token_file.write_text(TOKEN)
    home.token_file.chmod(0o600)
    return Cli(
        environ={"STIGMER_HOME": str(home.path), "STIGMER_SERVER_PORT": str(free_port()), "PATH": "/usr/bin"},
        user_home=tmp_path,
    )


async def call(cli: Cli, tool: str, **arguments: object) -> CallToolResult:
    async with Client(build_server(cli, is_changing=False)) as client:
        return await client.call_tool(tool, arguments)


async def tools_of(cli: Cli, *, is_changing: bool) -> Mapping[str, Tool]:
    async with Client(build_server(cli, is_changing=is_changing)) as client:
        return {tool.name: tool for tool in (await client.list_tools()).tools}


def text_of(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def write_log(home: Home, lines: list[str]) -> None:
    home.logs.mkdir(mode=0o700)
    (home.logs / "server.log").write_text("".join(f"{line}\n" for line in lines))


async def test_tools_that_change_something_are_offered_only_if_allowed(cli: Cli) -> None:
    assert list(await tools_of(cli, is_changing=False)) == LOOKING
    assert list(await tools_of(cli, is_changing=True)) == LOOKING + CHANGING


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"limt": 3}, "it has no argument 'limt'; did you mean limit?"),
        ({"limit": 0}, "the argument 'limit' should be greater than or equal to 1"),
        (
            {"phases": ["RUNNING"]},
            "the argument 'phases.0' should be 'PENDING', 'IN_PROGRESS', 'COMPLETED', 'FAILED' or 'CANCELLED'",
        ),
    ],
)
async def test_wrong_arguments_are_told_in_a_sentence(cli: Cli, arguments: dict[str, object], told: str) -> None:
    refused = await call(cli, "list_executions", **arguments)
    takes = "list_executions takes phases, agent, older_than, only_stuck, limit, cursor"
    assert refused.is_error
    assert text_of(refused) == f"list_executions was not called: {told}\nhint: {takes}"


async def test_missing_and_too_short_arguments_are_told_by_their_names(cli: Cli) -> None:
    async with Client(build_server(cli, is_changing=True)) as client:
        empty = await client.call_tool("run_agent", {})
        short = await client.call_tool("run_agent", {"agent": "a", "message": ""})
    assert "run_agent was not called: the argument 'agent' is missing; the argument 'message' is missing" in text_of(
        empty
    )
    assert "the argument 'message' is wrong: string should have at least 1 character" in text_of(short)
    assert "status takes no arguments" in text_of(await call(cli, "status", verbose=True))


async def test_every_tool_says_what_it_is_what_it_takes_and_what_it_answers(cli: Cli) -> None:
    for name, tool in (await tools_of(cli, is_changing=True)).items():
        assert tool.description, name
        assert tool.title, name
        assert tool.input_schema["additionalProperties"] is False, name
        for argument, schema in tool.input_schema.get("properties", {}).items():
            assert schema.get("description") or argument == "limit", (name, argument)
        assert tool.output_schema, name
        assert {"note", "cut"} <= set(tool.output_schema["properties"]), name


async def test_arguments_are_described_without_references(cli: Cli) -> None:
    tools = await tools_of(cli, is_changing=True)
    for name, tool in tools.items():
        described = json.dumps(tool.input_schema)
        assert "$ref" not in described, name
        assert "$defs" not in described, name
    phases = tools["list_executions"].input_schema["properties"]["phases"]
    assert [one.get("items", {}).get("enum") for one in phases["anyOf"]] == [list(Phase), None]


async def test_the_annotations_tell_looking_from_changing(cli: Cli) -> None:
    for name, tool in (await tools_of(cli, is_changing=True)).items():
        assert tool.annotations, name
        assert tool.annotations.read_only_hint is (name in LOOKING), name
        assert tool.annotations.destructive_hint is (name in CHANGING and name not in ADDING), name
        assert tool.annotations.idempotent_hint is (name not in ADDING), name


async def test_status_works_while_the_stack_is_down(cli: Cli) -> None:
    found = await call(cli, "status")
    assert not found.is_error
    assert found.structured_content["state"] == "stopped"
    assert found.structured_content["hint"] == "stigmer up"
    assert json.loads(text_of(found)) == found.structured_content


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("list_executions", {}),
        ("list_agents", {}),
        ("get_execution", {"execution": "@last"}),
        ("stuck_executions", {}),
        ("preview_reconcile", {}),
    ],
)
async def test_without_a_server_the_others_say_what_to_type(cli: Cli, tool: str, arguments: dict[str, Any]) -> None:
    found = await call(cli, tool, **arguments)
    assert found.is_error
    sentence, hint = text_of(found).splitlines()
    assert "is not running" in sentence
    assert hint.startswith("hint: stigmer up")
    assert found.structured_content["problem"]["code"] == "not-running"


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("explain_check", {"code": "STG999"}, "there is no check 'STG999'"),
        ("list_executions", {"older_than": "soon"}, "'soon' is not a span of time"),
        ("preview_reconcile", {"older_than": "99999999999d"}, "99999999999d is longer than 11574d 1h"),
        ("list_executions", {"older_than": "9" * 400}, "is longer than 11574d 1h"),
        ("list_executions", {"phase": "FAILED"}, "it has no argument 'phase'"),
        ("list_executions", {"limit": 1000}, "less than or equal to 40"),
        ("get_execution", {"execution": "x"}, "is too short for a part of an execution id"),
        ("logs", {"parts": ["kitchen"]}, "there is no part kitchen"),
        ("nothing", {}, "Unknown tool"),
    ],
)
async def test_a_wrong_call_is_a_tool_error_in_words(
    cli: Cli, tool: str, arguments: dict[str, Any], words: str
) -> None:
    found = await call(cli, tool, **arguments)
    assert found.is_error
    assert words in text_of(found)
    assert "Traceback" not in text_of(found)


async def test_a_check_is_explained(cli: Cli) -> None:
    found = await call(cli, "explain_check", code="stg105")
    assert found.structured_content["code"] == "STG105"
    assert "Temporal" in found.structured_content["explanation"]


async def test_logs_are_without_secrets_and_control_sequences(cli: Cli, home: Home) -> None:
    write_log(home, [f"the token is {TOKEN}", "api_key=abcdefgh \x1b[31mred\x1b[0m"])
    found = await call(cli, "logs", parts=["server"])
    texts = [line["text"] for line in found.structured_content["lines"]]
    assert texts == ["the token is [redacted]", "api_key=[redacted] red"]
    assert [line["at"] for line in found.structured_content["lines"]] == [None, None]
    assert TOKEN not in found.model_dump_json()


async def test_the_last_lines_of_a_long_log_fit(cli: Cli, home: Home) -> None:
    write_log(home, [f"{number} {'x' * 500}" for number in range(300)])
    found = await call(cli, "logs", tail=300)
    assert len(text_of(found)) <= RESULT_MAX
    assert found.structured_content["lines"][-1]["text"].startswith("299 ")
    assert "of 300 are here" in found.structured_content["cut"]
    assert "smaller `tail`" in found.structured_content["cut"]


async def test_lines_are_found_by_a_text_behind_the_tail_too(cli: Cli, home: Home) -> None:
    write_log(home, ["the needle", *["hay"] * 200])
    found = await call(cli, "logs", tail=5, contains="NEEDLE")
    assert [line["text"] for line in found.structured_content["lines"]] == ["the needle"]


async def test_an_unforeseen_failure_is_a_sentence_and_ends_nothing(cli: Cli, home: Home) -> None:
    home.logs.mkdir()
    (home.logs / "server.log").mkdir()  # no log can be read from a folder
    found = await call(cli, "logs", parts=["server"])
    assert found.is_error
    assert text_of(found).splitlines() == [f"{DEFECT} (IsADirectoryError)", "hint: stigmer doctor"]
    assert not (await call(cli, "status")).is_error
