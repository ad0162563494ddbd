"""Schemas and scripts at an address: from a server on loopback that wants a token, and from files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.json_schema import SCHEMA_CHARS_MAX
from stigmer_cli.workflow.document import Rejected, read_workflows
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import find_unsupported
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Functions
from tests.support.http_service import Answer, Asked, Service, serve
from tests.support.workflows import HEAD, MemoryWorld, read_one, run_text

SCHEMA = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
SERVED: dict[str, Any] = {
    "/person.json": SCHEMA,
    "/wrong.json": {"type": "persons"},
    "/list.json": [1],
    "/long.json": {"description": "x" * SCHEMA_CHARS_MAX},
    "/far.json": {"$ref": "https://example.com/other.json"},
}
USE = "use: {authentications: {mine: {bearer: {token: t}}}}\n"


def _respond(asked: Asked) -> Answer:
    if asked.headers.get("authorization") != "Bearer t":
        return Answer(status=401)
    if asked.path == "/script.py":
        return Answer(parts=[b"\xef\xbb\xbfimport sys; print('hello', sys.argv[1], sys.stdin.read())"])
    return Answer(data=SERVED[asked.path]) if asked.path in SERVED else Answer(status=404)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serve(_respond) as served:
        yield served


class Caller:
    def __init__(self, evaluator: Evaluator, service: Service, functions: Functions) -> None:
        self.world = MemoryWorld()
        self._evaluator, self._service, self._functions = evaluator, service, functions

    def resource(self, path: str) -> Json:
        endpoint: Json = {"uri": f"{self._service.address}{path}", "authentication": {"use": "mine"}}
        return {"schema": {"format": "json", "resource": {"endpoint": endpoint}}}

    async def run(self, text: str, given: Json) -> Any:
        assert find_unsupported(read_one(USE + text), self._functions) == []
        return await run_text(self._evaluator, USE + text, given, world=self.world, functions=self._functions)

    async def check(self, path: str, given: Json) -> Any:
        task = {"set": "${ . }", "input": self.resource(path)}
        return await self.run(f"do: [{{one: {json.dumps(task)}}}]", given)


@pytest.fixture
def caller(evaluator: Evaluator, service: Service, functions: Functions) -> Caller:
    return Caller(evaluator, service, functions)


@pytest.mark.parametrize(
    ("word", "where", "instance"),
    [
        ("input", "workflow", "/input"),
        ("output", "workflow", "/output"),
        ("input", "task", "/do/0/one"),
        ("output", "task", "/do/0/one"),
        ("export", "task", "/do/0/one"),
    ],
)
async def test_data_is_checked_against_a_schema_at_an_address(
    word: str, where: str, instance: str, caller: Caller
) -> None:
    holder: Any = caller.resource("/person.json")
    if word == "export":
        holder = {"as": ".", **holder}
    task: Any = {"set": "${ . }", **({word: holder} if where == "task" else {})}
    text = f"do: [{{one: {json.dumps(task)}}}]"
    text += f"\n{word}: {json.dumps(holder)}" if where == "workflow" else ""
    assert await caller.run(text, {"name": "Ada"}) == {"name": "Ada"}
    caller.world = MemoryWorld()
    with pytest.raises(WorkflowError, match="does not fit its schema at") as caught:
        await caller.run(text, {"name": 5})
    fields = caught.value.fields
    assert (str(fields["type"]).rpartition("/")[2], fields["status"]) == ("validation", 400)
    assert fields["instance"] == instance


async def test_a_schema_is_fetched_once_for_all_attempts(caller: Caller, service: Service) -> None:
    assert await caller.check("/person.json", {"name": "Ada"}) == {"name": "Ada"}
    asked = len(service.asked)
    assert await caller.check("/person.json", {"name": "Ada"}) == {"name": "Ada"}
    assert len(service.asked) == asked


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/none.json", "communication", "none.json: 404 Not Found"),
        ("/list.json", "configuration", "list.json is no JSON Schema"),
        ("/wrong.json", "configuration", "wrong.json: no JSON Schema at"),
        ("/long.json", "configuration", "long.json: the schema is longer than 64 KiB"),
        ("/far.json", "validation", "refers to https://example.com/other.json, which is not in it"),
    ],
)
async def test_a_schema_that_cannot_be_had_says_why(path: str, kind: str, words: str, caller: Caller) -> None:
    with pytest.raises(WorkflowError, match=words) as caught:
        await caller.check(path, {"name": "Ada"})
    assert str(caught.value.fields["type"]).rpartition("/")[2] == kind


async def test_a_schema_and_a_script_are_files_whose_names_may_be_computed(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "person.yaml").write_text("type: object\nrequired: [name]\n")
    (tmp_path / "hello.py").write_text("import os, sys; print(sys.argv[1], os.environ['LOUD'])")
    schema = f"{{resource: {{endpoint: 'file://{tmp_path}/{{kind}}.yaml'}}}}"
    source = f"{{endpoint: '${{ \"file://{tmp_path}/\" + .script }}'}}"
    script = f"language: python, source: {source}, arguments: ['${{ .name }}'], environment: {{LOUD: 'yes'}}"
    text = f"do: [{{one: {{run: {{script: {{{script}}}}}, input: {{schema: {schema}}}}}}}]"
    assert await caller.run(text, {"name": "Ada", "kind": "person", "script": "hello.py"}) == "Ada yes\n"


async def test_a_script_is_fetched_with_its_authentication_once_for_all_attempts(
    caller: Caller, service: Service
) -> None:
    endpoint = {"uri": f"{service.address}/script.py", "authentication": {"use": "mine"}}
    script = {"language": "python", "source": {"endpoint": endpoint}, "arguments": ["Ada"], "stdin": "${ .in }"}
    text = f"do: [{{one: {{run: {json.dumps({'script': script})}}}}}]"
    assert await caller.run(text, {"in": "you"}) == "hello Ada you\n"
    asked = len(service.asked)
    assert await caller.run(text, {"in": "you"}) == "hello Ada you\n"
    assert len(service.asked) == asked
    recorded = json.dumps([caller.world.journal.inputs, caller.world.journal.results])
    assert "Bearer" not in recorded
    assert '"token"' not in recorded


async def test_a_script_that_cannot_be_had_says_why(caller: Caller, service: Service, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for address, words in [
        (f"{service.address}/script.py", "script.py: 401 Unauthorized"),
        (f"file://{tmp_path}/none.py", "none.py cannot be read: No such file"),
        (f"file://{tmp_path}/binary", "binary is no script: it is no text in UTF-8"),
    ]:
        caller.world = MemoryWorld()
        text = f"do: [{{one: {{run: {{script: {{language: python, source: {{endpoint: '{address}'}}}}}}}}}}]"
        with pytest.raises(WorkflowError, match=words):
            await caller.run(text, {})


def test_an_authentication_that_is_not_declared_is_found_before_it_runs() -> None:
    endpoint = "{endpoint: {uri: 'https://example.com/x', authentication: {use: her}}}"
    for text in (
        f"input: {{schema: {{resource: {endpoint}}}}}\ndo: [{{one: {{set: {{x: 1}}}}}}]",
        f"do: [{{one: {{set: {{x: 1}}, output: {{schema: {{resource: {endpoint}}}}}}}}}]",
        f"do: [{{one: {{run: {{script: {{language: js, source: {endpoint}}}}}}}}}]",
    ):
        [found] = read_workflows("w.yaml", HEAD + text)
        assert isinstance(found, Rejected), text
        assert "use.authentications has no 'her'" in found.problems[0]
