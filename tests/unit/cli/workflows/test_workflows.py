"""`stigmer workflows validate` and `graph`: what they print, and their exit codes."""

import json
from pathlib import Path

import pytest

from stigmer_cli.cli.entry import invoke

HEAD = "document: {dsl: '1.0.3', namespace: shop, name: greet, version: '1.0.0'}\n"
GREET = f"{HEAD}do:\n  - hello: {{set: {{greeting: hello}}}}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "greet.yaml"
    written.write_text(GREET)
    return written


def test_validate_names_each_workflow(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["workflows", "validate", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: shop/greet 1.0.0: valid, 1 task\n"
    assert invoke(["workflows", "validate", str(file.parent), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "items": [{"file": str(file), "namespace": "shop", "name": "greet", "version": "1.0.0", "tasks": 1}]
    }


def test_validate_shows_every_mistake_with_its_place(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"{HEAD}do:\n  - hello: {{sett: {{}}, then: bye}}\n  - bye: {{wait: {{hour: 1}}}}\n")
    assert invoke(["workflows", "validate", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"{file}:3:5: do[0].hello: a task has one of the keys" in said
    assert f"{file}:4:18: unknown key 'do[1].bye.wait.hour'; did you mean hours?" in said


def test_graph_draws_a_tree_or_a_flowchart(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["workflows", "graph", str(file)]) == 0
    assert capsys.readouterr().out == "shop/greet 1.0.0\n└─ hello  set\n"
    assert invoke(["workflows", "graph", str(file), "-o", "mermaid"]) == 0
    mermaid = capsys.readouterr().out
    assert mermaid.startswith("flowchart TD\n")
    assert invoke(["workflows", "graph", str(file), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"workflow": "shop/greet 1.0.0", "mermaid": mermaid}


def test_graph_draws_one_workflow(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(f"{GREET}---\n{GREET}")
    assert invoke(["workflows", "graph", str(file)]) == 2
    assert "holds 2 workflows: name a file with one" in capsys.readouterr().err


RUN = f"""{HEAD}do:
  - hello: {{set: {{greeting: '${{ "Hello \\(.name)" }}'}}}}
  - pause: {{wait: {{milliseconds: 1}}}}
  - fail: {{raise: {{error: {{type: https://example.com/sold, status: 409}}}}, if: .greeting == "Hello nobody"}}
"""


def test_a_workflow_is_tried_with_its_input(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(RUN)
    given = tmp_path / "input.json"
    given.write_text('{"name": "Ada"}')
    assert invoke(["workflows", "test", str(file), "--input", f"@{given}"]) == 0
    assert json.loads(capsys.readouterr().out) == {"greeting": "Hello Ada"}
    assert invoke(["workflows", "test", str(file), "--input", '{"name": "nobody"}', "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["status"]["phase"] == "FAILED"
    assert found["status"]["error"] == {"type": "https://example.com/sold", "status": 409, "instance": "/do/2/fail"}
    assert [(task["name"], task["path"], task["phase"]) for task in found["status"]["tasks"]] == [
        ("hello", "/do/0/hello", "completed"),
        ("pause", "/do/1/pause", "completed"),
        ("fail", "/do/2/fail", "faulted"),
    ]


@pytest.mark.parametrize(
    ("text", "given", "words"),
    [
        (f"{HEAD}do: [{{a: {{listen: {{to: {{any: []}}}}}}}}]", "{}", "the task listen is not supported"),
        (f"{HEAD}do: [{{a: {{call: 'x:1@default'}}}}]", "{}", "call: x:1@default is not supported"),
        (RUN, "{", "the input is not JSON"),
        (RUN, "@missing.json", "cannot read missing.json"),
    ],
)
def test_what_cannot_be_tried_is_refused_before_it_begins(
    text: str, given: str, words: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    assert invoke(["workflows", "test", str(file), "--input", given]) == 2
    assert words in capsys.readouterr().err
