"""What a document declares is checked before it runs: variables, schemas, where the flow goes."""

from collections.abc import Mapping

import pytest

from stigmer_cli.workflow.document import Rejected, read_workflows
from stigmer_cli.workflow.interpreter.interpret import find_unsupported
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import Functions, StepPlace
from tests.support.workflows import HEAD, read_one

PROBLEMS = (
    ("evaluate: {language: javascript}\ndo: []", "evaluate.language: expressions are jq; 'javascript' is not read"),
    (
        "do: [{a: {set: {x: 1}, metadata: {effects: repeatble}}}]",
        "do[0].a.metadata.effects: 'repeatble' is not one of none, repeatable, once; did you mean repeatable?",
    ),
    ("do: [{a: {for: {each: __x, in: '[]'}, do: []}}]", "do[0].a.for.each: '__x' is no name of a variable"),
    ("do: [{a: {for: {at: $i, in: '[]'}, do: []}}]", "do[0].a.for.at: '$i' is no name of a variable"),
    ("do: [{a: {try: [], catch: {as: context}}}]", "do[0].a.catch.as: $context is a variable of the specification"),
    (
        "do: [{a: {set: {x: 1}, input: {schema: {format: json, document: {type: strin}}}}}]",
        "do[0].a.input.schema.document: no JSON Schema at $.type: 'strin' is not valid",
    ),
    (
        "do: [{a: {set: {x: 1}, input: {schema: {format: json, document: {pattern: 'a{99999999999999}'}}}}}]",
        "do[0].a.input.schema.document: no JSON Schema: the repetition number is too large",
    ),
    (
        "do: [{a: {fork: {branches: [{b: {set: {x: 1}, then: c}}, {c: {set: {x: 1}}}]}}}]",
        "do[0].a.fork.branches[0].b.then: 'c': the branches of a fork run at the same time: none goes to another",
    ),
    (
        "use: {extensions: [{x: {extend: all, before: [{b: {set: {x: 1}, then: c}}]}}]}\ndo: []",
        "use.extensions[0].x.before[0].b.then: 'c': there is no such task in the same list",
    ),
)

FINE = (
    "do: [{a: {set: {metadata: {effects: 5}}, metadata: {effects: once, other: 1}}}]",
    "do: [{a: {set: {schema: {document: {type: strin}}}}}]",
    "do: [{a: {for: {each: self, in: '[1]'}, do: [{b: {set: '${ $self }'}}]}}]",
    "do: [{a: {fork: {branches: [{b: {set: {x: 1}, then: end}}, {c: {set: {x: 1}, then: continue}}]}}}]",
    "do: [{for: {set: {x: 1}, then: catch}}, {catch: {set: {x: 1}}}]",
)


@pytest.mark.parametrize(("text", "problem"), PROBLEMS)
def test_what_cannot_be_meant_is_refused(text: str, problem: str) -> None:
    [found] = read_workflows("w.yaml", f"{HEAD}{text}\n")
    assert isinstance(found, Rejected), text
    assert [problem in line for line in found.problems] == [True], found.problems


@pytest.mark.parametrize("text", FINE)
def test_what_can_be_meant_is_taken(text: str) -> None:
    [found] = read_workflows("w.yaml", f"{HEAD}{text}\n")
    assert not isinstance(found, Rejected), found.problems


def test_a_process_that_is_not_awaited_is_refused_before_it_runs_unless_it_outlives_its_runner() -> None:
    detached = Functions(detached={"container": Unused()})
    for process, words in (
        ("shell: {command: make}", "run: shell with await: false would end with its runner"),
        ("script: {language: js, code: '1'}", "run: script with await: false would end with its runner"),
        ("container: {image: tiny, stdin: x}", "run: container with await: false has no stdin"),
    ):
        [problem] = find_unsupported(read_one(f"do: [{{a: {{run: {{await: false, {process}}}}}}}]"), detached)
        assert words in problem.text
    assert not find_unsupported(read_one("do: [{a: {run: {await: false, container: {image: tiny}}}}]"), detached)


class Unused:
    async def perform(self, settings: Mapping[str, Json], place: StepPlace) -> Json:
        raise AssertionError(settings, place)
