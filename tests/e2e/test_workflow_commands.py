"""Workflows by the installed command: applied with agents, listed, run, and told apart from agents."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.installed import Stigmer, installed
from tests.support.polling import eventually, wait_until
from tests.support.running_server import TOKEN, served
from tests.support.temporal_server import free_port

AGENT = "apiVersion: agentic.stigmer.ai/v1\nkind: Agent\nmetadata: {name: greeter}\n"
WORKFLOW = """document: {{dsl: '1.0.3', namespace: {namespace}, name: {name}, version: '1.0.0'}}
do:
  - first:
      set: {{sum: '${{ .a + 1 }}'}}
  - pause:
      if: .sum > 5
      wait: {{seconds: 1}}
  - refuse:
      if: .sum > 6
      raise: {{error: {{type: 'https://x.example/e', status: 409, title: Too much}}}}
"""


def document(name: str = "add", namespace: str = "shop") -> str:
    return WORKFLOW.format(name=name, namespace=namespace)


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[Stigmer]:
    """The command, and a server whose Temporal is away."""
    async with served(tmp_path, f"127.0.0.1:{free_port()}") as server:
        yield Stigmer(tmp_path / "home", {"STIGMER_SERVER_URL": server.url, "STIGMER_TOKEN": TOKEN})


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stigmer]:
    with installed(tmp_path / "home") as one:
        one.ok("up")
        yield one


async def _call(stigmer: Stigmer, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    done = await asyncio.to_thread(lambda: stigmer(*arguments, stdin=stdin))
    return done.returncode, done.stdout, done.stderr


async def test_agents_and_workflows_are_applied_together_or_not_at_all(alone: Stigmer) -> None:
    broken = document("broken").replace("wait:", "wiat:")
    code, _, told = await _call(alone, "apply", "-f", "-", stdin=f"{AGENT}---\n{document()}---\n{broken}")
    assert code == 2
    assert "<stdin>:" in told
    assert "did you mean wait?" in told
    assert (await _call(alone, "agents", "list"))[1] == "no agents yet; stigmer apply -f FILE creates one\n"

    both = f"{AGENT}---\n{document()}---\n{document(namespace='zoo')}---\n{document('greeter')}"
    _, out, told = await _call(alone, "apply", "-f", "-", stdin=both)
    assert out.splitlines() == [
        "agent/greeter created",
        "workflow/add created",
        "workflow/add created",
        "workflow/greeter created",
    ], told
    code, text, _ = await _call(alone, "workflows", "get", "shop/add", "-o", "yaml")
    assert (await _call(alone, "diff", "-f", "-", stdin=text))[:2] == (0, "")

    code, _, told = await _call(alone, "run", "add", "--input", "{}", "-d")
    assert (code, "several namespaces have a workflow add: shop/add, zoo/add" in told) == (1, True), told
    code, _, told = await _call(alone, "run", "greeter")
    assert "an agent and a workflow are called greeter" in told
    code, _, told = await _call(alone, "run", "workflow/shop/ad")
    assert "there is no workflow shop/ad; did you mean shop/add?" in told

    _, out, _ = await _call(
        alone,
        "apply",
        "-f",
        "-",
        stdin=f"{AGENT}spec: {{description: other}}\n---\n{document()}schedule: {{every: PT1H}}\n",
    )
    assert out.splitlines() == ["agent/greeter updated", "workflow/add updated"]

    code, id_, _ = await _call(alone, "run", "workflow/shop/add", "--input", '{"a": 1}', "-d")
    assert (code, id_[:4]) == (0, "wex-")
    _, listed, _ = await _call(alone, "executions", "list", "--workflow", "shop/add", "-o", "json")
    [item] = json.loads(listed)["items"]
    assert (item["metadata"]["id"], item["spec"]["input"]) == (id_.strip(), {"a": 1})
    code, _, told = await _call(alone, "workflows", "delete", "shop/add", "--yes")
    assert "hint: stigmer schedules pause shop/add && stigmer executions cancel --workflow shop/add --yes" in told


async def test_a_process_that_nobody_would_wait_for_is_refused_and_the_sentence_says_what_to_use(
    alone: Stigmer,
) -> None:
    text = f"{document().partition('do:')[0]}do:\n  - later:\n      run: {{await: false, shell: {{command: make}}}}\n"
    code, _, told = await _call(alone, "apply", "-f", "-", stdin=text)
    assert (code, "<stdin>:3:5: " in told) == (2, True), told
    assert "start that with run: workflow and await: false" in told
    inner = "run: {shell: {command: make}}"
    text = text.replace("name: add", "name: later").replace("run: {await: false, shell: {command: make}}", inner)
    run = "{await: false, workflow: {namespace: shop, name: later, version: latest}}"
    outer = f"{document()}  - later: {{run: {run}}}\n"
    assert (await _call(alone, "apply", "-f", "-", stdin=f"{text}---\n{outer}"))[0] == 0


async def test_the_printed_way_out_lets_a_workflow_be_deleted_that_runs_on_a_schedule(alone: Stigmer) -> None:
    scheduled = f"{document()}schedule: {{every: {{seconds: 1}}}}\n"
    assert (await _call(alone, "apply", "-f", "-", stdin=scheduled))[0] == 0

    async def find_started() -> bool | None:
        return "wex-" in (await _call(alone, "executions", "list", "--workflow", "add"))[1] or None

    await eventually(find_started, within_s=60)
    code, _, told = await _call(alone, "workflows", "delete", "add", "--yes")
    assert (code, "has not ended" in told or "have not ended" in told) == (1, True), told
    way_out = told.partition("hint: ")[2].strip()
    for command in way_out.split(" && "):
        code, _, told = await _call(alone, *command.split()[1:])
        assert code == 0, told
    assert (await _call(alone, "workflows", "delete", "add", "--yes"))[:2] == (0, "workflow/add deleted\n")


@pytest.mark.slow
def test_a_workflow_runs_waits_fails_and_goes_on_with_its_own_document(stack: Stigmer) -> None:
    stack("apply", "-f", "-", stdin=document())
    done = stack("run", "workflow/add", "--input", '{"a": 1}')
    assert (done.returncode, json.loads(done.stdout)) == (0, {"sum": 2}), done.stderr
    assert "/do/0/first" in done.stderr

    waited = stack.json("run", "add", "--input", '{"a": 5}')
    assert waited["status"]["output"] == {"sum": 6}
    assert [(one["name"], one["phase"]) for one in waited["status"]["tasks"]] == [
        ("first", "completed"),
        ("pause", "completed"),
        ("refuse", "skipped"),
    ]

    failed = stack("run", "add", "--input", '{"a": 9}', "-o", "json")
    status = json.loads(failed.stdout)["status"]
    assert (failed.returncode, status["phase"]) == (1, "FAILED")
    wanted = {"type": "https://x.example/e", "status": 409, "title": "Too much", "instance": "/do/2/refuse"}
    assert wanted.items() <= status["error"].items()


CHILDREN = """
document: {dsl: '1.0.3', namespace: test, name: inner, version: '1.0.0'}
do:
  - out: {set: {got: '${ $workflow.input.n }'}}
---
document: {dsl: '1.0.3', namespace: test, name: outer, version: '1.0.0'}
do:
  - both:
      fork:
        branches:
          - a: {call: agent, with: {agent: greeter, message: '${ .say }'}}
          - b: {run: {workflow: {namespace: test, name: inner, version: '1.0.0', input: {n: 2}}}}
---
document: {dsl: '1.0.3', namespace: test, name: slow, version: '1.0.0'}
do:
  - later: {wait: PT1H}
---
document: {dsl: '1.0.3', namespace: test, name: above, version: '1.0.0'}
do:
  - free: {run: {await: false, workflow: {namespace: test, name: slow, version: latest}}}
  - sub: {run: {workflow: {namespace: test, name: slow, version: latest}}}
---
document: {dsl: '1.0.3', namespace: test, name: starter, version: '1.0.0'}
do:
  - free: {run: {await: false, workflow: {namespace: test, name: slow, version: latest}}}
"""


@pytest.mark.slow
def test_a_workflow_waits_for_agents_and_workflows_and_takes_what_it_started_with_it(stack: Stigmer) -> None:
    applied = stack("apply", "-f", "-", stdin=f"{AGENT}---\n{CHILDREN}")
    assert applied.returncode == 0, applied.stderr
    done = stack("run", "workflow/outer", "--input", '{"say": "hello"}')
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["Echo (no model was asked): hello", {"got": 2}]

    started = stack.json("run", "workflow/starter", "--input", '{"n": 1}')
    assert started["status"]["output"] == {"n": 1}, "it goes on with its input"

    above = stack.ok("run", "workflow/above", "-d").strip()
    label = f"stigmer.ai/parent={above}"

    def read(id_: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(stack.ok("executions", "get", id_, "-o", "json"))["status"]
        return found

    def list_children() -> list[str]:
        found = json.loads(stack.ok("executions", "list", "--label", label, "-o", "json"))["items"]
        return [item["metadata"]["id"] for item in found]

    wait_until(lambda: (read(above).get("waiting") or {}).get("for") == "execution", within_s=20)
    child, free = sorted(list_children(), key=lambda id_: id_ not in read(above)["waiting"]["cause"])
    assert read(above)["waiting"]["cause"] == f"execution {child} has not ended"
    stack.ok("executions", "cancel", above)
    wait_until(lambda: read(child)["phase"] == "CANCELLED", within_s=20)
    assert read(above)["phase"] == "CANCELLED"
    assert read(free)["phase"] in {"PENDING", "IN_PROGRESS"}, "what is not awaited goes on"
    stack.ok("executions", "cancel", "--workflow", "test/slow", "--yes")


FETCHED = """
document: {dsl: '1.0.3', namespace: test, name: fetched, version: '1.0.0'}
input: {schema: {resource: {endpoint: 'file://FOLDER/person.json'}}}
do:
  - hello: {run: {script: {language: python, source: {endpoint: 'file://FOLDER/hello.py'}, arguments: ['${ .name }']}}}
  - ask: {call: agent, with: {agent: greeter, message: '${ . }'}}
"""


@pytest.mark.slow
def test_scripts_and_schemas_are_read_from_files_and_usage_is_shown_by_workflow(stack: Stigmer, tmp_path: Path) -> None:
    (tmp_path / "person.json").write_text('{"type": "object", "required": ["name"]}')
    (tmp_path / "hello.py").write_text("import sys; print('hello', sys.argv[1], end='')")
    applied = stack("apply", "-f", "-", stdin=f"{AGENT}---\n{FETCHED.replace('FOLDER', str(tmp_path))}")
    assert applied.returncode == 0, applied.stderr
    done = stack("run", "workflow/fetched", "--input", '{"name": "Ada"}')
    assert (done.returncode, done.stdout) == (0, '"Echo (no model was asked): hello Ada"\n'), done.stderr
    failed = stack("run", "workflow/fetched", "--input", "{}", "-o", "json")
    error = json.loads(failed.stdout)["status"]["error"]
    assert (failed.returncode, error["type"].rpartition("/")[2], error["instance"]) == (1, "validation", "/input")
    [used] = stack.json("usage", "--by", "workflow")["items"]
    assert (used["workflow"], used["agent"], used["executions"]) == ("test/fetched", "greeter", 1)


def test_a_try_without_a_stack_refuses_what_needs_one(tmp_path: Path) -> None:
    file = tmp_path / "above.yaml"
    for task, word in (
        ("{call: agent, with: {agent: a, message: b}}", "call: agent"),
        ("{run: {workflow: {namespace: test, name: slow, version: latest}}}", "run: workflow"),
    ):
        file.write_text(
            f"document: {{dsl: '1.0.3', namespace: test, name: above, version: '1.0.0'}}\ndo: [{{sub: {task}}}]\n"
        )
        done = Stigmer(tmp_path / "home")("workflows", "test", str(file))
        assert (done.returncode, f"{word} needs a stack" in done.stderr) == (2, True), done.stderr
