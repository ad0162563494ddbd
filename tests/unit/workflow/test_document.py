"""Documents of the DSL: what is accepted, and what a person reads about the others."""

import pytest

from stigmer_cli.workflow.document import Rejected, Workflow, read_workflows
from stigmer_cli.workflow.schema_check import find_schema_problems
from stigmer_cli.workflow.task_schema import is_certainly_valid, load_schema, make_validator
from stigmer_cli.workflow.yaml_json import read_yaml

HEAD = "document: {dsl: '1.0.3', namespace: shop, name: order-pet, version: '1.0.0'}\n"

NAME = "a name of up to 63 letters, digits and hyphens, with neither first nor last a hyphen"
NO_KIND = "a task has one of the keys call, do, fork, emit, for, listen, raise, run, set, switch, try, wait"

EVERY_TASK = """
document: {dsl: 1.0.3, namespace: shop, name: every-task, version: 0.1.0}
use:
  authentications: {login: {basic: {username: a, password: b}}}
  errors: {sold: {type: https://example.com/sold, status: 409}}
  functions: {ask: {call: http, with: {method: get, endpoint: 'https://example.com/{id}'}}}
  retries: {twice: {delay: {seconds: 1}, limit: {attempt: {count: 2}}}}
  timeouts: {short: {after: PT1S}}
  secrets: [token]
  extensions:
    - log: {extend: all, before: [{note: {set: {noted: true}}}]}
timeout: short
schedule: {on: {one: {with: {type: com.example.ordered}}}}
do:
  - one: {call: ask, with: {id: 1}}
  - two: {call: http, with: {method: get, endpoint: {uri: https://example.com, authentication: {use: login}}}}
  - three: {do: [{inner: {set: {a: 1}, then: exit}}]}
  - four: {emit: {event: {with: {type: com.example.done}}}}
  - five: {for: {each: pet, in: .pets}, while: .go, do: [{x: {set: {a: 1}}}]}
  - six: {fork: {compete: true, branches: [{a: {set: {a: 1}}}, {b: {set: {a: 1}}}]}}
  - seven: {listen: {to: {any: []}}, foreach: {item: event, do: [{x: {set: {a: 1}}}]}}
  - eight: {try: [{a: {raise: {error: sold}}}], catch: {retry: twice, do: [{x: {set: {a: 1}}}], then: ten}}
  - nine: {run: {shell: {command: ls}}, timeout: short}
  - ten: {switch: [{a: {when: .a, then: one}}, {b: {then: end}}]}
  - eleven: {wait: PT1H30M}
  - twelve: {call: 'log:1.0.0@default', if: .x}
"""


def _problems(text: str) -> list[str]:
    [found] = read_workflows("w.yaml", text)
    assert isinstance(found, Rejected)
    return list(found.problems)


def test_a_document_with_every_task_is_a_workflow() -> None:
    [found] = read_workflows("w.yaml", EVERY_TASK)
    assert isinstance(found, Workflow), found.problems
    assert found.label == "shop/every-task 0.1.0"


def test_a_manifest_holds_the_document_in_its_spec() -> None:
    spec = "".join(f"  {line}\n" for line in EVERY_TASK.splitlines())
    [found] = read_workflows("w.yaml", f"apiVersion: agentic.stigmer.ai/v1\nkind: Workflow\nspec:\n{spec}")
    assert isinstance(found, Workflow), found.problems
    assert (found.namespace, found.name, found.version) == ("shop", "every-task", "0.1.0")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kind: Workflow\nspec:\n  do: 1\n", "w.yaml:2:1: document is missing"),
        ("kind: Workflw\nspec: {}\n", "w.yaml:1:1: kind: Workflow is needed; did you mean Workflow?"),
        ("kind: Workflow\nspc: {}\n", "w.yaml:2:1: unknown key 'spc'; did you mean spec?"),
        ("kind: Workflow\nspec: 1\n", "w.yaml:2:1: spec: a mapping is needed, the document of the workflow"),
        ("apiVersion: v2\nkind: Workflow\nspec: {}\n", "w.yaml:1:1: apiVersion: agentic.stigmer.ai/v1 is needed"),
        ("- a\n", "w.yaml:1:1: a workflow is a mapping with document and do"),
        (f"# {'x' * 1024 * 1024}", "w.yaml:1:1: a document of more than 1024 KiB"),
        (f"{HEAD}do: [\n", "w.yaml:3:1: did not find expected node content"),
        (f"{HEAD}do: []\nusee: {{}}\n", "w.yaml:3:1: unknown key 'usee'; did you mean use?"),
    ],
)
def test_what_is_no_document_is_said_with_its_place(text: str, problem: str) -> None:
    assert problem in _problems(text)


@pytest.mark.parametrize(
    ("task", "column", "problem"),
    [
        ("call: http, with: {metod: get, endpoint: x}", 30, "unknown key 'do[0].a.with.metod'; did you mean method?"),
        ("set: {a: 1}, thn: end", 24, "unknown key 'do[0].a.thn'; did you mean then?"),
        ("wait: {second: 1}", 18, "unknown key 'do[0].a.wait.second'; did you mean seconds?"),
        ("wait: 5", 11, "do[0].a.wait: a mapping or a text is needed"),
        (
            "wait: 5s",
            11,
            "do[0].a.wait: '5s' is not an expression like ${ .name } or a duration like PT1H30M (ISO 8601)",
        ),
        ("call: http", 7, "do[0].a.with is missing"),
        ("try: [], catch: {error: {}}", 28, "unknown key 'do[0].a.catch.error'; did you mean errors?"),
        ("switch: [{x: {when: .a}}]", 21, "do[0].a.switch[0].x.then is missing"),
        (
            "set: {a: 1}, then: 5",
            24,
            "do[0].a.then: a text is needed",
        ),
        ("set: {a: 1}, then: b", 24, "do[0].a.then: 'b': there is no such task in the same list"),
        ("call: fetch", 11, "do[0].a.call: 'fetch' is no function of the DSL, and use.functions has none of that name"),
        ("call: 'x:1.0.0@mine'", 11, "do[0].a.call: use.catalogs has no 'mine'"),
        ("raise: {error: sold}", 19, "do[0].a.raise.error: use.errors has no 'sold'"),
        ("set: {a: 1}, timeout: short", 24, "do[0].a.timeout: use.timeouts has no 'short'"),
        ("try: [], catch: {retry: x}", 28, "do[0].a.catch.retry: use.retries has no 'x'"),
        (
            "switch: [{x: {then: end}}, {y: {then: end}}]",
            39,
            "do[0].a.switch[1].y: a second case without when, and one may be the default",
        ),
        (
            "call: http, with: {method: get, endpoint: {uri: x, authentication: {use: y}}}",
            79,
            "do[0].a.with.endpoint.authentication.use: use.authentications has no 'y'",
        ),
        (
            "do: [{b: {set: {x: 1}, then: b}}, {b: {set: {x: 1}}}]",
            34,
            "do[0].a.do[0].b.then: 'b' is the name of 2 tasks of the list",
        ),
    ],
)
def test_a_mistake_in_a_task_is_one_line_with_the_nearest_key(task: str, column: int, problem: str) -> None:
    assert _problems(f"{HEAD}do: [{{a: {{{task}}}}}]\n") == [f"w.yaml:2:{column}: {problem}"]


def test_a_task_of_no_kind_is_told_which_there_are() -> None:
    [problem] = _problems(f"{HEAD}do: [{{a: {{cal: http, with: {{}}}}}}]\n")
    assert problem == f"w.yaml:2:7: do[0].a: {NO_KIND}; did you mean call?"


def test_all_mistakes_are_told_in_the_order_of_the_document() -> None:
    text = "document: {dsl: 1.1.0, namespace: -, name: a}\ndo:\n  - a: {set: {x: 1}}\n    b: {}\n  - c: 1\n"
    assert _problems(text) == [
        "w.yaml:1:1: document.version is missing",
        "w.yaml:1:12: document.dsl: version 1.1.0 of the DSL is not read, only 1.0.x",
        f"w.yaml:1:24: document.namespace: '-' is not {NAME}",
        "w.yaml:3:5: do[0]: an item has one key, its name, and this one has 2: a, b",
        f"w.yaml:4:5: do[0].b: {NO_KIND}",
        "w.yaml:5:5: do[1].c: a mapping is needed",
    ]


def test_a_target_in_another_list_is_refused() -> None:
    text = f"{HEAD}do: [{{a: {{do: [{{b: {{set: {{x: 1}}, then: c}}}}]}}}}, {{c: {{set: {{x: 1}}}}}}]\n"
    assert _problems(text) == [
        "w.yaml:2:34: do[0].a.do[0].b.then: 'c': there is no such task in the same list",
    ]


def test_the_schema_is_that_of_the_specification() -> None:
    schema = load_schema()
    assert schema["$id"] == "https://open-workflow-specification.org/schemas/1.0.3/workflow.yaml"
    assert sorted(key for key in schema["$defs"] if key.endswith("Task")) == [
        "callTask",
        "doTask",
        "emitTask",
        "forTask",
        "forkTask",
        "listenTask",
        "raiseTask",
        "runTask",
        "setTask",
        "switchTask",
        "tryTask",
        "waitTask",
    ]


VALID_TASKS = (
    "call: http, with: {method: get, endpoint: https://example.com}",
    "call: mine, with: {a: 1}",
    "call: grpc, with: {proto: {endpoint: https://example.com}, service: {name: a.B, host: b}, method: c}",
    "do: []", "for: {in: .a}, do: [], while: .b", "fork: {branches: []}", "emit: {event: {with: {type: a}}}",
    "listen: {to: {any: []}}", "raise: {error: a}", "run: {shell: {command: a}}", "set: {a: 1}, if: .a, then: end",
    "switch: [{a: {then: end}}]", "try: [], catch: {}", "wait: PT1S", "wait: {seconds: 1}, metadata: {a: 1}",
)  # fmt: skip
INVALID_TASKS = (
    "", "do: 1", "do: [], set: {a: 1}", "set: {}", "set: {a: 1}, if: 1", "set: {a: 1}, iff: .a", "for: {in: .a}",
    "for: {in: .a}, do: [], set: {a: 1}", "try: []", "wait: soon", "call: http", "call: http, with: {method: get}",
    "call: grpc, with: {method: get, endpoint: https://example.com}", "call: 1", "call: a, wait: PT1S",
)  # fmt: skip


@pytest.mark.parametrize("text", [*VALID_TASKS, *INVALID_TASKS])
def test_the_quick_look_at_a_task_finds_what_the_schema_finds(text: str) -> None:
    [found] = read_yaml(f"{{{text}}}")
    whole = make_validator({"$ref": "#/$defs/task", "$defs": load_schema()["$defs"]})
    assert is_certainly_valid(found.data) == whole.is_valid(found.data) == (text in VALID_TASKS)


def test_of_very_many_mistakes_the_first_are_explained() -> None:
    for task, explained in (("set: {a: 1}, iff: .a", "unknown key"), ("set: '${ .a + N + }'", "no expression")):
        tasks = "".join(f"- t{number}: {{{task.replace('N', str(number))}}}\n" for number in range(150))
        problems = _problems(f"{HEAD}do:\n{tasks}")
        assert [explained in problem for problem in problems].count(True) == 100
        assert [" than 100 " in problem for problem in problems].count(True) == 1
        assert len(problems) == 101


def test_no_document_makes_the_checks_fail() -> None:
    for text in ("1", "a", "[]", "{do: {}}", "{do: [1]}", "{do: [{}]}", "{document: 1, do: [{a: []}]}", "{do: [[]]}"):
        [found] = read_yaml(text)
        assert find_schema_problems(found.data)


@pytest.mark.parametrize(
    ("task", "problem"),
    [
        ("set: {x: '${ .a'}", "do[0].a.set.x: ${ without its } in '${ .a'"),
        ("set: {x: 'a ${ .b | } c'}", "do[0].a.set.x: no expression: syntax error, unexpected ')'"),
        ("set: {x: 1}, if: .a ==", "do[0].a.if: no expression: syntax error, unexpected ')'"),
        ("set: {x: '${ $contxt }'}", "do[0].a.set.x: no expression: there is no variable $contxt"),
        ("set: {x: 1}, output: {as: foo}", "do[0].a.output.as: no expression: foo/0 is not defined"),
        ("for: {in: '.a['}, do: []", "do[0].a.for.in: no expression: syntax error, unexpected INVALID_CHARACTER"),
        ("switch: [{when: {when: '.a |', then: end}}]", "do[0].a.switch[0].when.when: no expression: syntax error"),
    ],
)  # fmt: skip
def test_what_is_no_expression_is_said(task: str, problem: str) -> None:
    [found] = _problems(f"{HEAD}do: [{{a: {{{task}}}}}]\n")
    assert found.partition(": ")[2].startswith(problem)


def test_data_is_no_expression_and_loops_declare_variables() -> None:
    text = f"""{HEAD}
do:
  - a: {{set: {{if: not jq, when: not jq, x: '.a['}}}}
  - b: {{for: {{each: pet, in: .a, at: i}}, while: $pet != $i, do: [{{if: {{set: {{x: '${{ $pet }}'}}}}}}]}}
  - c: {{try: [], catch: {{as: problem, when: $problem.status == 404, do: [{{d: {{set: '${{ $problem }}'}}}}]}}}}
  - e: {{call: http, with: {{method: post, endpoint: https://example.com, body: {{until: not jq}}}}}}
  - f: {{set: {{x: 1}}, input: {{schema: {{format: json, document: {{if: {{const: 1}}}}}}}}}}
"""
    [found] = read_workflows("w.yaml", text)
    assert isinstance(found, Workflow), found.problems


def test_a_document_nested_as_deep_as_it_may_be_is_checked_in_time() -> None:
    inner = "{set: {x: 1}}"
    for _ in range(18):
        inner = f"{{do: [{{a: {inner}}}]}}"
    [found] = read_workflows("w.yaml", f"{HEAD}do: [{{a: {inner}}}]\n")
    assert isinstance(found, Workflow), found.problems
    wrong = inner.replace("set", "sett")
    [problem] = _problems(f"{HEAD}do: [{{a: {wrong}}}]\n")
    assert problem.endswith("did you mean set?")
