"""`call: mcp` against a real server of tools, as a child process and over HTTP."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from stigmer_cli.domain.idempotency import idempotency_key
from stigmer_cli.domain.step import Effect
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.runner.call.mcp import _make_body
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import TaskStep
from tests.support.temporal_server import free_port
from tests.support.workflows import MemoryJournal, MemoryWorld, run_text

LEDGER_SERVER = Path(__file__).parents[2] / "support" / "ledger_server.py"


class EffectsJournal(MemoryJournal):
    """Keeps what each step says of performing it twice."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: dict[str, Effect] = {}

    async def perform(self, step: TaskStep, effect: Any) -> Json:
        self.effects[step.key] = step.effect
        return await super().perform(step, effect)


class Tools:
    """Calls the server in a workflow."""

    def __init__(self, running: "Running", evaluator: Evaluator, client: httpx.AsyncClient) -> None:
        self.running = running
        self.journal = EffectsJournal()
        self._evaluator, self._client = evaluator, client

    async def ask(self, method: str, parameters: Any = None, *, task: Any = None, **more: Any) -> Any:
        given = {"method": method, "transport": {"http": {"endpoint": self.running.address}}, **more}
        if parameters is not None:
            given["parameters"] = parameters
        text = f"do: [{json.dumps({'ask': {'call': 'mcp', 'with': given, **(task or {})}})}]"
        world = MemoryWorld()
        world.journal = self.journal
        return await run_text(self._evaluator, text, {}, world=world, functions=make_functions(self._client))

    def read_ledger(self) -> list[Any]:
        return [json.loads(line) for line in self.running.ledger.read_text().splitlines()]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server of tools that answers over HTTP."""

    address: str
    ledger: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    ledger, port = tmp_path_factory.mktemp("mcp") / "ledger", free_port()
    with subprocess.Popen([sys.executable, LEDGER_SERVER, ledger, str(port)], stderr=subprocess.DEVNULL) as process:
        while True:
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Running(address=f"http://127.0.0.1:{port}/mcp", ledger=ledger)
        process.kill()


@pytest.fixture
async def tools(running: Running) -> AsyncIterator[Tools]:
    running.ledger.write_text("")
    evaluator = Evaluator()
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:  # noqa: S501 - no TLS is spoken
        yield Tools(running, evaluator, client)
    await evaluator.close()


async def test_a_tool_is_called_once_with_the_key_of_its_step_and_the_effect_that_its_server_says(tools: Tools) -> None:
    result = await tools.ask("tools/call", {"name": "put", "arguments": {"name": "milk"}})
    assert (result["structuredContent"], result["isError"]) == ({"put": "milk"}, False)
    assert [(entry["what"], entry["key"]) for entry in tools.read_ledger()] == [
        ("milk", idempotency_key("wex-1", "/do/0/ask"))
    ]
    assert tools.journal.effects == {"/do/0/ask/operation": Effect.REPEATABLE, "/do/0/ask": Effect.REPEATABLE}
    assert await tools.ask("tools/call", {"name": "put", "arguments": {"name": "milk"}}) == result
    assert len(tools.read_ledger()) == 1, "a replay takes what is recorded"
    tools.journal = EffectsJournal()
    with pytest.raises(WorkflowError, match="has no tool nothing; it has send, read"):
        await tools.ask("tools/call", {"name": "nothing"})


async def test_a_task_that_says_the_effect_itself_asks_the_server_nothing_before(tools: Tools) -> None:
    said = {"metadata": {"effects": "once"}}
    stdio = {
        "command": sys.executable,
        "arguments": [str(LEDGER_SERVER), str(tools.running.ledger)],
        "environment": {"OWN": "1"},
    }
    result = await tools.ask("tools/call", {"name": "environment"}, task=said, transport={"stdio": stdio})
    assert set(result["structuredContent"]["result"]) <= {"OWN", "PATH", "HOME", "LANG", "LC_CTYPE"}
    assert tools.journal.effects == {"/do/0/ask": Effect.ONCE}


def test_what_a_server_is_given_is_written_as_json_has_it_and_null_is_left_out() -> None:
    stdio: Json = {"command": "serve", "arguments": [True, 1], "environment": {"A": True, "B": None, "C": {"d": 1.5}}}
    body = _make_body({"transport": {"stdio": stdio}}, {})
    assert (body.command, body.env) == (["serve", "true", "1"], {"A": "true", "C": '{"d":1.5}'})


async def test_lists_and_failures_are_those_of_the_protocol(tools: Tools) -> None:
    listed = await tools.ask("tools/list")
    assert {"send", "read", "put"} <= {tool["name"] for tool in listed["tools"]}
    said = {"metadata": {"effects": "once"}}
    for method, parameters, kind, words in (
        ("tools/call", {"name": "send", "arguments": {"text": [1]}}, "runtime", "the tool send failed: "),
        ("resources/read", {"uri": "ledger://none"}, "runtime", "resources/read: "),
        ("prompts/get", {}, "configuration", "parameters.name of the call is missing"),
    ):
        tools.journal = EffectsJournal()
        with pytest.raises(WorkflowError, match=words) as caught:
            await tools.ask(method, parameters, task=said)
        assert str(caught.value.fields["type"]).endswith(f"/{kind}")


async def test_a_call_that_takes_too_long_ends_with_its_server(tools: Tools) -> None:
    parameters = {"name": "wait", "arguments": {"seconds": 60}}
    with pytest.raises(WorkflowError, match=r"took longer than 1\.0 s") as caught:
        await tools.ask("tools/call", parameters, task={"metadata": {"effects": "once"}}, timeout={"seconds": 1})
    assert str(caught.value.fields["type"]).endswith("/timeout")


async def test_a_server_that_cannot_be_used_is_a_communication_error(tools: Tools) -> None:
    with pytest.raises(WorkflowError, match="its tool server /nothing/there") as caught:
        await tools.ask("prompts/list", transport={"stdio": {"command": "/nothing/there"}})
    assert str(caught.value.fields["type"]).endswith("/communication")
