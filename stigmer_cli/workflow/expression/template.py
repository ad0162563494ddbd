"""Evaluates the expressions within data of a document; data that comes in while a workflow runs is never evaluated."""

import json
from collections.abc import Awaitable, Callable

from stigmer_cli.workflow.expression.evaluator import ExpressionFailed
from stigmer_cli.workflow.expression.syntax import Code, Unclosed, split_template
from stigmer_cli.workflow.json_value import Json

Evaluate = Callable[[str], Awaitable[Json]]


async def fill_template(template: Json, evaluate: Evaluate, *, is_loose: bool = False) -> Json:
    """`template` with each `${ }` in its texts replaced by its value; one that is the whole text keeps its type.

    `is_loose`: a text without `${ }` is an expression too, and stays as it is where it has no value. Raises
    ExpressionFailed.
    """
    match template:
        case str():
            return await _fill_text(template, evaluate, is_loose=is_loose)
        case dict():
            return {key: await fill_template(value, evaluate, is_loose=is_loose) for key, value in template.items()}
        case list():
            return [await fill_template(value, evaluate, is_loose=is_loose) for value in template]
        case _:
            return template


async def _fill_text(text: str, evaluate: Evaluate, *, is_loose: bool) -> Json:
    try:
        parts = split_template(text.strip()) if text.strip().startswith("${") else split_template(text)
    except Unclosed as error:
        raise ExpressionFailed(str(error)) from error
    if len(parts) == 1 and isinstance(parts[0], Code):
        return await evaluate(parts[0].text)
    if any(isinstance(part, Code) for part in parts):
        return "".join([part if isinstance(part, str) else write_text(await evaluate(part.text)) for part in parts])
    return await _evaluate_loosely(text, evaluate) if is_loose else text


async def _evaluate_loosely(text: str, evaluate: Evaluate) -> Json:
    try:
        return await evaluate(text)
    except ExpressionFailed:
        return text


def write_text(value: Json) -> str:
    """`value` within a text, as jq writes it there: a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
