"""Files that hold agents and workflows: each document goes to its own reader, and keeps its lines."""

import pytest

from stigmer_cli.cli.agents.documents import split_source
from stigmer_cli.yaml_source import YamlSource

AGENT = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: a}\n"
BARE = "document: {dsl: '1.0.3', namespace: n, name: w, version: '1'}\ndo: []\n"
WRAPPED = "kind: Workflow\nspec:\n  document: {}\n"


def split(text: str) -> tuple[str | None, str | None]:
    found = split_source(YamlSource(name="x", text=text))
    return (
        None if found.agents is None else found.agents.text,
        None if found.workflows is None else found.workflows.text,
    )


def test_a_file_of_one_sort_is_left_as_it_is() -> None:
    assert split(AGENT) == (AGENT, None)
    assert split(BARE) == (None, BARE)
    assert split(WRAPPED) == (None, WRAPPED)
    assert split('{"document": {"dsl": "1.0.3"}, "do": []}') == (None, '{"document": {"dsl": "1.0.3"}, "do": []}')


def test_each_line_of_a_mixed_file_keeps_its_number() -> None:
    agents, workflows = split(f"# first\n{AGENT}---\n{BARE}---\n{WRAPPED}---\n{AGENT}")
    assert agents == f"# first\n{AGENT}" + "\n" * 7 + f"---\n{AGENT}"
    assert workflows == "\n" * 4 + f"---\n{BARE}---\n{WRAPPED}" + "\n" * 4


@pytest.mark.parametrize(
    ("text", "is_workflow"),
    [
        ("kind: Workflw\n", True),
        ("kind: Agnet\n", False),
        ("kind: Agent\ndocument: {}\n", False),
        ("metadata: {document: 1, kind: Workflow}\n", False),
        ("- document: 1\n", False),
        ("document: [\n", True),
        ("kind: {a: b}\n", False),
        ("", False),
    ],
)
def test_a_mistake_is_told_by_the_reader_of_what_was_meant(text: str, is_workflow: bool) -> None:  # noqa: FBT001
    agents, workflows = split(text)
    assert (agents is None, workflows is None) == (is_workflow, not is_workflow)
