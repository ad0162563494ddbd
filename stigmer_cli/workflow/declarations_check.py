"""Checks what a document declares: the names of its variables, its JSON Schemas, and the effects of its tasks."""

from collections.abc import Iterator, Mapping, Sequence

from stigmer_cli.domain.step import Effect
from stigmer_cli.json_schema import find_schema_problem
from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.workflow.expression.program import RUNTIME, is_variable_name
from stigmer_cli.workflow.json_value import Json, Path, write_path
from stigmer_cli.workflow.schema_check import Problem

DECLARING: Mapping[str, Sequence[str]] = {"for": ("each", "at"), "catch": ("as",), "foreach": ("item", "at")}
"""The keys whose values are names of variables."""

DATA = frozenset({"set", "body", "data", "headers", "query", "metadata", "arguments", "environment", "document"})
"""Keys below which other keys are a person's own."""


def find_declaration_problems(data: Mapping[str, Json]) -> Sequence[Problem]:
    """Names that no expression can refer to, and schemas that are none. `data` fits the schema of the specification."""
    return list(_check(data, ()))


def _check(value: Json, path: Path) -> Iterator[Problem]:
    if isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _check(inner, (*path, str(number)))
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _check_key(inner, path, key)


def _check_key(inner: Json, path: Path, key: str) -> Iterator[Problem]:
    """What is under `key` of the mapping at `path`."""
    here = (*path, key)
    if path and path[-1].isdecimal():  # the name of a task: those stand in a list
        yield from _check(inner, here)
        return
    if key == "metadata" and path[-2:-1] and path[-2].isdecimal():
        yield from _check_effects(inner, here)
    if key in DATA:
        return
    if isinstance(inner, dict):
        yield from _check_names(inner, here)
    if key == "schema" and path[-1:] in {("input",), ("output",), ("export",)}:
        yield from _check_schema(inner, here)
        return
    yield from _check(inner, here)


def _check_names(declared: Mapping[str, Json], path: Path) -> Iterator[Problem]:
    for word in DECLARING.get(path[-1], ()):
        name = declared.get(word)
        if not isinstance(name, str):
            continue
        here = (*path, word)
        if not is_variable_name(name):
            reason = "a variable has letters, digits and _, and begins neither with a digit nor with __"
            yield Problem(path=here, text=f"{write_path(here)}: {name!r} is no name of a variable: {reason}")
        elif name in RUNTIME:
            yield Problem(path=here, text=f"{write_path(here)}: ${name} is a variable of the specification")


def _check_effects(metadata: Json, path: Path) -> Iterator[Problem]:
    effects = metadata.get("effects") if isinstance(metadata, dict) else None
    if effects is not None and effects not in {*Effect}:
        here = (*path, "effects")
        near = suggest_nearest(str(effects), [*Effect])
        yield Problem(path=here, text=f"{write_path(here)}: {effects!r} is not one of {', '.join(Effect)}{near}")


def _check_schema(declared: Json, path: Path) -> Iterator[Problem]:
    document = declared.get("document") if isinstance(declared, dict) else None
    if isinstance(document, dict) and (problem := find_schema_problem(document)):
        here = (*path, "document")
        yield Problem(path=here, text=f"{write_path(here)}: {problem}")
