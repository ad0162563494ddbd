"""Runs a scenario through the command, and says which of its expectations does not hold."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.yaml_json import read_yaml
from tests.conformance.feature import Scenario, Step
from tests.conformance.stack import Stigmer

MISSING = object()


@dataclass(kw_only=True)
class Ran:
    """How an execution ended."""

    output: Json = None
    error: Mapping[str, Json] | None = None
    phases: dict[str, TaskPhase] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)


Run = Callable[[str, Json], Awaitable[Ran]]
"""Runs a definition with an input. Raises RuntimeError where it is refused."""


async def run_workflow(stigmer: Stigmer, definition: str, given: Json) -> Ran:
    """Apply and run it. Raises RuntimeError where a command refuses it."""
    applied = await stigmer.run("apply", "-f", "-", given=definition)
    if applied.code:
        raise RuntimeError(f"stigmer apply ended with {applied.code}: {applied.err}")
    name = read_document(definition)["document"]["name"]
    status = (await stigmer.read("run", f"workflow/{name}", "--input", "-", given=json.dumps(given)))["status"]
    return Ran(
        output=status["output"],
        error=status["error"] if status["phase"] != Phase.COMPLETED else None,
        order=[task["name"] for task in status["tasks"]],
        phases={task["name"]: TaskPhase(task["phase"]) for task in status["tasks"]},
    )


async def check_scenario(scenario: Scenario, run: Run) -> str:
    """Why `scenario` does not pass whose workflow is run by `run`; empty if it does."""
    definition, given = "", {}
    ran: Ran | None = None
    for step in scenario.steps:
        if step.text == "a workflow with definition":
            definition = step.document
        elif step.text == "given the workflow input is":
            given = read_document(step.document)
        elif step.text == "the workflow is executed":
            try:
                ran = await run(definition, given)
            except RuntimeError as refused:
                return str(refused)
        else:
            assert ran is not None
            if problem := _check(step, ran):
                return f"{step.text}: {problem}"
    return "" if ran is not None else "it executes nothing"


def _check(step: Step, ran: Ran) -> str:
    for pattern, check in CHECKS:
        if found := re.fullmatch(pattern, step.text):
            return check(ran, found.groups(), read_document(step.document))
    return "this runner of the kit does not know that step"


def read_document(text: str) -> Any:
    return next((located.data for located in read_yaml(text)), None)


def _completed(ran: Ran, _words: Sequence[str], _document: Json) -> str:
    return f"it faulted: {ran.error}" if ran.error else ""


def _completed_with(ran: Ran, words: Sequence[str], document: Json) -> str:
    return _completed(ran, words, document) or ("" if ran.output == document else f"its output is {ran.output!r}")


def _faulted(ran: Ran, _words: Sequence[str], _document: Json) -> str:
    return "" if ran.error else f"it completed with {ran.output!r}"


def _faulted_with(ran: Ran, _words: Sequence[str], document: Json) -> str:
    return "" if ran.error == document else f"its error is {ran.error!r}"


def _look_up(value: Any, path: str) -> Any:
    for part in path.split("."):
        value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
    return value


def _has_properties(ran: Ran, words: Sequence[str], _document: Json) -> str:
    missing = [path for path in re.findall(r"'([^']+)'", words[0]) if _look_up(ran.output, path) is MISSING]
    return f"missing: {missing}" if missing else ""


def _has_value(ran: Ran, words: Sequence[str], document: Json) -> str:
    found = _look_up(ran.output, words[0])
    return "" if found == document else f"it is {found!r}"


def _has_items(ran: Ran, words: Sequence[str], _document: Json) -> str:
    found = _look_up(ran.output, words[0])
    return "" if isinstance(found, list) and len(found) == int(words[1]) else f"it is {found!r}"


def _ran_at(place: int) -> "Check":
    def check(ran: Ran, words: Sequence[str], _document: Json) -> str:
        return "" if ran.order and ran.order[place] == words[0] else f"the order was {ran.order}"

    return check


def _ran_after(ran: Ran, words: Sequence[str], _document: Json) -> str:
    is_after = {*words} <= {*ran.order} and ran.order.index(words[0]) > ran.order.index(words[1])
    return "" if is_after else f"the order was {ran.order}"


def _ran_before(ran: Ran, words: Sequence[str], document: Json) -> str:
    return _ran_after(ran, [words[1], words[0]], document)


def _is_in(phase: TaskPhase) -> "Check":
    def check(ran: Ran, words: Sequence[str], _document: Json) -> str:
        return "" if ran.phases.get(words[0]) is phase else f"it is {ran.phases.get(words[0])}"

    return check


Check = Callable[[Ran, Sequence[str], Json], str]
CHECKS: Sequence[tuple[str, Check]] = (
    (r"the workflow should complete", _completed),
    (r"the workflow should complete with output", _completed_with),
    (r"the workflow should fault", _faulted),
    (r"the workflow should fault with error", _faulted_with),
    (r"the workflow output should have properties (.+)", _has_properties),
    (r"the workflow output should have a '(.+)' property with value", _has_value),
    (r"the workflow output should have a '(.+)' property containing (\d+) items", _has_items),
    (r"(\w+) should run first", _ran_at(0)),
    (r"(\w+) should run last", _ran_at(-1)),
    (r"(\w+) should run after (\w+)", _ran_after),
    (r"(\w+) should run before (\w+)", _ran_before),
    (r"(\w+) should complete", _is_in(TaskPhase.COMPLETED)),
    (r"(\w+) should fault", _is_in(TaskPhase.FAULTED)),
    (r"(\w+) should cancel", _is_in(TaskPhase.CANCELLED)),
)
