"""Expressions: what they are worth, what they cannot see, and what ends them. Evaluated by libjq in its own process."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator

import psutil
import pytest

from stigmer_cli.errors import Unavailable
from stigmer_cli.workflow.expression import evaluator as evaluator_module
from stigmer_cli.workflow.expression.child import Answer, evaluate_safely
from stigmer_cli.workflow.expression.evaluator import Evaluator, ExpressionFailed, ExpressionLimit
from stigmer_cli.workflow.expression.program import find_code_problems
from stigmer_cli.workflow.expression.template import fill_template
from stigmer_cli.workflow.json_value import Json
from tests.support.installed import frozen

ORDER: Json = {"orderType": "electronic", "pets": [{"id": 1, "name": "Milou"}, {"id": 2, "name": "Rex"}]}


@pytest.fixture
async def evaluator() -> AsyncIterator[Evaluator]:
    made = Evaluator(cpu_s_max=0.3)
    yield made
    await made.close()


async def test_expressions_have_the_values_of_jq(evaluator: Evaluator) -> None:
    variables: dict[str, Json] = {"context": {"n": 40}, "input": 1, "color": "red", "index": 0}
    for code, on, value in [
        ('.orderType == "electronic"', ORDER, True),
        (".pets[0].id + 1", ORDER, 2),
        ('.colors + ["red"]', None, ["red"]),
        ("$context.n + 2", {}, 42),
        ("$context+.", {"m": 1}, {"n": 40, "m": 1}),
        ("{ ids: [ $input, .id ] }", {"id": 2}, {"ids": [1, 2]}),
        ("{ c: (.p.colors + [ $color ]), i: (.p.indexes + [ $index ])}", {}, {"c": ["red"], "i": [0]}),
        ('"Hello \\(.user.firstName)!"', {"user": {"firstName": "John"}}, "Hello John!"),
        (". | length", [1, 2], 2),
        (".pets[].name", ORDER, ["Milou", "Rex"]),
        ("empty", ORDER, None),
        (".", [9007199254740993, 12345678901234567890, 1.5, 2.0], [9007199254740993, 12345678901234567890, 1.5, 2.0]),
        ("{id: .id}", {"id": 1234567890123456789}, {"id": 1234567890123456789}),
        ("[1e1000, -1e1000, nan]", None, [1.7976931348623157e308, -1.7976931348623157e308, None]),
        (".a # a comment", {"a": 1}, 1),
        ("[limit(3; repeat(1))]", None, [1, 1, 1]),
        (".text", {"text": "ü\n\u2028\u0000 🐕"}, "ü\n\u2028\u0000 🐕"),
        ('0 | strflocaltime("%H %Z")', None, "00 UTC"),
    ]:  # fmt: skip
        assert await evaluator.evaluate(code, on, variables) == value, code


NO_VALUE = (
    (".a |", "syntax error"),
    ("foo", "foo/0 is not defined"),
    ("$contxt", "there is no variable $contxt; did you mean context?"),
    (".a.b", "Cannot index number with"),
    ('error("sold out")', "sold out"),
    ("env", "env is no part of the expressions of a workflow"),
    ("1) | now | (2", "now is no part"),
    ('"\\(input)"', "input is no part"),
    ("[inputs]", "inputs is no part"),
    ("debug(1)", "debug is no part"),
    ("halt_error(1)", "halt_error is no part"),
    ("halt", "halt is no part"),
    ("stderr", "stderr is no part"),
    ('"a" | modulemeta', "modulemeta is no part"),
    ("get_search_list", "get_search_list is no part"),
    ("$__loc__", "$__loc__ is no part"),
    ("$__prog_args", "$__prog_args is no part"),
    ('import "a" as $a; 1', "syntax error"),
    ("1" * 70_000, "70,000 characters"),
    ('"a" * 9000000', "longer than 8,388,608 bytes"),
)


async def test_what_has_no_value_is_told_in_a_sentence() -> None:
    evaluator = Evaluator(cpu_s_max=30)
    for code, words in NO_VALUE:
        with pytest.raises(ExpressionFailed) as caught:
            await evaluator.evaluate(code, {"a": 1}, {"context": None})
        assert words in str(caught.value), code
        assert "\n" not in str(caught.value)
    await evaluator.close()


async def test_the_environment_cannot_be_read(evaluator: Evaluator) -> None:
    assert await evaluator.evaluate("$ENV", None, {}) is None
    assert await evaluator.evaluate('getpath(["v"])', {"a": 1}, {"secrets": {"a": "b"}}) is None


async def test_what_is_answered_too_late_is_no_answer_to_the_next_expression(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await evaluator.evaluate("1", None, {}) == 1
    assert evaluator._child is not None
    with frozen(evaluator._child.pid):
        monkeypatch.setattr(evaluator_module, "WALL_S_MAX", 0.1)
        with pytest.raises(Unavailable, match="longer than"):
            await evaluator.evaluate("2", None, {})
    monkeypatch.undo()
    assert await evaluator.evaluate("3", None, {}) == 3


async def test_an_expression_without_an_end_is_ended_and_the_next_one_has_its_value(evaluator: Evaluator) -> None:
    for code in ("def f: f; f", "[range(1e12)]"):
        with pytest.raises(ExpressionLimit, match=r"more than 0\.3 s of processor time"):
            await evaluator.evaluate(code, None, {})
        assert await evaluator.evaluate("1 + 1", None, {}) == 2


async def test_one_that_is_given_up_leaves_no_answer_for_the_next(evaluator: Evaluator) -> None:
    assert await evaluator.evaluate("1", None, {}) == 1
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await evaluator.evaluate("[range(1e12)]", None, {})
    assert await evaluator.evaluate("2", None, {}) == 2


async def test_expressions_at_the_same_time_have_their_own_values(evaluator: Evaluator) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(evaluator.evaluate(". * 2", number, {})) for number in range(50)]
    assert [task.result() for task in tasks] == [number * 2 for number in range(50)]


async def test_the_process_ends_with_its_evaluator(evaluator: Evaluator) -> None:
    await evaluator.evaluate("1", None, {})
    [child] = [child for child in psutil.Process().children() if "expression.child" in " ".join(child.cmdline())]
    await evaluator.close()
    assert not child.is_running()


async def test_a_template_keeps_the_type_of_a_whole_value_and_writes_others_into_the_text(evaluator: Evaluator) -> None:
    async def evaluate(code: str) -> Json:
        return await evaluator.evaluate(code, {"n": 1, "text": "a", "list": [1], "code": "${ .n }"}, {})

    template: Json = {
        "n": " ${ .n }\n",
        "in": "x ${ .n } ${ .text } ${ .list } ${ .none }!",
        "deep": [{"l": "${ .list }"}],
        "plain": ".n",
    }
    assert await fill_template(template, evaluate) == {
        "n": 1,
        "in": "x 1 a [1] null!",
        "deep": [{"l": [1]}],
        "plain": ".n",
    }
    assert await fill_template("${ .code }", evaluate) == "${ .n }", "data is never evaluated"
    assert await fill_template([".n", "not jq at all", "${ .n }"], evaluate, is_loose=True) == [1, "not jq at all", 1]
    with pytest.raises(ExpressionFailed, match="without its }"):
        await fill_template("${ .n", evaluate)


def test_code_is_checked_without_being_evaluated() -> None:
    codes = ["$context.a + $color | last(repeat(1))", "$colour", ".a +", "$__loc__"]
    assert dict(find_code_problems(codes, ["context", "color"])) == {
        "$colour": "there is no variable $colour; did you mean color?",
        ".a +": "syntax error, unexpected ')'",
        "$__loc__": "$__loc__ is no part of the expressions of a workflow",
    }


def test_what_is_wrong_is_found_among_many_that_are_right() -> None:
    """Even where two halves would be right as one, and where a comment would hide what follows."""
    right = [f'.a{number} | "\\(.b) and ) \\("x")"' for number in range(250)]
    wrong = ['"a', 'b"', ".a)", "(.b", "[1", "2]", "def f: 1;", '"\\(.a', 'b)"', "if . then 1", "$x |", '"\\']
    commented = [".a # (", ".b # )", '.c # "']
    codes = [*right[:70], *wrong, *commented, *right[70:]]
    assert {code for code, _ in find_code_problems(codes, [])} == set(wrong)


async def test_half_a_surrogate_pair_becomes_a_question_mark(evaluator: Evaluator) -> None:
    assert await evaluator.evaluate(".", json.loads('"a\\ud800"'), {}) == "a?"


async def test_what_ends_the_process_from_outside_is_no_error_of_the_expression(evaluator: Evaluator) -> None:
    assert await evaluator.evaluate("1", None, {}) == 1
    assert evaluator._child is not None
    evaluator._child.send_signal(signal.SIGINT)
    evaluator._child.send_signal(signal.SIGTERM)
    assert await evaluator.evaluate("2", None, {}) == 2
    evaluator._child.kill()
    assert await evaluator.evaluate("3", None, {}) == 3


async def test_a_process_that_is_ended_again_and_again_leaves_no_decision(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluator_module, "CHILD", "antigravity_that_is_not_there")
    with pytest.raises(Unavailable, match="ended with 1, twice"):
        await evaluator.evaluate("1", None, {})


async def test_too_much_memory_is_a_limit_and_no_error() -> None:
    generous = Evaluator(cpu_s_max=30)
    with pytest.raises(ExpressionLimit, match="MiB of memory"):
        await generous.evaluate('reduce range(40) as $i ("a"; . + .) | length', None, {})
    await generous.close()


async def test_a_schema_whose_pattern_has_no_end_is_ended(evaluator: Evaluator) -> None:
    assert await evaluator.find_misfit("a", {"type": "string"}) == ""
    assert await evaluator.find_misfit(1, {"type": "string"}) == "at $: 1 is not of type 'string'"
    with pytest.raises(ExpressionLimit, match="processor time"):
        await evaluator.find_misfit("a" * 40 + "!", {"pattern": "^(a|a)*$"})
    assert await evaluator.find_misfit("b", {"pattern": "^a"}) == "at $: 'b' does not match '^a'"


async def test_a_value_that_cannot_be_checked_does_not_fit_and_ends_no_process() -> None:
    generous = Evaluator(cpu_s_max=30)
    assert await generous.find_misfit(1, {"type": "number"}) == ""
    child = generous._child
    for value, schema, words in (
        (10**400, {"multipleOf": 0.5}, "since it cannot be checked: int"),
        (1, {"$ref": "#"}, "since it cannot be checked: maximum recursion depth exceeded"),
    ):
        assert words in await generous.find_misfit(value, schema)
    assert generous._child is child
    await generous.close()


def test_whatever_an_evaluation_raises_is_an_answer() -> None:
    def fail(_program: bytes, _given: bytes) -> bytes:
        raise LookupError("nothing is there")

    assert evaluate_safely(fail, b"", b"") == (Answer.FAILED, b"nothing is there")
