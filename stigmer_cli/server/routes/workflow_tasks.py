"""Workflows as their runs see them: what there is to do, and how far their tasks are."""

from typing import Annotated

from fastapi import APIRouter, Query

from stigmer_cli.api.reports import ReportResponse, Work, generations_body
from stigmer_cli.api.run_report import NUMBER_MAX
from stigmer_cli.api.tasks import TASKS_SHOWN_MAX, TaskPage, TasksReport, WorkflowWork, task_body
from stigmer_cli.api.workflow_values import parse_kept
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.running_version import RUNNING_VERSION
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.services import Services
from stigmer_cli.store.attempt_counts import AttemptCounts
from stigmer_cli.store.runs import ReportResult

router = APIRouter(prefix="/v1/executions/{execution_id}/tasks")


@router.post("")
async def report_tasks(execution_id: str, body: TasksReport, called: Called) -> ReportResponse:
    """How far tasks are; a repeat is taken and changes nothing."""
    report = await called.store.tasks.report(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        reported=[task.to_domain() for task in body.tasks],
    )
    return ReportResponse(taken=report is ReportResult.TAKEN)


@router.get("")
async def list_tasks(
    execution_id: str,
    called: Called,
    after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=TASKS_SHOWN_MAX)] = TASKS_SHOWN_MAX,
) -> TaskPage:
    """One page in the order in which they began."""
    found = await called.store.tasks.list(ExecutionId(execution_id), after=after, limit=limit + 1)
    shown = found[:limit]
    return TaskPage(
        items=[task_body(number, task) for number, task in shown], next_after=shown[-1][0] if found[limit:] else None
    )


async def make_workflow_work(execution: Execution, counts: AttemptCounts, called: Services) -> Work:
    """What an attempt of a workflow that began has to do; its first attempt fixes when it began, and with what."""
    begun = await called.store.workflows.begin(execution.id, version=RUNNING_VERSION)
    if begun is None:
        raise RuntimeError(f"{execution.id} has no document")
    return Work(
        instructions="",
        message="",
        model="",
        agent_name=execution.agent_name,
        begun=counts.begun,
        processes=counts.processes,
        has_steps=execution.has_steps,
        progressed=counts.progressed,
        can_wait=True,
        generations=generations_body(execution.generations),
        workflow=WorkflowWork.model_construct(  # what the store keeps was checked before, and may be long
            document=parse_kept(begun.document),
            input=parse_kept(begun.input),
            started_ms=begun.began_ms,
            runtime_version=begun.began_version,
            tasks_max=called.settings.workflow_tasks_max,
            now_ms=int(called.clock.now().timestamp() * 1_000),
        ),
    )
