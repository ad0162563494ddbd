"""Checks data against a JSON Schema, which stands in the document, or is fetched where it says, and recorded."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from stigmer_cli.domain.step import Effect
from stigmer_cli.json_schema import find_schema_problem
from stigmer_cli.workflow.error import ErrorType, LimitReached, make_error
from stigmer_cli.workflow.expression.evaluator import ExpressionLimit
from stigmer_cli.workflow.interpreter.call_arguments import take_endpoint
from stigmer_cli.workflow.interpreter.run import Run
from stigmer_cli.workflow.interpreter.scope import Scope
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import TaskStep


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Data that may have a schema: `what` it is in words, its place `key` in the execution, what expressions see."""

    value: Json
    what: str
    key: str
    scope: Scope


async def check_schema(run: Run, holder: Json, checked: Checked) -> None:
    """Raises WorkflowError where the data does not fit the schema of `holder`, if that has one."""
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    if not isinstance(schema, Mapping):
        return
    document = schema.get("document") if "document" in schema else await _fetch_schema(run, schema, checked)
    if not isinstance(document, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"the schema of the {checked.what} is no mapping")
    try:
        misfit = await run.evaluator.find_misfit(checked.value, document)
    except ExpressionLimit as error:
        raise LimitReached(make_error(ErrorType.VALIDATION, f"the schema of the {checked.what}: {error}")) from error
    if misfit:
        raise make_error(ErrorType.VALIDATION, f"the {checked.what} does not fit its schema {misfit}")


async def _fetch_schema(run: Run, schema: Mapping[str, Json], checked: Checked) -> Json:
    """The schema, as it was when the data was first checked. Raises WorkflowError."""
    resources = run.functions.resources
    if resources is None:
        raise make_error(ErrorType.CONFIGURATION, f"the schema of the {checked.what} cannot be fetched here")
    endpoint = cast("Mapping[str, Json]", schema["resource"])["endpoint"]
    address, policy = await take_endpoint(run, endpoint, checked.value, checked.scope)

    async def fetch() -> Json:
        found = await resources.fetch_document(address, policy, "JSON Schema")
        if problem := await asyncio.to_thread(find_schema_problem, found):
            raise make_error(ErrorType.CONFIGURATION, f"{address}: {problem}")
        return found

    step = TaskStep(
        key=f"{checked.key}/schema",
        name=f"schema of the {checked.what}",
        effect=Effect.REPEATABLE,
        input={"schema": address},
    )
    return await run.perform_step(step, fetch)
