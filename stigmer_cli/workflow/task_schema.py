"""The schema of the specification, and a quick look at one task: whether it certainly fits.

A validator tries each alternative of a `oneOf`, and goes through what is in it again for `unevaluatedProperties`. The
keys of a task tell its alternative nearly always, and all the keys that an alternative knows stand in one place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from stigmer_cli.workflow.json_value import Json

ABOUT = frozenset({"title", "description", "type"})
"""What the schemas of all tasks have."""


@cache
def load_schema() -> Mapping[str, Any]:
    """The schema of a workflow, of version 1.0.3 of the specification."""
    from stigmer_cli.workflow.yaml_json import read_yaml  # noqa: PLC0415 - yaml, for who applies a workflow only

    text = (files(__package__) / "schema" / "workflow.yaml").read_text("utf-8")
    located = next(read_yaml(text))
    assert isinstance(located.data, dict)  # noqa: S101 - a file of this package
    return located.data


@cache
def make_shallow_definitions() -> Mapping[str, Any]:
    """The definitions of the schema, in which the tasks of a list may be anything."""
    definitions = load_schema()["$defs"]
    tasks = definitions["taskList"]
    items = {key: value for key, value in tasks["items"].items() if key != "additionalProperties"}
    return {**definitions, "taskList": {**tasks, "items": items}}


def make_validator(schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - jsonschema has no types
    """What checks values against `schema`, and fetches nothing."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # noqa: PLC0415 - few commands need it
    from referencing import Registry  # noqa: PLC0415

    return Draft202012Validator(schema, registry=Registry())


def resolve(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The definition that `schema` refers to, or `schema` itself where it has properties of its own."""
    while "$ref" in schema and "properties" not in schema:
        schema = load_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def is_certainly_valid(task: Json) -> bool:
    """Whether exactly one alternative fits. The keys of a task leave one of eighteen, or two, to look at closer."""
    return isinstance(task, dict) and sum(one.fits(task) for one in _list_alternatives()) == 1


@dataclass(frozen=True, kw_only=True)
class _Alternative:
    """One kind of task, or one kind of call: its keys, and which values of some of them tell it from others."""

    required: frozenset[str]
    known: frozenset[str]
    constants: Mapping[str, object]
    others: Mapping[str, Sequence[object]]
    validator: Any
    """Checks the values of the keys."""

    def fits(self, task: Mapping[str, Json]) -> bool:
        """Whether `task` is of this kind, without a mistake."""
        return (
            self.required <= task.keys() <= self.known
            and all(task.get(key, value) == value for key, value in self.constants.items())
            and not any(task.get(key) in values for key, values in self.others.items())
            and self.validator.is_valid(task)
        )


@cache
def _list_alternatives() -> Sequence[_Alternative]:
    definitions = make_shallow_definitions()
    return [_make_alternative(schema, definitions) for schema in _flatten(definitions["task"], definitions)]


def _flatten(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The alternatives of a choice in a choice; exactly one of them fits what fits `schema`."""
    for branch in schema["oneOf"]:
        resolved = definitions[branch["$ref"].rpartition("/")[2]] if set(branch) == {"$ref"} else branch
        if set(resolved) <= {"oneOf", *ABOUT}:
            yield from _flatten(resolved, definitions)
        else:
            yield resolved


def _make_alternative(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> _Alternative:
    """What `schema` says, with the keys of all its parts in one: no validator has to go through each of them."""
    parts = [resolve(part) for part in schema["allOf"]]
    values = {key: value for part in parts for key, value in part["properties"].items()}
    # As all kinds of tasks are written, and as nothing else is read here.
    assert set(schema) <= {"allOf", "required", "unevaluatedProperties", *ABOUT}  # noqa: S101 - a file of this package
    assert all(set(part) <= {"properties", *ABOUT} for part in parts)  # noqa: S101
    return _Alternative(
        required=frozenset(schema["required"]),
        known=frozenset(values),
        constants={key: value["const"] for key, value in values.items() if "const" in value},
        others={key: value["not"]["enum"] for key, value in values.items() if "enum" in value.get("not", ())},
        validator=make_validator({"properties": values, "$defs": definitions}),
    )
