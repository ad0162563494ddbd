"""The runner of the conformance kit: that it passes what holds, and fails what does not."""

from pathlib import Path

import httpx

from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.runner.call.functions import make_functions
from stigmer_cli.workflow.document import Workflow, read_workflows
from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import interpret
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts
from tests.conformance.check import Ran, check_scenario
from tests.conformance.examples import find_forgotten, run_examples
from tests.conformance.feature import read_features
from tests.support.workflows import STARTED_MS, MemoryWorld

FEATURE = '''Feature: Greet

  Scenario: Greet somebody
    Given a workflow with definition:
    """yaml
    document: {dsl: '1.0.3', namespace: default, name: greet, version: '1.0.0'}
    do:
      - first:
          set: {hello: {who: "${ .who }"}}
      - second:
          call: http
          with: {method: get, endpoint: 'https://petstore.swagger.io/v2/pet/99'}
          if: .hello.who == "pet"
    """
    And given the workflow input is:
    """yaml
    who: WHO
    """
    When the workflow is executed
    EXPECTED
'''

EXPECTATIONS = (
    ("Then the workflow should complete", "Tintin", ""),
    ("Then the workflow should complete", "pet", "it faulted"),
    ("Then the workflow should fault", "pet", ""),
    ("Then the workflow should fault", "Tintin", "it completed with"),
    ("And the workflow output should have properties 'hello', 'hello.who'", "Tintin", ""),
    ("And the workflow output should have properties 'hello.whom'", "Tintin", "missing: ['hello.whom']"),
    ("And first should run first", "Tintin", ""),
    ("And second should run first", "Tintin", "the order was ['first']"),
    ("And second should run after first", "pet", ""),
    ("And second should run before first", "pet", "the order was"),
    ("And second should fault", "pet", ""),
    ("And first should cancel", "pet", "it is completed"),
    ("And the moon should rise", "pet", "does not know that step"),
)


async def test_an_expectation_passes_if_it_holds_and_only_then(tmp_path: Path) -> None:
    for expected, who, problem in EXPECTATIONS:
        (tmp_path / "greet.feature").write_text(FEATURE.replace("EXPECTED", expected).replace("WHO", who))
        [scenario] = read_features(tmp_path)
        assert (scenario.feature, scenario.name) == ("greet", "Greet somebody")
        said = await check_scenario(scenario, _run_here)
        assert (problem in said) if problem else not said, (expected, who, said)


async def test_a_workflow_that_is_refused_does_not_pass(tmp_path: Path) -> None:
    async def refuse(_definition: str, _given: Json) -> Ran:
        raise RuntimeError("stigmer apply ended with 2")

    (tmp_path / "greet.feature").write_text(FEATURE)
    [scenario] = read_features(tmp_path)
    assert await check_scenario(scenario, refuse) == "stigmer apply ended with 2"


async def _run_here(definition: str, given: Json) -> Ran:
    """As the command does it, in this process, where no host has anything."""
    [workflow] = read_workflows("greet.feature", definition)
    assert isinstance(workflow, Workflow)
    world, ran, evaluator = MemoryWorld(), Ran(), Evaluator()
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _request: httpx.Response(404))) as client:
        try:
            ran.output = await interpret(
                workflow,
                given,
                facts=ExecutionFacts(id="wex-conformance", started_ms=STARTED_MS, runtime_version="1.0"),
                world=world,
                functions=make_functions(client),
                evaluator=evaluator,
            )
        except WorkflowError as error:
            ran.error = error.fields
        finally:
            await evaluator.close()
    ran.order = [event.task.name for event in world.events if event.phase is TaskPhase.RUNNING]
    ran.phases = {event.task.name: event.phase for event in world.events}
    return ran


EXAMPLE = "document: {dsl: '1.0.3', namespace: examples, name: one, version: '1.0.0'}\ndo:\n  - first: "
EXAMPLES = {
    "call-mcp": "{call: mcp, with: {method: tools/list, transport: {stdio: {command: npx}}}}",
    "fork": "{raise: {error: {type: https://x.example/surprise, status: 500}}}",
    "raise-inline": "{set: {a: 1}}",
    "set": "{set: '${ $workflow.input[0].type }'}",
    "switch-then-string": "{sett: {a: 1}}",
    "wait-duration-inline": "{wait: {days: 30}}",
}


def test_an_example_passes_if_it_is_valid_and_ends_as_it_has_to(tmp_path: Path) -> None:
    for name, task in EXAMPLES.items():
        (tmp_path / f"{name}.yaml").write_text(f"{EXAMPLE}{task}\n")
    examples = run_examples(tmp_path)
    assert [(one.name, one.verdict, one.outcome) for one in examples] == [
        ("call-mcp", "-", "not run"),
        ("fork", "FAIL", "faulted: surprise"),
        ("raise-inline", "FAIL", "completed"),
        ("set", "pass", "completed"),
        ("switch-then-string", "FAIL", ""),
        ("wait-duration-inline", "pass", "completed"),
    ]
    assert "did you mean set?" in examples[4].problems[0]
    assert "raise-reusable" in find_forgotten(examples)
    assert "raise-inline" not in find_forgotten(examples)
