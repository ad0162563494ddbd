"""Checks what the schema cannot: that each name that a document refers to is declared in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from stigmer_cli.nearest import suggest_nearest
from stigmer_cli.workflow.json_value import Json, Path, write_path
from stigmer_cli.workflow.schema_check import Problem
from stigmer_cli.workflow.task import Task, TaskKind, list_tasks, walk_tasks

DIRECTIVES = ("continue", "exit", "end")
BUILT_IN_CALLS = ("http", "grpc", "openapi", "asyncapi", "mcp", "a2a", "agent")
"""The functions that need no declaration; `agent` is an extension of Stigmer."""

CATALOGED = re.compile(r"[^@\s]+:[^@\s]+@(?P<catalog>\S+)")
"""`{functionName}:{functionVersion}@{catalogName}`"""

ADDRESS = re.compile(r"(?:https?|file)://\S+")


def find_reference_problems(data: Mapping[str, Json]) -> Sequence[Problem]:
    """The names of `data` that nothing declares, in the order of the document. `data` fits the schema."""
    use = cast("Mapping[str, Json]", data.get("use") or {})
    top = list_tasks(data["do"], ("do",))
    lists = [top, *_list_reusable(use)]
    problems = list(_check_timeout(data, (), use))
    for word in ("input", "output"):
        problems.extend(_check_authentications(data.get(word), (word,), use))
    for tasks in lists:
        problems.extend(_check_list(tasks))
        for task in walk_tasks(tasks):
            problems.extend(_check_task(task, use))
    return problems


def _list_reusable(use: Mapping[str, Json]) -> Iterator[Sequence[Task]]:
    """The functions, and the tasks before and after of each extension."""
    functions = cast("Mapping[str, Mapping[str, Json]]", use.get("functions") or {})
    yield [Task(name=name, data=data, path=("use", "functions", name)) for name, data in functions.items()]
    for number, item in enumerate(cast("Sequence[Mapping[str, Mapping[str, Json]]]", use.get("extensions") or ())):
        for name, extension in item.items():
            for word in ("before", "after"):
                if word in extension:
                    yield list_tasks(extension[word], ("use", "extensions", str(number), name, word))


def _check_list(tasks: Sequence[Task], *, are_alone: bool = False) -> Iterator[Problem]:
    """`tasks`, and the lists of tasks in them. Functions are no list: none of them goes to another."""
    for task in tasks:
        for word, inner in task.list_inner():
            yield from _check_list(inner, are_alone=word == "branches")
    if are_alone:
        for task in tasks:
            yield from _check_targets([task], "the branches of a fork run at the same time: none goes to another")
    elif tasks and tasks[0].path[:2] != ("use", "functions"):
        yield from _check_targets(tasks, "there is no such task in the same list")


def _check_targets(tasks: Sequence[Task], reason: str) -> Iterator[Problem]:
    names = [task.name for task in tasks]
    for task in tasks:
        for path, target in _list_targets(task):
            if target not in DIRECTIVES and target not in names:
                near = suggest_nearest(target, [*names, *DIRECTIVES])
                yield Problem(path=path, text=f"{write_path(path)}: {target!r}: {reason}{near}")
            elif names.count(target) > 1:
                text = f"{write_path(path)}: {target!r} is the name of {names.count(target)} tasks of the list"
                yield Problem(path=path, text=text)


def _list_targets(task: Task) -> Iterator[tuple[Path, str]]:
    """Where the flow goes after `task`, by each `then` that is its own."""
    if "then" in task.data:
        yield (*task.path, "then"), cast("str", task.data["then"])
    if task.kind is TaskKind.TRY and "then" in (catch := cast("Mapping[str, str]", task.data["catch"])):
        yield (*task.path, "catch", "then"), catch["then"]
    if task.kind is TaskKind.SWITCH:
        for number, item in enumerate(cast("Sequence[Mapping[str, Mapping[str, str]]]", task.body)):
            for name, case in item.items():
                yield (*task.path, "switch", str(number), name, "then"), case["then"]


def _check_task(task: Task, use: Mapping[str, Json]) -> Iterator[Problem]:
    yield from _check_timeout(task.data, task.path, use)
    match task.kind:
        case TaskKind.CALL:
            yield from _check_call(task, use)
        case TaskKind.RAISE:
            error = cast("Mapping[str, Json]", task.body)["error"]
            if isinstance(error, str):
                yield from _check_name(error, (*task.path, "raise", "error"), "errors", use)
        case TaskKind.TRY:
            retry = cast("Mapping[str, Json]", task.data["catch"]).get("retry")
            if isinstance(retry, str):
                yield from _check_name(retry, (*task.path, "catch", "retry"), "retries", use)
        case TaskKind.SWITCH:
            yield from _check_defaults(task)
        case _:
            pass
    yield from _check_authentications(task.data, task.path, use)


def _check_timeout(data: Mapping[str, Json], path: Path, use: Mapping[str, Json]) -> Iterator[Problem]:
    timeout = data.get("timeout")
    if isinstance(timeout, str):
        yield from _check_name(timeout, (*path, "timeout"), "timeouts", use)


def _check_call(task: Task, use: Mapping[str, Json]) -> Iterator[Problem]:
    name = cast("str", task.body)
    functions = cast("Mapping[str, Json]", use.get("functions") or {})
    path = (*task.path, "call")
    if name in BUILT_IN_CALLS or name in functions or ADDRESS.fullmatch(name):
        return
    if cataloged := CATALOGED.fullmatch(name):
        if cataloged["catalog"] != "default":
            yield from _check_name(cataloged["catalog"], path, "catalogs", use)
        return
    near = suggest_nearest(name, [*BUILT_IN_CALLS, *functions])
    text = f"{write_path(path)}: {name!r} is no function of the DSL, and use.functions has none of that name{near}"
    yield Problem(path=path, text=text)


def _check_defaults(task: Task) -> Iterator[Problem]:
    cases = cast("Sequence[Mapping[str, Mapping[str, Json]]]", task.body)
    defaults = [
        (number, name) for number, item in enumerate(cases) for name, case in item.items() if "when" not in case
    ]
    for number, name in defaults[1:]:
        path = (*task.path, "switch", str(number), name)
        yield Problem(path=path, text=f"{write_path(path)}: a second case without when, and one may be the default")


def _check_authentications(data: Json, path: Path, use: Mapping[str, Json]) -> Iterator[Problem]:
    """Each `authentication: {use: NAME}` of a task, but not of the tasks in it."""
    if not isinstance(data, dict):
        return
    for key, value in data.items():
        if key in {"do", "try", "catch", "fork", "foreach", "set", "body"}:
            continue
        if key == "authentication" and isinstance(value, dict) and isinstance(value.get("use"), str):
            yield from _check_name(cast("str", value["use"]), (*path, key, "use"), "authentications", use)
        else:
            yield from _check_authentications(value, (*path, key), use)


def _check_name(name: str, path: Path, section: str, use: Mapping[str, Json]) -> Iterator[Problem]:
    known = cast("Mapping[str, Json]", use.get(section) or {})
    if name not in known:
        near = suggest_nearest(name, known)
        yield Problem(path=path, text=f"{write_path(path)}: use.{section} has no {name!r}{near}")
