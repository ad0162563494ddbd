"""What each kind of task does, alone and within others."""

import pytest

from stigmer_cli.workflow.error import WorkflowError
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.json_value import Json
from tests.support.workflows import MemoryWorld, run_text

BASE = "https://open-workflow-specification.org/spec/1.0.0/errors/"
TAKEN: dict[str, Json] = {"type": "https://example.com/taken", "status": 409, "instance": "/do/0/r"}
RAISE = "{raise: {error: {type: https://example.com/taken, status: 409}}}"

CONTEXT = "{b: {set: '${$context}'}}"
BOTH = "{b: {set: '${ [., $context] }'}}"

OUTPUTS: list[tuple[str, Json, Json]] = [
    ("[]", {"a": 1}, {"a": 1}),
    ("[{a: {set: {x: '${ .n + 1 }'}}}, {b: {set: {y: '${ .x }'}}}]", {"n": 1}, {"y": 2}),
    ("[{a: {set: '${ .n }'}}]", {"n": [1]}, [1]),
    ("[{a: {set: {x: 1}, if: .n > 1}}]", {"n": 1}, {"n": 1}),
    ("[{a: {set: {x: 1}, if: '${ .n }'}}]", {"n": 0}, {"x": 1}),
    ("[{a: {set: {x: 1}, then: c}}, {b: {set: {x: 2}}}, {c: {set: {c: '${ .x }'}}}]", None, {"c": 1}),
    ("[{a: {set: {x: 1}, then: exit}}, {b: {set: {x: 2}}}]", None, {"x": 1}),
    ("[{a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}}, {d: {set: {d: '${ .x }'}}}]", None, {"d": 1}),
    ("[{a: {do: [{b: {set: {x: 1}, then: end}}, {c: {set: {x: 2}}}]}}, {d: {set: {d: 1}}}]", None, {"x": 1}),
    ("[{a: {set: {n: '${ .n + 1 }'}}}, {b: {switch: [{c: {when: .n < 5, then: a}}]}}]", {"n": 0}, {"n": 5}),
    ("[{a: {switch: [{b: {when: .x, then: continue}}], then: end}}, {c: {set: {c: 1}}}]", {"x": 1}, {"c": 1}),
    ("[{a: {input: {from: .user}, set: {in: '${ . }', raw: '${ $task.input }'}}}]",
     {"user": 1}, {"in": 1, "raw": {"user": 1}}),
    ("[{a: {set: {x: 1}, output: {as: '{y: .x, was: $input}'}}}]", 7, {"y": 1, "was": 7}),
    ("[{a: {set: {x: 1}, output: {as: {y: '${ .x }'}}}}]", None, {"y": 1}),
    ("[{a: {set: {x: 1}, export: {as: '$context + {seen: .x}'}}}, {b: {set: '${ $context }'}}]", None, {"seen": 1}),
    ("[{a: {for: {in: '[1,2,3]'}, do: [{b: {set: {s: '${ .s + $item * $index }'}}}]}}]", {}, {"s": 8}),
    ("[{a: {for: {each: c, at: i, in: .none}, do: [{b: {set: {s: 1}}}]}}]", {}, {}),
    ("[{a: {for: {in: '[1,2,3]'}, while: '.s < 3', do: [{b: {set: {s: '${ .s + $item }'}}}]}}]", {"s": 0}, {"s": 3}),
    ("[{a: {for: {in: [{v: 1}, {v: 2}]}, do: [{b: {set: {s: '${ .s + $item.v }'}}}]}}]", {}, {"s": 3}),
    ("[{a: {fork: {branches: [{b: {set: {b: '${ .n }'}}}, {c: {wait: PT1S}}]}}}]", {"n": 1}, [{"b": 1}, {"n": 1}]),
    ("[{a: {fork: {branches: []}}}]", {}, []),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{}}}}}}]", {"n": 1}, {"n": 1}),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{as: e, do: [{{s: {{set: {{s: '${{ $e.status }}'}}}}}}]}}}}}}]",
     {}, {"s": 409}),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{then: c}}}}}}, {{b: {{set: {{b: 1}}}}}}, {{c: {{set: {{c: 1}}}}}}]",
     {}, {"c": 1}),
    ("[{a: {set: {n: 1}}}, {a: {set: {n: '${ .n + 1 }'}}}]", None, {"n": 2}),
    ("[{a: {for: {in: '[1,2]'}, do: [{b: {set: {s: '${$item}'}}}]}}]", {}, {"s": 2}),
    (f"[{{a: {{try: [{{x: {{set: {{n: 1}}, export: {{as: .}}}}}}, {{r: {RAISE}}}], catch: {{}}}}}}, {CONTEXT}]",
     {}, {"n": 1}),
    ("[{a: {wait: {seconds: 5}}}]", {"n": 1}, {"n": 1}),
    ("[{a: {wait: PT3S}}, {b: {set: {n: 2}}}, {c: {wait: PT3S}}]", {}, {"n": 2}),
    (f"[{{a: {{if: 'false', set: {{x: 1}}, output: {{as: '{{o: 1}}'}}, export: {{as: '{{e: 1}}'}}}}}}, {BOTH}]",
     {"n": 1}, [{"n": 1}, {"n": 1}]),
    ("[{a: {set: {t: 1}, output: {as: '${ $input + {p: $output} }'}}}]", {"i": 1}, {"i": 1, "p": {"t": 1}}),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{do: [{{b: {{wait: PT1S, export: {{as: '[1]'}}}}}}]}}}}}}, {CONTEXT}]",
     {}, [1]),
    ("[{a: {set: {n: '${ .n + 1 }'}}}, {b: {switch: [{c: {when: .n < 300, then: a}}]}}]", {"n": 0}, {"n": 300}),
    ("[{a: {set: {id: '${ $workflow.id }', n: '${ $workflow.definition.document.name }', r: '${ $runtime.name }'}}}]",
     None, {"id": "wex-1", "n": "test", "r": "stigmer"}),
    ("[{a: {set: {t: '${ $task.reference }', s: '${ $workflow.startedAt.iso8601 }'}}}]",
     None, {"t": "/do/0/a", "s": "2023-11-14T22:13:20.000Z"}),
    ("[{a: {set: {data: '${ .code }'}}}]", {"code": "${ .x }"}, {"data": "${ .x }"}),
]  # fmt: skip


async def test_tasks_leave_what_the_specification_says(evaluator: Evaluator) -> None:
    for tasks, given, output in OUTPUTS:
        assert await run_text(evaluator, f"do: {tasks}\n", given) == output, tasks


ERRORS: list[tuple[str, Json, dict[str, Json]]] = [
    (f"[{{r: {RAISE}}}]", None, TAKEN),
    ("[{r: {raise: {error: taken}}}]", {"n": "Milou"}, {**TAKEN, "title": "Milou is taken"}),
    ("[{a: {do: [{b: {set: {x: '${ .a.b }'}}}]}}]",
     {"a": 1}, {"type": f"{BASE}expression", "status": 400, "instance": "/do/0/a/do/0/b"}),
    ("[{a: {set: {x: 1}, input: {schema: {format: json, document: {type: object}}}}}]", 1,
     {"type": f"{BASE}validation", "status": 400,
      "detail": "the input does not fit its schema at $: 1 is not of type 'object'"}),
    ("[{a: {set: {x: 1}, output: {schema: {format: json, document: {required: [y]}}}}}]",
     1, {"type": f"{BASE}validation"}),
    ("[{a: {set: {x: 1}, export: {as: ., schema: {format: json, document: {required: [y]}}}}}]",
     1, {"type": f"{BASE}validation"}),
    ("[{a: {for: {in: .n}, do: []}}]", {"n": 1}, {"type": f"{BASE}expression", "detail": "for.in is no list: .n"}),
    ("[{a: {call: http, with: {method: get, endpoint: https://example.com/}}}]", {}, {"type": f"{BASE}configuration"}),
    ("[{a: {set: {x: '${ $secrets.none }'}}}]", {}, {"type": f"{BASE}authorization", "status": 403}),
    ("[{a: {wait: '${ .n }'}}]", {"n": "soon"}, {"type": f"{BASE}configuration", "detail": "'soon' is no duration"}),
    (f"[{{a: {{fork: {{branches: [{{b: {{wait: PT1H}}}}, {{r: {RAISE}}}]}}}}}}]",
     {}, {**TAKEN, "instance": "/do/0/a/fork/branches/1/r"}),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{errors: {{with: {{status: 404}}}}}}}}}}]",
     {}, {**TAKEN, "instance": "/do/0/a/try/0/r"}),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{when: '$error.status == 1'}}}}}}]", {}, {"status": 409}),
    (f"[{{a: {{try: [{{r: {RAISE}}}], catch: {{exceptWhen: '$error.status == 409'}}}}}}]", {}, {"status": 409}),
]  # fmt: skip


async def test_errors_say_what_and_where(evaluator: Evaluator) -> None:
    use = (
        "use: {errors: {taken: {type: https://example.com/taken, status: 409, title: '${ \"\\(.n) is taken\" }'}}, "
        "secrets: [none]}"
    )
    for tasks, given, error in ERRORS:
        with pytest.raises(WorkflowError) as caught:
            await run_text(evaluator, f"{use}\ndo: {tasks}\n", given)
        assert {key: caught.value.fields[key] for key in error} == error, tasks


@pytest.mark.parametrize(
    "kind",
    [
        "https://open-workflow-specification.org/spec/1.0.0/errors/expression",
        "https://open-workflow-specification.org/dsl/errors/types/expression",
        "https://serverlessworkflow.io/spec/1.0.0/errors/expression",
        "https://serverlessworkflow.io/dsl/errors/types/expression",
    ],
)
async def test_a_standard_type_is_known_under_each_of_its_addresses(kind: str, evaluator: Evaluator) -> None:
    text = (
        f"do: [{{a: {{try: [{{b: {{set: {{x: '${{ .a.b }}'}}}}}}], catch: {{errors: {{with: {{type: {kind}}}}}}}}}}}]"
    )
    assert await run_text(evaluator, text, {"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ("{delay: {seconds: 3}, limit: {attempt: {count: 3}}}", [3000, 3000, 3000]),
        ("{delay: PT3S, backoff: {constant: {}}, limit: {attempt: {count: 2}}}", [3000, 3000]),
        ("{delay: PT3S, backoff: {linear: {}}, limit: {attempt: {count: 3}}}", [3000, 6000, 9000]),
        ("{delay: PT3S, backoff: {exponential: {}}, limit: {attempt: {count: 4}}}", [3000, 6000, 12000, 24000]),
        ("{delay: PT3S, limit: {duration: PT10S}}", [3000, 3000, 3000]),
        ("{delay: PT3S, when: '$error.status == 1'}", []),
        ("{delay: PT3S, exceptWhen: '$error.status == 409'}", []),
        ("{limit: {attempt: {count: 2}}}", []),
        ("{limit: {attempt: {count: 0}}, delay: PT1S}", []),
    ],
)
async def test_a_policy_says_how_often_and_when_it_is_tried_again(
    policy: str, waits: list[int], evaluator: Evaluator
) -> None:
    world = MemoryWorld()
    text = f"do: [{{a: {{try: [{{r: {RAISE}}}], catch: {{retry: {policy}, do: [{{s: {{set: {{gone: 1}}}}}}]}}}}}}]"
    assert await run_text(evaluator, text, {}, world=world) == {"gone": 1}
    assert [ms for _, ms in world.waits] == waits


async def test_jitter_is_drawn_from_its_range(evaluator: Evaluator) -> None:
    world = MemoryWorld()
    retry = "{delay: PT10S, jitter: {from: PT1S, to: PT2S}, limit: {attempt: {count: 20}}}"
    await run_text(
        evaluator, f"do: [{{a: {{try: [{{r: {RAISE}}}], catch: {{retry: {retry}, do: []}}}}}}]", {}, world=world
    )
    drawn = [ms for _, ms in world.waits]
    assert all(11_000 <= ms <= 12_000 for ms in drawn)
    assert len(set(drawn)) == 20


async def test_extensions_run_before_and_after_and_may_take_the_place_of_a_task(evaluator: Evaluator) -> None:
    world = MemoryWorld()
    text = """
use:
  extensions:
    - log:
        extend: all
        before: [{logged: {emit: {event: {with: {type: before, data: '${ $task.reference }'}}}}}]
        after: [{logged: {emit: {event: {with: {type: after, data: '${ . }'}}}}}]
    - mock: {extend: call, when: '$task.call == "http"', before: [{answer: {set: {mocked: true}, then: exit}}]}
do:
  - a: {set: {x: 1}}
  - b: {call: http, with: {method: get, endpoint: https://example.com/}}
"""
    assert await run_text(evaluator, text, {}, world=world) == {"mocked": True}
    assert [(event["type"], event["data"]) for event in world.published] == [
        ("before", "/do/0/a"),
        ("after", {"x": 1}),
        ("before", "/do/1/b"),
    ]


async def test_a_function_of_the_document_is_called_with_its_arguments(evaluator: Evaluator) -> None:
    text = """
use: {functions: {double: {input: {schema: {format: json, document: {required: [n]}}}, set: {d: '${ .n * 2 }'}}}}
do: [{a: {call: double, with: {n: '${ .start }'}}}, {b: {call: double, with: {n: '${ .d }'}}}]
"""
    assert await run_text(evaluator, text, {"start": 3}) == {"d": 12}


async def test_the_workflow_has_input_and_output_of_its_own(evaluator: Evaluator) -> None:
    text = """
input: {from: .order, schema: {format: json, document: {required: [order]}}}
output: {as: '{done: .id}', schema: {format: json, document: {required: [done]}}}
do: [{a: {set: {id: '${ .id }', raw: '${ $workflow.input }'}}}]
"""
    assert await run_text(evaluator, text, {"order": {"id": 5}}) == {"done": 5}
    with pytest.raises(WorkflowError, match="input of the workflow does not fit"):
        await run_text(evaluator, text, {})


async def test_in_loose_mode_texts_are_expressions_where_they_can_be(evaluator: Evaluator) -> None:
    text = "evaluate: {mode: loose}\ndo: [{a: {set: {x: .n, y: plain words, z: '${ .n }'}}}]"
    assert await run_text(evaluator, text, {"n": 1}) == {"x": 1, "y": "plain words", "z": 1}


async def test_an_execution_begins_no_more_tasks_than_its_limit(evaluator: Evaluator) -> None:
    text = "do: [{a: {set: {n: '${ .n + 1 }'}, then: a}}]"
    with pytest.raises(WorkflowError, match="more than 25 tasks"):
        await run_text(evaluator, text, {}, tasks_max=25)


async def test_one_that_lives_for_days_may_begin_so_many_tasks_for_each(evaluator: Evaluator) -> None:
    text = "do: [{w: {wait: PT50H}}, {a: {set: {n: 1}, then: a}}]"
    with pytest.raises(WorkflowError, match="more than 12 tasks in 3 days"):
        await run_text(evaluator, text, {}, tasks_max=4)


async def test_a_replay_passes_what_was_passed(evaluator: Evaluator) -> None:
    world = MemoryWorld()
    text = "do: [{day: {for: {in: '[range(9)]'}, do: [{a: {set: {n: 1}}}, {b: {wait: PT24H}}]}}]"
    for _ in range(2):
        assert await run_text(evaluator, text, {}, world=world, tasks_max=4)


async def test_what_a_branch_exports_is_in_the_context_after_the_fork(evaluator: Evaluator) -> None:
    text = """
do:
  - s: {set: {x: 1}, export: {as: '{both: 1, n: 0}'}}
  - f:
      fork:
        branches:
          - a: {wait: PT1S, export: {as: '$context + {a: 1, n: ($context.n + 1)}'}}
          - b: {set: {x: 1}, export: {as: '$context + {b: 1, n: ($context.n + 2)}'}}
  - c: {set: '${ $context }'}
"""
    assert await run_text(evaluator, text, {}) == {"both": 1, "a": 1, "b": 1, "n": 2}
