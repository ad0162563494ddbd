"""The documents in the manual are accepted, and what it prints beside a command is what the command prints."""

import io
import re
import shlex
from pathlib import Path

import pytest

from stigmer_cli.cli.agents.manifest import find_agents, read_sources
from stigmer_cli.cli.entry import invoke
from stigmer_cli.cli.help.topics import TOPICS, read_page
from stigmer_cli.workflow.document import Rejected, read_workflows
from tests.support.manual_files import read_files, write_files

DOCUMENT = re.compile(r"^```yaml\n((?:# \S+\n)?document:.*?)^```$", re.MULTILINE | re.DOTALL)
TRIED = re.compile(r"^```console\n\$ stigmer (workflows test .*?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GRAPH = re.compile(r"^```\n(\w+/\w+ 1\.0\.0\n.*?)^```$", re.MULTILINE | re.DOTALL)
WORKFLOWS = {topic: DOCUMENT.findall(read_page(topic)) for topic in TOPICS}
COMMANDS = [(topic, line, shown) for topic in TOPICS for line, shown in TRIED.findall(read_page(topic))]


@pytest.mark.parametrize("topic", [topic for topic, documents in WORKFLOWS.items() if documents])
def test_every_workflow_in_the_manual_is_accepted(topic: str) -> None:
    for document in WORKFLOWS[topic]:
        assert [read.problems for read in read_workflows(topic, document) if isinstance(read, Rejected)] == []


@pytest.mark.parametrize(("topic", "agents"), [("tools", ["clerk"]), ("review", ["bug-finder", "style-critic"])])
def test_every_agent_that_the_manual_has_a_reader_write_is_accepted_with_its_script(
    topic: str, agents: list[str], tmp_path: Path
) -> None:
    write_files(topic, tmp_path)
    [file] = [file for file in tmp_path.iterdir() if "kind: Agent" in file.read_text()]
    [source] = read_sources([str(file)], io.BytesIO())
    manifests, problems = find_agents(source)
    assert ([one.metadata.name for one in manifests], problems) == (agents, [])


@pytest.mark.parametrize(("topic", "line", "shown"), COMMANDS)
def test_a_workflow_that_the_manual_tries_prints_what_it_says(
    topic: str,
    line: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_files(topic, tmp_path)
    monkeypatch.chdir(tmp_path)
    assert invoke(shlex.split(line)) == 0
    assert capsys.readouterr().out == shown


def test_the_pages_have_what_these_tests_look_for() -> None:
    assert {topic for topic, documents in WORKFLOWS.items() if documents} >= {
        "workflows",
        "calls",
        "processes",
        "review",
    }
    assert [topic for topic, _, _ in COMMANDS] == ["workflows", "processes"]
    assert sorted(read_files("review")) == ["agents.yaml", "bugs.yaml", "review.yaml", "style.yaml"]


def test_the_tree_and_the_mistake_on_the_page_are_those_of_the_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_files("workflows", tmp_path)
    monkeypatch.chdir(tmp_path)
    assert invoke(["workflows", "graph", "order.yaml"]) == 0
    assert [capsys.readouterr().out] == GRAPH.findall(read_page("workflows"))
    file = tmp_path / "order.yaml"
    file.write_text(file.read_text().replace("      set: {total", "      iff: true\n      set: {total"))
    assert invoke(["workflows", "validate", "order.yaml"]) == 2
    [error, _] = capsys.readouterr().err.splitlines()
    assert error in read_page("workflows").splitlines()
