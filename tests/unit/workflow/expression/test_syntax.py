"""Where an expression ends in a text."""

import time

import pytest

from stigmer_cli.workflow.expression.syntax import Code, Unclosed, list_variables, split_template, unwrap


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain {x} $y", ["plain {x} $y"]),
        ("", []),
        ("${ .a }", [Code(text=".a")]),
        ("a ${ .b } c ${.d}", ["a ", Code(text=".b"), " c ", Code(text=".d")]),
        ("${ { a: { b: 1 } } }!", [Code(text="{ a: { b: 1 } }"), "!"]),
        ('${ "}" }', [Code(text='"}"')]),
        ('${ "\\"}" }', [Code(text='"\\"}"')]),
        ('${ "\\(.a | "}\\(.b)" | {c: .})" }.', [Code(text='"\\(.a | "}\\(.b)" | {c: .})"'), "."]),
        ("${ .a # }\n }", [Code(text=".a # }")]),
        ('${ "Hello \\(.user.firstName)!" }', [Code(text='"Hello \\(.user.firstName)!"')]),
    ],
)
def test_a_text_is_split_at_its_expressions(text: str, parts: list[str | Code]) -> None:
    assert list(split_template(text)) == parts


@pytest.mark.parametrize("text", ["${", "${ { }", '${ " }', '${ "\\( }', "${ .a # }", "${" + '"\\(' * 100_000])
def test_an_expression_without_an_end_is_refused(text: str) -> None:
    with pytest.raises(Unclosed):
        split_template(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [(".a", ".a"), (" ${ .a } ", ".a"), ("${ .a } == ${ .b }", "${ .a } == ${ .b }"), ("", "")],
)
def test_a_value_that_always_is_an_expression_needs_no_braces(text: str, code: str) -> None:
    assert unwrap(text) == code


def test_variables_are_found_in_texts_too() -> None:
    assert list_variables('$a + "\\($b)" | $__loc__ | .c$d') == {"a", "b", "__loc__", "d"}


def test_many_comments_take_no_longer_than_their_length() -> None:
    code = "# a comment\n" * 40_000
    began = time.process_time()
    assert split_template("${" + code + "1}") == [Code(text=f"{code}1")]
    assert time.process_time() - began < 2.0
