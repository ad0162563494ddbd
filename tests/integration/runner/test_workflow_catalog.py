"""Functions at an address and in a catalog, from a server on loopback and from files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.catalog import _make_raw
from stigmer_cli.workflow.interpreter.interpret import find_unsupported
from stigmer_cli.workflow.runtime import Functions
from tests.support.http_service import Answer, Asked, Service, serve
from tests.support.workflows import MemoryWorld, read_one, run_text

GREET = {
    "input": {"schema": {"document": {"type": "object", "required": ["name"]}}},
    "set": {"said": '${ "hello " + .name }'},
}
SCRIPT = {"run": {"script": {"language": "python", "arguments": {"name": "${ .name }", "loud": True, "no": None}}}}
SCRIPT["run"]["script"]["code"] = "import sys; print(sys.argv[1:])"
FUNCTIONS: dict[str, Any] = {
    "/functions/greet/1.0.0/function.yaml": GREET,
    "/functions/script/1.0.0/function.yaml": SCRIPT,
    "/functions/wrong/1.0.0/function.yaml": {"sett": {}},
    "/functions/again/1.0.0/function.yaml": {"call": "again:1.0.0@mine"},
}


def _respond(asked: Asked) -> Answer:
    if asked.headers.get("authorization") != "Bearer t":
        return Answer(status=401)
    return Answer(data=FUNCTIONS[asked.path]) if asked.path in FUNCTIONS else Answer(status=404)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serve(_respond) as served:
        yield served


class Caller:
    def __init__(self, evaluator: Evaluator, service: Service, functions: Functions) -> None:
        self.world = MemoryWorld()
        self._evaluator, self._service, self._functions = evaluator, service, functions

    def write(self, name: str) -> str:
        endpoint = {"uri": self._service.address, "authentication": {"bearer": {"token": "t"}}}
        task = {"greet": {"call": name, "with": {"name": "Ada"}}}
        return f"use: {{catalogs: {{mine: {{endpoint: {json.dumps(endpoint)}}}}}}}\ndo: [{json.dumps(task)}]"

    async def call(self, name: str) -> Any:
        text = self.write(name)
        assert find_unsupported(read_one(text), self._functions) == []
        return await run_text(self._evaluator, text, {}, world=self.world, functions=self._functions)


@pytest.fixture
def caller(evaluator: Evaluator, service: Service, functions: Functions) -> Caller:
    return Caller(evaluator, service, functions)


async def test_a_function_of_a_catalog_is_fetched_once_for_all_attempts(caller: Caller, service: Service) -> None:
    assert await caller.call("greet:1.0.0@mine") == {"said": "hello Ada"}
    asked = len(service.asked)
    assert await caller.call("greet:1.0.0@mine") == {"said": "hello Ada"}
    assert len(service.asked) == asked


async def test_a_function_is_a_file_and_its_script_may_have_named_arguments(caller: Caller, tmp_path: Path) -> None:
    (tmp_path / "function.yaml").write_text(json.dumps(SCRIPT))
    assert await caller.call(f"file://{tmp_path}/function.yaml") == "['--name', 'Ada', '--loud']\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wrong:1.0.0@mine", "function.yaml is no function of the DSL: "),
        ("nothing:1.0.0@mine", "nothing/1.0.0/function.yaml: 404 Not Found"),
        ("again:1.0.0@mine", "functions call functions more than 16 deep"),
        ("greet:1.0.0@default", "there is no catalog default"),
    ],
)
async def test_a_function_that_cannot_be_had_says_why(name: str, words: str, caller: Caller) -> None:
    with pytest.raises(WorkflowError, match=words):
        await caller.call(name)


def test_pages_of_repositories_lead_to_the_documents_themselves() -> None:
    raw = "https://raw.githubusercontent.com/a/b/main/functions/x/1/function.yaml"
    assert _make_raw("https://github.com/a/b/tree/main/functions/x/1/function.yaml") == raw
    assert _make_raw("https://gitlab.com/a/b/-/blob/main/f.yaml") == "https://gitlab.com/a/b/-/raw/main/f.yaml"
    assert _make_raw(raw) == raw
