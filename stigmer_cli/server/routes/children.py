"""Executions that a workflow starts, as its runs ask for them."""

from fastapi import APIRouter
from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.workflow_values import parse_kept
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.errors import Conflict, NotFound, RequestError
from stigmer_cli.executions.accept import SubmitRequest
from stigmer_cli.json_text import dump_json
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.services import Services

PARENT_LABEL = "stigmer.ai/parent"

router = APIRouter(prefix="/v1")


@router.post("/executions/{execution_id}/children")
async def start_child(execution_id: str, body: ChildRequest, called: Called) -> ChildResponse:
    """Accept the execution that a step starts, unless it was before; how far it is, or why there is none."""
    parent = (await called.store.executions.get(ExecutionId(execution_id))).id
    request = SubmitRequest(
        parent=parent if body.is_awaited else None,
        started_by=None if body.is_awaited else parent,
        agent=body.agent,
        workflow=body.workflow or None,
        version=body.version,
        message=dump_json(body.input) if body.workflow else body.message,
        session=body.session,
        labels={PARENT_LABEL: parent},
    )
    try:
        child = await called.acceptor.accept_child(request, body.key)
    except (NotFound, Conflict, RequestError) as error:
        return ChildResponse(refused=error.message)
    return ChildResponse(
        id=child.id,
        phase=child.phase,
        output=await _read_output(child, called) if child.phase.is_terminal else None,
        error=child.error,
    )


async def _read_output(child: Execution, called: Services) -> JsonValue:
    """What a workflow left, or an agent said: a value where its `spec.output` asks for one, else a text."""
    if child.output is None or child.kind is Kind.WORKFLOW:
        return parse_kept(child.output)
    spec = await called.store.agent_versions.read(child.id)
    has_values = spec is not None and spec.document.get("output") is not None
    return parse_kept(child.output) if has_values else child.output
