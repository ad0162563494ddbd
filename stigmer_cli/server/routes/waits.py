"""Executions that wait: what runs report, and what persons decide."""

from fastapi import APIRouter

from stigmer_cli.api.cloud_events import queries_of
from stigmer_cli.api.decisions import (
    DecideItem,
    DecideRequest,
    DecideResponse,
    DecisionList,
    decision_body,
)
from stigmer_cli.api.reports import ReportResponse
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.waiting import Verdict, check_arguments
from stigmer_cli.errors import RequestError
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.routes.steps import draft_of
from stigmer_cli.store.decisions import AskedCall, Ruling
from stigmer_cli.store.listeners import Listener
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.waits import WaitReport

router = APIRouter(prefix="/v1")


@router.post("/executions/{execution_id}/wait")
async def report_wait(execution_id: str, body: WaitRequest, called: Called) -> ReportResponse:
    """The attempt ended because the execution has to wait; a repeat is taken and changes nothing."""
    wait = wait_report(body)
    report = await called.store.waits.report(
        ExecutionId(execution_id), epoch=body.epoch, run=RunId(body.run), attempt=body.attempt, wait=wait
    )
    called.dispatcher.nudge()  # all may have been decided already
    return ReportResponse(taken=report is not ReportResult.STALE)


@router.get("/executions/{execution_id}/decisions")
async def list_decisions(execution_id: str, called: Called) -> DecisionList:
    """What was asked about its calls, and what was decided, oldest first."""
    found = await called.store.waits.read_decisions(ExecutionId(execution_id))
    return DecisionList(items=[decision_body(decision) for decision in found])


@router.post("/executions:decide")
async def decide(body: DecideRequest, called: Called) -> DecideResponse:
    """Record a decision about each call; an execution whose last open call is decided goes on."""
    ruling = Ruling(verdict=body.verdict, reason=body.reason, arguments=_check_arguments(body))
    items = []
    for call in body.calls:
        found = await called.store.waits.decide(ExecutionId(call.id), call.step, ruling)
        items.append(
            DecideItem(
                id=call.id,
                step=found.step,
                phase=found.phase,
                outcome=found.outcome,
                left=found.left,
                reason=found.reason,
            )
        )
    called.dispatcher.nudge()
    return DecideResponse(items=items)


def wait_report(body: WaitRequest) -> WaitReport:
    """The wait in `body`, as the store takes it."""
    return WaitReport(
        wait_for=body.wait_for,
        step=body.step,
        cause=body.cause,
        delay_s=body.delay_s,
        calls=[
            AskedCall(step=call.step, tool=call.tool, arguments_hash=call.arguments_hash, arguments=call.arguments)
            for call in body.calls
        ],
        timer=draft_of(body.timer) if body.timer else None,
        tasks=[task.to_domain() for task in body.tasks],
        children=[ExecutionId(id_) for id_ in body.children],
        listening=[Listener(queries=queries_of(one.queries), after=one.after) for one in body.listening],
    )


def _check_arguments(body: DecideRequest) -> str | None:
    """The arguments that a person gave; raises RequestError where they are no JSON object, or belong to nothing."""
    if body.arguments is None:
        return None
    if body.verdict is not Verdict.APPROVED or len(body.calls) != 1:
        raise RequestError("arguments are those of one call that is approved", hint="name one call")
    try:
        return check_arguments(body.arguments)
    except ValueError as error:
        raise RequestError(f"the arguments {error}", hint='--arguments \'{"path": "notes.txt"}\'') from None
