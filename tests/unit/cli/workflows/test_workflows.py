"""`stigmer workflows validate` and `graph`: what they print, and their exit codes."""

import json
from pathlib import Path

import pytest

from stigmer_cli.cli.entry import invoke

HEAD = "document: {dsl: '1.0.3', namespace: shop, name: greet, version: '1.0.0'}\n"
GREET = f"{HEAD}do:\n  - hello: {{set: {{greeting: hello}}}}\n"
OTHER = "run: {workflow: {namespace: shop, name: other, version: '1.0.0'}}"


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
        (f"{HEAD}do: [{{a: {{listen: {{to: {{any: []}}}}}}}}]", "{}", "/do/0/a listens for events, and no more come"),
        (f"{HEAD}do: [{{a: {{{OTHER}}}}}]", "{}", "run: workflow needs a stack"),
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


TALK = f"""{HEAD}do:
  - both:
      fork:
        branches:
          - ask: {{emit: {{event: {{with: {{type: question, data: {{n: 2}}}}}}}}}}
          - answer: {{listen: {{to: {{all: [{{with: {{type: question}}}}, {{with: {{type: hint}}}}]}}}}}}
"""


def test_a_workflow_hears_the_events_that_are_given_and_its_own(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(TALK)
    hints = tmp_path / "hints.json"
    hints.write_text('[{"type": "hint", "data": 1}]')
    assert invoke(["workflows", "test", str(file), "--event", f"{hints}", "--event", '{"type": "x"}']) == 0
    [asked, heard] = json.loads(capsys.readouterr().out)
    assert (asked["type"], heard) == ("question", [1, {"n": 2}])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("{", "the event is not JSON"),
        ("[1]", "event 1: an event is a JSON object"),
        ('{"data": 1}', "event 1: the event has no 'type'"),
        ('[{"type": "a"}, {"type": "a", "Order": "1"}]', "event 2: 'Order' is no name of an attribute"),
        ("missing.json", "cannot read missing.json"),
    ],
)
def test_what_is_no_event_is_refused(given: str, words: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(TALK)
    assert invoke(["workflows", "test", str(file), "--event", given]) == 2
    assert words in capsys.readouterr().err
