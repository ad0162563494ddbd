"""What a script reads: lists that say when they are cut, errors in JSON, and output that nobody takes."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installed import Stigmer
from tests.support.running_server import TOKEN, Served, accept, make_agent
from tests.support.temporal_server import free_port

NUMBER = 7


@pytest.fixture(scope="module")
def stigmer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stigmer]:
    """The command, and a server with some queued executions of the agent `counted`; its Temporal is away."""
    folder = tmp_path_factory.mktemp("script")
    server = Served(folder, f"127.0.0.1:{free_port()}")
    try:
        asyncio.run(_fill(server))
        yield Stigmer(folder / "home", {"STIGMER_SERVER_URL": server.url, "STIGMER_TOKEN": TOKEN})
    finally:
        server.kill()


async def _fill(server: Served) -> None:
    await server.start()
    async with server.client() as client:
        for name in ("greeter", "counted"):
            await make_agent(client, name)
        for number in range(NUMBER):
            await accept(client, f"k{number}", agent="counted")


async def _call(stigmer: Stigmer, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return await asyncio.to_thread(stigmer, *arguments)


async def _json(stigmer: Stigmer, *arguments: str) -> dict[str, Any]:
    return await asyncio.to_thread(stigmer.json, *arguments)


async def test_a_list_that_is_cut_says_so_and_can_be_continued(stigmer: Stigmer) -> None:
    counted = ("executions", "list", "--agent", "counted")
    done = await _call(stigmer, *counted, "--limit", "3")
    assert len(done.stdout.splitlines()) == 1 + 3
    assert done.stderr.endswith("3 of 7; to see more: --limit N, or --all\n")

    first = await _json(stigmer, *counted, "--limit", "3")
    assert first["truncated"] is True
    rest = await _json(stigmer, *counted, "--cursor", first["nextCursor"])
    assert (rest["truncated"], rest["nextCursor"]) == (False, None)
    whole = await _json(stigmer, *counted, "--all")
    assert _ids(first) + _ids(rest) == _ids(whole)
    assert len(_ids(whole)) == NUMBER


async def test_an_agent_that_does_not_exist_is_an_error_and_in_json_a_problem(stigmer: Stigmer) -> None:
    done = await _call(stigmer, "executions", "list", "--agent", "nope", "-o", "json")
    assert done.returncode == 5
    problem = json.loads(done.stdout)
    assert (problem["code"], problem["detail"]) == ("not-found", "there is no agent nope")
    assert "error: there is no agent nope" in done.stderr


async def test_a_timeout_prints_the_execution_and_a_hint_that_helps(stigmer: Stigmer) -> None:
    done = await _call(stigmer, "run", "greeter", "hello", "--timeout", "0.1", "-o", "json")
    assert done.returncode == 124
    found = json.loads(done.stdout)
    assert (found["kind"], found["status"]["phase"]) == ("AgentExecution", "PENDING")


async def test_what_is_followed_says_why_it_stands_still(stigmer: Stigmer) -> None:
    lines = await _call(stigmer, "run", "greeter", "hello", "--timeout", "9", "-o", "stream-json")
    events = [json.loads(line) for line in lines.stdout.splitlines()]
    [stuck] = [event["stuck"] for event in events if "stuck" in event]
    assert stuck["class"] == "queued"
    assert "Temporal unreachable" in stuck["cause"]
    assert [*events[-1]] == ["execution"]
    listed = await _json(stigmer, "executions", "list", "--limit", "1")
    assert [item["stuck"] and item["stuck"]["class"] for item in listed["items"]] == ["queued"]


async def test_a_single_execution_in_json_has_its_timeline_and_a_second_cancel_says_so(stigmer: Stigmer) -> None:
    listed = await _json(stigmer, "executions", "list", "--limit", "1")
    name = listed["items"][0]["metadata"]["id"]
    found = await _json(stigmer, "executions", "get", name)
    assert [event["type"] for event in found["events"]][:1] == ["accepted"]
    assert (await _call(stigmer, "executions", "cancel", name)).stdout == f"{name} CANCELLED\n"


def test_wrong_usage_is_a_problem_in_json(tmp_path: Path) -> None:
    stigmer = Stigmer(tmp_path / "home")
    for arguments in (("executions", "get", "-o", "json"), ("nonsense", "--output=json")):
        done = stigmer(*arguments)
        assert done.returncode == 2
        assert json.loads(done.stdout)["code"] == "invalid-configuration"
    streamed = stigmer("status", "--nonsense", "-ostream-json")
    assert [*json.loads(streamed.stdout)] == ["problem"]


def test_an_argument_that_is_not_utf_8_is_refused_with_its_number(tmp_path: Path) -> None:
    stigmer = Stigmer(tmp_path / "home")
    done = subprocess.run(
        [stigmer.command.encode(), b"run", b"greeter", b"caf\xe9"],
        env=stigmer.environment,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == b"error: argument 3 is not UTF-8: b'caf\\xe9'\nhint: stigmer --help\n"


@pytest.mark.parametrize("output", ["table", "json"])
def test_output_in_ascii_is_escaped(tmp_path: Path, output: str) -> None:
    home = tmp_path / "hömé"
    stigmer = Stigmer(home, {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    done = subprocess.run(
        [stigmer.command, "config", "list", "-o", output], env=stigmer.environment, capture_output=True, check=False
    )
    assert done.returncode == 0
    text = done.stdout.decode("ascii")
    if output == "json":
        assert json.loads(text)["home"] == str(home)


async def test_what_a_command_does_does_not_depend_on_a_reader(stigmer: Stigmer) -> None:
    done = await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", '"$0" executions cancel "$1" 2>&1 | true', stigmer.command, await _newest(stigmer)],
        env=stigmer.environment,
        capture_output=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (b"", b"")
    listed = await _json(stigmer, "executions", "list", "--limit", "1")
    assert listed["items"][0]["status"]["phase"] == "CANCELLED"


async def _newest(stigmer: Stigmer) -> str:
    return _ids(await _json(stigmer, "executions", "list", "--limit", "1"))[0]


def _ids(listed: dict[str, Any]) -> list[str]:
    return [item["metadata"]["id"] for item in listed["items"]]
