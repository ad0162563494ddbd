"""Workflows: apply, list, get, delete."""

import asyncio
import json
from collections.abc import Mapping
from typing import Annotated, cast

from fastapi import APIRouter, Query

from stigmer_cli.api.resources import AgentStatus, LastRun
from stigmer_cli.api.workflow_values import parse_kept
from stigmer_cli.api.workflows import (
    AppliedWorkflowItem,
    ApplyWorkflowsRequest,
    ApplyWorkflowsResponse,
    WorkflowManifest,
    WorkflowMetadata,
    WorkflowPage,
    WorkflowResource,
)
from stigmer_cli.domain.identity import AgentId
from stigmer_cli.domain.workflow_definition import WorkflowDefinition
from stigmer_cli.errors import RequestError
from stigmer_cli.json_text import dump_json
from stigmer_cli.server.routes.agents import applied_item, draft_of, refuse_twice
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.services import Services
from stigmer_cli.store.agent_runs import AgentRuns
from stigmer_cli.store.agents import UPDATED
from stigmer_cli.store.workflows import AppliedWorkflow, WorkflowDraft

PAGE_MAX = 100
DOCUMENT_CHARS_MAX = 1024 * 1024

router = APIRouter(prefix="/v1")


@router.post("/workflows:apply")
async def apply_workflows(body: ApplyWorkflowsRequest, called: Called) -> ApplyWorkflowsResponse:
    """Create or update workflows, and agents with them, all or none, or, with `dryRun`, only say what that would do."""
    await asyncio.to_thread(_check_all, body.items)
    agents = [draft_of(manifest, called.ids) for manifest in body.agents]
    refuse_twice(draft.slug for draft in agents)
    drafts = [_draft(manifest, called) for manifest in body.items]
    refuse_twice(f"{draft.namespace}/{draft.name}" for draft in drafts)
    applied, applied_agents = await called.store.workflows.apply(drafts, agents, is_dry_run=body.dry_run)
    called.scheduler.nudge()
    return ApplyWorkflowsResponse(
        items=[_applied(one) for one in applied], agents=[applied_item(one) for one in applied_agents]
    )


@router.get("/workflows")
async def list_workflows(
    called: Called,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
    cursor: str | None = None,
    status: Annotated[bool, Query(description="Adds `status`: executions and lastRun.")] = False,  # noqa: FBT002 - a parameter
    brief: Annotated[bool, Query(description="Leaves `spec` out.")] = False,  # noqa: FBT002 - a parameter
) -> WorkflowPage:
    """One page of workflows by name and namespace."""
    name, _, namespace = (cursor or "").partition("/")
    after = (name, namespace) if cursor else None
    page, has_more = await called.store.workflows.list(limit=limit, after=after, has_documents=not brief)
    runs = await called.store.workflows.read_runs([one.id for one in page]) if status else None
    last = page[-1] if has_more else None
    return WorkflowPage(
        items=[_with_status(one, runs) for one in page], next_cursor=f"{last.name}/{last.namespace}" if last else None
    )


@router.get("/workflows/{reference:path}")
async def get_workflow(reference: str, called: Called) -> WorkflowResource:
    """One workflow, by id, NAME or NAMESPACE/NAME."""
    return workflow_resource(await called.store.workflows.get(reference))


@router.delete("/workflows/{reference:path}")
async def delete_workflow(reference: str, called: Called) -> WorkflowResource:
    """Delete a workflow. Its executions stay, and so do the documents that they began with."""
    return workflow_resource(await called.store.workflows.delete(reference))


def workflow_resource(found: WorkflowDefinition) -> WorkflowResource:
    """`found` as it goes over the wire."""
    return WorkflowResource(
        metadata=WorkflowMetadata(
            name=found.name,
            slug=found.name,
            id=found.id,
            namespace=found.namespace,
            version=found.version,
            labels=dict(found.labels),
            annotations=dict(found.annotations),
            created_at=found.created_at,
            updated_at=found.updated_at,
        ),
        spec=cast("dict[str, object]", parse_kept(found.document)) if found.document else {},
    )


def _with_status(found: WorkflowDefinition, runs: Mapping[AgentId, AgentRuns] | None) -> WorkflowResource:
    if runs is None:
        return workflow_resource(found)
    run = runs.get(found.id)
    last = run and LastRun(id=run.last_id, at=run.last_at, phase=run.last_phase)
    status = AgentStatus(executions=run.count if run else 0, last_run=last)
    return workflow_resource(found).model_copy(update={"status": status})


def _applied(applied: AppliedWorkflow) -> AppliedWorkflowItem:
    before = applied.before if applied.verb == UPDATED else None
    return AppliedWorkflowItem(
        verb=applied.verb,
        workflow=workflow_resource(applied.workflow),
        before=workflow_resource(before) if before else None,
    )


def _draft(manifest: WorkflowManifest, called: Services) -> WorkflowDraft:
    about = cast("Mapping[str, str]", manifest.spec["document"])
    if manifest.metadata.name not in (None, about["name"]):
        raise RequestError(
            f"metadata.name is {manifest.metadata.name}, and spec.document.name is {about['name']}",
            hint="leave metadata.name out",
        )
    document = dump_json(manifest.spec)
    if len(document) > DOCUMENT_CHARS_MAX:
        raise RequestError(f"the document of {about['name']} is longer than {DOCUMENT_CHARS_MAX:,} characters as JSON")
    return WorkflowDraft(
        id=called.ids.workflow_id(),
        namespace=about["namespace"],
        name=about["name"],
        version=about["version"],
        document=document,
        labels=manifest.metadata.labels,
        annotations=manifest.metadata.annotations,
    )


def _check_all(manifests: list[WorkflowManifest]) -> None:
    """Check each document as `workflows validate` does; raises RequestError that lists every mistake."""
    from stigmer_cli.workflow.document import Rejected, read_workflows  # noqa: PLC0415 - jsonschema and jq are heavy

    problems: list[str] = []
    for number, manifest in enumerate(manifests):
        for found in read_workflows(f"items[{number}].spec", json.dumps(manifest.spec)):
            problems += found.problems if isinstance(found, Rejected) else ()
    if problems:
        raise RequestError("\n".join(problems), hint="stigmer workflows validate FILE shows the lines of a file")
