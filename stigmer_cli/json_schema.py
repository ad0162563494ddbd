"""JSON Schema, draft 2020-12: whether a schema is one, and where a value does not fit it. Nothing is fetched."""

import json
from collections.abc import Mapping

SCHEMA_CHARS_MAX = 64 * 1024
WORDS_MAX = 300


def find_schema_problem(schema: Mapping[str, object]) -> str:
    """Why `schema` is no JSON Schema, as a sentence; empty if it is one."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # noqa: PLC0415 - few agents have one
    from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]  # noqa: PLC0415

    if len(json.dumps(schema)) > SCHEMA_CHARS_MAX:
        return f"the schema is longer than {SCHEMA_CHARS_MAX // 1024} KiB"
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"no JSON Schema at {error.json_path}: {error.message[:WORDS_MAX]}"
    except (ArithmeticError, ValueError, RecursionError) as error:  # of a pattern: a{99999999999}
        return f"no JSON Schema: {str(error)[:WORDS_MAX]}"
    return ""


def find_misfit(value: object, schema: Mapping[str, object]) -> str:
    """Where `value` does not fit `schema` and why, as the end of a sentence; empty if it fits."""
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.exceptions import best_match  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415

    # With a registry of its own nothing is fetched for a reference to another address.
    validator = Draft202012Validator(schema, registry=Registry())
    try:
        error = best_match(validator.iter_errors(value))
    except Unresolvable as unresolved:
        return f"the schema refers to {unresolved.ref}, which is not in it"
    except (ArithmeticError, RecursionError) as failed:  # a number that is no double; a schema that refers to itself
        return f"since it cannot be checked: {str(failed)[:WORDS_MAX]}"
    return f"at {error.json_path}: {error.message[:WORDS_MAX]}" if error else ""
