"""Executions by name: which one a short reference means, and those that a shell offers."""

from typing import Annotated

from fastapi import APIRouter, Query

from stigmer_cli.api.execution_names import ExecutionName, ExecutionNames, execution_name
from stigmer_cli.domain.execution_reference import REFERENCE_MAX
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.resolve import resolve_reference
from stigmer_cli.server.routes.called import Called
from stigmer_cli.store.listing import Filter

NAMES_MAX = 500

router = APIRouter(prefix="/v1")


@router.get("/executions:resolve")
async def resolve(ref: Annotated[str, Query(max_length=REFERENCE_MAX)], called: Called) -> ExecutionName:
    """The one execution that `ref` means: its id, four or more characters of the id's beginning or end, or `@last`.

    400 names up to five candidates where it fits several.
    """
    return execution_name(await resolve_reference(called.store, ref, called.clock))


@router.get("/executions:names")
async def list_names(
    called: Called,
    phase: Annotated[list[Phase] | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=NAMES_MAX)] = 100,
) -> ExecutionNames:
    """The newest executions, without what may be long."""
    page = await called.store.executions.list(Filter(phases=frozenset(phase or ())), limit=limit)
    return ExecutionNames(items=[execution_name(one) for one in page.items])
