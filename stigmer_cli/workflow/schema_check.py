"""Checks a document against the schema of the specification, and says what a person has to change.

A schema that has twelve kinds of task in a `oneOf` answers each mistake with twelve errors. Of those the ones are
shown that belong to the alternative which the document meant: the one whose required keys and constants it has.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.workflow.json_value import Json, Path, write_path
from stigmer_cli.workflow.task_schema import (
    is_certainly_valid,
    load_schema,
    make_shallow_definitions,
    make_validator,
    resolve,
)

WORDS_MAX = 200
KEYS_SHOWN = 12
CHOICES = frozenset({"oneOf", "anyOf"})
DISCRIMINATORS = frozenset({"required", "const", "not", "type", "enum", "minProperties"})
"""Keywords that tell one alternative of a choice from another, where they fail at its root or one key below."""

NAMING = 2
"""How much the value of a key weighs that names the alternative, as `call: http` does, against one missing key."""

TASK_LISTS = (("do",), ("try",), ("catch", "do"), ("fork", "branches"), ("foreach", "do"))
"""Where a task has tasks in it."""

FAULTY_TASKS_MAX = 100
"""Of how many tasks the mistakes are explained: to explain one takes a hundred times as long as to find none."""

KINDS: Mapping[str, str] = {
    "string": "a text",
    "object": "a mapping",
    "array": "a list",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What is wrong at `path` of a document."""

    path: Path
    text: str
    is_unknown_key: bool = False
    is_missing_key: bool = False
    is_unknown_task: bool = False


def find_schema_problems(data: Json) -> Sequence[Problem]:
    """What of `data` the schema of the specification does not allow.

    Each task is checked by itself, without the tasks in it: a validator goes through what is in a `oneOf` several
    times, and so through a task ten levels down a million times. Of more than FAULTY_TASKS_MAX tasks with mistakes the
    others are not looked at, and the last problem says so.
    """
    found = dict.fromkeys(_check(_load_validator(), data, ()))
    faulty = 0
    for path, task in _walk_tasks(data):
        if is_certainly_valid(task):
            continue
        if faulty == FAULTY_TASKS_MAX:
            text = f"more tasks than {FAULTY_TASKS_MAX} have mistakes: from here on none is checked"
            found[Problem(path=path, text=_put_before(path, text))] = None
            break
        problems = dict.fromkeys(_check(_load_task_validator(), task, path))
        faulty += bool(problems)
        found.update(problems)
    return _drop_consequences(found)


def _check(validator: Any, data: Json, path: Path) -> Iterator[Problem]:  # noqa: ANN401 - jsonschema has no types
    for error in validator.iter_errors(data):
        yield from _explain(error, path)


def _walk_tasks(data: Json) -> Iterator[tuple[Path, Json]]:
    """Every task of a document that may have any shape, but the reusable functions themselves, with its place."""
    document = data if isinstance(data, dict) else {}
    yield from _walk_list(document.get("do"), ("do",))
    use = document.get("use")
    for section, part in use.items() if isinstance(use, dict) else ():
        if section == "functions" and isinstance(part, dict):
            for name, task in part.items():
                yield from _walk_lists_of(task, ("use", section, name))
        if section == "extensions" and isinstance(part, list):
            for number, item in enumerate(part):
                for name, extension in item.items() if isinstance(item, dict) else ():
                    for word in ("before", "after"):
                        path = ("use", section, str(number), name, word)
                        yield from _walk_list(extension.get(word) if isinstance(extension, dict) else None, path)


def _walk_list(tasks: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    for number, item in enumerate(tasks) if isinstance(tasks, list) else ():
        for name, task in item.items() if isinstance(item, dict) else ():
            here = (*path, str(number), name)
            yield here, task
            yield from _walk_lists_of(task, here)


def _walk_lists_of(task: Json, path: Path) -> Iterator[tuple[Path, Json]]:
    for place in TASK_LISTS:
        inner = task
        for key in place:
            inner = inner.get(key) if isinstance(inner, dict) else None
        yield from _walk_list(inner, (*path, *place))


def _drop_consequences(problems: Iterable[Problem]) -> Sequence[Problem]:
    """Without a key that is missing where another is mistyped, and without the keys of a task of no known kind."""
    mistyped = {problem.path[:-1] for problem in problems if problem.is_unknown_key}
    tasks = {problem.path for problem in problems if problem.is_unknown_task}
    return [
        problem
        for problem in problems
        if not (problem.is_missing_key and problem.path in mistyped)
        and not (problem.is_unknown_key and problem.path[:-1] in tasks)
    ]


@cache
def _load_validator() -> Any:  # noqa: ANN401 - jsonschema has no types
    """Checks a document, and of the lists of tasks only that they are lists of mappings with one key."""
    return make_validator({**load_schema(), "$defs": make_shallow_definitions()})


@cache
def _load_task_validator() -> Any:  # noqa: ANN401
    """Checks one task in the same way."""
    return make_validator({"$ref": "#/$defs/task", "$defs": make_shallow_definitions()})


def _explain(error: Any, root: Path) -> Iterator[Problem]:  # noqa: ANN401
    """The problems that `error` stands for, in what is at `root` of the document."""
    path = (*root, *(str(part) for part in error.absolute_path))
    if error.validator in CHOICES and error.context:
        if (text := _describe_choice(error)) is not None:
            is_task = error.schema.get("title") == "Task"
            yield Problem(path=path, text=_put_before(path, text), is_unknown_task=is_task)
            return
        for inner in _pick_alternative(error):
            yield from _explain(inner, root)
        return
    yield from _describe(error, path)


def _pick_alternative(error: Any) -> Sequence[Any]:  # noqa: ANN401
    """The errors of the alternative that was meant: the fewest that tell it from others, then those found deepest."""
    alternatives: dict[int, list[Any]] = {}
    for inner in error.context:
        alternatives.setdefault(inner.schema_path[0], []).append(inner)
    chosen = min(alternatives.values(), key=lambda errors: (_count_discriminators(errors, 0), -_depth(errors)))
    telling = [inner for inner in chosen if inner.validator not in {"unevaluatedProperties", "additionalProperties"}]
    # What stands beside a mistake is called unevaluated, too.
    return [inner for inner in chosen if inner in telling or _list_unknown(inner)]


def _count_discriminators(errors: Sequence[Any], depth: int) -> int:
    count = 0
    for error in errors:
        below = depth + len(error.relative_path)
        if error.validator in CHOICES and error.context:
            alternatives: dict[int, list[Any]] = {}
            for inner in error.context:
                alternatives.setdefault(inner.schema_path[0], []).append(inner)
            count += min(_count_discriminators(inner, below) for inner in alternatives.values())
        elif error.validator == "required":
            count += below == 0
        elif error.validator in DISCRIMINATORS:
            count += NAMING if error.validator in {"const", "not"} and below == 1 else below <= 1
    return count


def _depth(errors: Sequence[Any]) -> int:
    return max(len(error.absolute_path) + (_depth(error.context) if error.context else 0) for error in errors)


def _describe_choice(error: Any) -> str | None:  # noqa: ANN401
    """Words for a choice of which no alternative is nearer than another; None where one is."""
    title = error.schema.get("title")
    if title == "Task" and isinstance(error.instance, dict):
        return _describe_task(error.instance)
    if isinstance(error.instance, dict):
        return None
    kinds = [part for part in (_kind_of(branch) for branch in error.schema[error.validator]) if part]
    has_kind = any(_is_kind(error.instance, kind) for kind in kinds)
    if kinds and not has_kind:
        return f"{_list_words([KINDS[kind] for kind in dict.fromkeys(kinds)])} is needed"
    shapes = dict.fromkeys(_describe_pattern(inner.schema) for inner in _walk(error) if inner.validator == "pattern")
    return f"{error.instance!r} is not {_list_words([*shapes])}" if len(shapes) > 1 else None


def _walk(error: Any) -> Iterator[Any]:  # noqa: ANN401
    for inner in error.context:
        yield inner
        yield from _walk(inner)


def _describe_task(task: Mapping[str, object]) -> str | None:
    kinds = _list_task_kinds()
    if any(kind in task for kind in kinds):
        return None
    near = [hint for key in task if (hint := suggest_nearest(key, kinds))]
    known = ", ".join(kinds)
    return f"a task has one of the keys {known}{near[0] if near else ''}"


@cache
def _list_task_kinds() -> Sequence[str]:
    definitions = load_schema()["$defs"]
    return [branch["$ref"].rpartition("/")[2].removesuffix("Task") for branch in definitions["task"]["oneOf"]]


def _kind_of(schema: Mapping[str, Any]) -> str | None:
    resolved = resolve(schema)
    kind = resolved.get("type")
    if kind is None and "anyOf" in resolved:
        kind = resolve(resolved["anyOf"][0]).get("type")
    return kind if isinstance(kind, str) else None


def _is_kind(value: object, kind: str) -> bool:
    return bool(_load_validator().is_type(value, kind))


def _describe(error: Any, path: Path) -> Iterator[Problem]:  # noqa: ANN401
    match error.validator:
        case "unevaluatedProperties" | "additionalProperties":
            known = sorted(_list_keys(error.schema, error.instance))
            for key in _list_unknown(error):
                text = f"unknown key {write_path((*path, key))!r}{suggest_nearest(key, known) or _list_known(known)}"
                yield Problem(path=(*path, key), text=text, is_unknown_key=True)
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            for key in missing:
                if f"'{key}'" in error.message:
                    text = f"{write_path((*path, key))} is missing"
                    yield Problem(path=path, text=text, is_missing_key=True)
        case _:
            yield Problem(path=path, text=_put_before(path, _describe_value(error)))


def _put_before(path: Path, text: str) -> str:
    return f"{write_path(path)}: {text}" if path else text


def _describe_value(error: Any) -> str:  # noqa: ANN401
    wanted = error.validator_value
    match error.validator:
        case "type" if isinstance(wanted, str):
            return f"{KINDS[wanted]} is needed{_quote_hint(error.instance, wanted)}"
        case "enum" | "const":
            values = [str(value) for value in (wanted if isinstance(wanted, list) else [wanted])]
            near = suggest_nearest(str(error.instance), values)
            return f"{error.instance!r} is not one of {', '.join(values)}{near}"
        case "pattern":
            return f"{error.instance!r} is not {_describe_pattern(error.schema)}"
        case "minProperties" | "maxProperties" if error.schema.get("title", "").endswith("Item"):
            return f"an item has one key, its name, and this one has {len(error.instance)}: {', '.join(error.instance)}"
        case "minProperties":
            return "at least one key is needed"
        case _:
            return str(error.message)[:WORDS_MAX]


def _quote_hint(value: object, wanted: str) -> str:
    if wanted == "string" and isinstance(value, bool | int | float):
        return ", and this is read as a number or as true or false: put it in quotes"
    return ""


def _describe_pattern(schema: Mapping[str, Any]) -> str:
    match schema.get("title"):
        case "WorkflowDSL" | "WorkflowVersion":
            return "a version like 1.0.3 (semver.org)"
        case "WorkflowName" | "WorkflowNamespace":
            return "a name of up to 63 letters, digits and hyphens, with neither first nor last a hyphen"
        case "RuntimeExpression":
            return "an expression like ${ .name }"
        case "DurationLiteral":
            return "a duration like PT1H30M (ISO 8601)"
        case "LiteralUriTemplate" | "LiteralUri":
            return "an address like https://example.com/pets/{petId}"
        case title:
            return f"a {title}" if title else f"text that fits {str(schema.get('pattern'))[:WORDS_MAX]}"


def _list_unknown(error: Any) -> Sequence[str]:  # noqa: ANN401
    """The keys that `error` complains of and no alternative of the schema knows."""
    if error.validator not in {"unevaluatedProperties", "additionalProperties"} or not isinstance(error.instance, dict):
        return []
    known = _list_keys(error.schema, error.instance)
    return [key for key in error.instance if key not in known]


def _list_keys(schema: Mapping[str, Any], instance: object = None) -> set[str]:
    """The keys that `schema` knows: of a choice, those of each alternative that `instance` has the constants of."""
    resolved = resolve(schema)
    found = set(resolved.get("properties", ()))
    for part in (*resolved.get("allOf", ()), *([resolved] if resolved is not schema else ())):
        found |= _list_keys(part, instance)
    for word in CHOICES:
        for part in resolved.get(word, ()):
            found |= _list_keys(part, instance)
    return found


def _list_known(known: Sequence[str]) -> str:
    if not known:
        return ""
    more = ", ..." if len(known) > KEYS_SHOWN else ""
    return f"; known keys: {', '.join(known[:KEYS_SHOWN])}{more}"


def _list_words(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]
