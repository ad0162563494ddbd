"""Functions that a call names by an address, or by `NAME:VERSION@CATALOG`: they are fetched, checked, and recorded."""

import asyncio
import re
from collections.abc import Mapping
from typing import cast

from stigmer_cli.domain.step import Effect
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.expressions_check import find_expression_problems
from stigmer_cli.workflow.interpreter.call_arguments import take_endpoint
from stigmer_cli.workflow.interpreter.run import Run, Visit, shorten_key
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.references import ADDRESS, CATALOGED, find_reference_problems
from stigmer_cli.workflow.runtime import TaskStep
from stigmer_cli.workflow.schema_check import find_schema_problems
from stigmer_cli.workflow.task import Task

GITHUB = re.compile(r"https://github\.com/([^/]+)/([^/]+)/?(?:(?:tree|blob)/([^/]+)/?(.*))?")
GITLAB = re.compile(r"(https://gitlab\.com/.+?)/-/(?:tree|blob)/(.+)")
NESTED = "/function"
NESTED_MAX = 16
"""How deep functions may call functions: two that call each other have no end."""

CHECKED = "function"


def is_fetched(name: str) -> bool:
    """Whether a function of this name is at an address or in a catalog."""
    return ADDRESS.fullmatch(name) is not None or CATALOGED.fullmatch(name) is not None


async def fetch_function(run: Run, visit: Visit, name: str) -> Task:
    """The function, as it was when the task was first performed. Raises WorkflowError."""
    resources = run.functions.resources
    if resources is None:
        raise make_error(ErrorType.CONFIGURATION, f"the function {name} cannot be fetched here")
    address, policy = await _find_address(run, visit, name)

    async def fetch() -> Json:
        data = await resources.fetch_document(address, policy, "function")
        await asyncio.to_thread(_check, run, address, data)
        return cast("Json", data)

    step = TaskStep(
        key=shorten_key(f"{visit.key}/definition"),
        name=f"{visit.task.name}: {name}",
        effect=Effect.REPEATABLE,
        input={"function": name, "address": address},
    )
    found = cast("Mapping[str, Json]", await run.perform_step(step, fetch))
    return Task(name=name, data=found, path=(*visit.task.path, "call"))


def check_nesting(key: str) -> None:
    """Raises WorkflowError where functions call functions without end. `key` is that of a task."""
    if key.count(f"{NESTED}/") + key.endswith(NESTED) >= NESTED_MAX:
        raise make_error(ErrorType.CONFIGURATION, f"functions call functions more than {NESTED_MAX} deep")


async def _find_address(run: Run, visit: Visit, name: str) -> tuple[str, Policy | None]:
    """Where the function is, and what authenticates there."""
    if not (found := CATALOGED.fullmatch(name)) or ADDRESS.fullmatch(name):
        return _make_raw(name), None
    catalog = run.use.get("catalogs", {}).get(found["catalog"])
    if not isinstance(catalog, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"there is no catalog {found['catalog']}: use.catalogs names none")
    base, policy = await take_endpoint(run, catalog.get("endpoint"), visit.input, visit.scope)
    function, version = name.partition("@")[0].rsplit(":", 1)
    if (repository := GITHUB.fullmatch(base)) and not repository[3]:
        base = f"{base.rstrip('/')}/tree/main"
    return _make_raw(f"{base.rstrip('/')}/functions/{function}/{version}/function.yaml"), policy


def _make_raw(address: str) -> str:
    """The address of the document itself, where `address` is that of a page of GitHub or GitLab about it."""
    if (found := GITHUB.fullmatch(address)) and found[4]:
        return f"https://raw.githubusercontent.com/{found[1]}/{found[2]}/{found[3]}/{found[4]}"
    if found := GITLAB.fullmatch(address):
        return f"{found[1]}/-/raw/{found[2]}"
    return address


def _check(run: Run, address: str, data: Mapping[str, Json]) -> None:
    """Raises WorkflowError where `data` is no task that this workflow could have among its own functions."""
    use = {**run.use, "functions": {**run.use.get("functions", {}), CHECKED: _without_named_arguments(data)}}
    document = {
        "document": run.workflow.data["document"],
        "use": cast("Json", use),
        "do": [{CHECKED: {"call": CHECKED}}],
    }
    problems = find_schema_problems(document) or [
        *find_reference_problems(document),
        *find_expression_problems(document),
    ]
    if problems:
        text = problems[0].text.replace(f"use.functions.{CHECKED}", "the function")
        raise make_error(ErrorType.CONFIGURATION, f"{address} is no function of the DSL: {text}")


def _without_named_arguments(data: Mapping[str, Json]) -> Mapping[str, Json]:
    """Catalogs have scripts whose arguments are a mapping, as versions of the DSL before 1.0.3 had it."""
    run = data.get("run")
    script = run.get("script") if isinstance(run, Mapping) else None
    if not isinstance(script, Mapping) or not isinstance(script.get("arguments"), Mapping):
        return data
    kept = {key: value for key, value in script.items() if key != "arguments"}
    return {**data, "run": {**cast("Mapping[str, Json]", run), "script": kept}}
