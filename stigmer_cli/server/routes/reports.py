"""What runs report: claim, attempt, messages, outcome. Each names what it expects; a stale one changes nothing."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Header

from stigmer_cli.api.agent_tools import LoopSpec
from stigmer_cli.api.reports import (
    PERFORMS_HEADER,
    WORKFLOWS,
    AttemptRequest,
    AttemptResponse,
    ClaimAnswer,
    ClaimingAttemptRequest,
    ClaimingAttemptResponse,
    ClaimRequest,
    ClaimResponse,
    CountsResponse,
    FollowUpBody,
    MessageReport,
    OutcomeReport,
    PostponeRequest,
    ReportResponse,
    UsageReport,
    Work,
    generations_body,
)
from stigmer_cli.api.sessions import exchange_bodies
from stigmer_cli.api.usage import used_body
from stigmer_cli.domain.execution import Agent, AgentSpec, Execution, Outcome
from stigmer_cli.domain.identity import ExecutionId, Kind, RunId, WorkflowId
from stigmer_cli.json_text import dump_json
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.routes.steps import ended_step
from stigmer_cli.server.routes.workflow_tasks import make_workflow_work
from stigmer_cli.server.services import Services
from stigmer_cli.store.attempt_counts import AttemptCounts
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import Claimant, ReportedText, ReportResult
from stigmer_cli.store.with_agent import WithAgent

FIRST = AttemptCounts(begun=1, processes=1)

router = APIRouter(prefix="/v1/executions/{execution_id}")
Performs = Annotated[str, Header(alias=PERFORMS_HEADER)]

log = structlog.get_logger()


@router.post("/claim")
async def claim(execution_id: str, body: ClaimRequest, called: Called, performs: Performs = "") -> ClaimResponse:
    """Whether this run holds the epoch now; a workflow waits for a runner that says that it performs such."""
    taken = await called.store.runs.claim(
        ExecutionId(execution_id), epoch=body.epoch, claimant=_claimant(body, performs)
    )
    _note_lost(execution_id, body, taken, called)
    return ClaimResponse(won=taken is ClaimAnswer.WON, reason=taken)


@router.post("/attempts")
async def begin_attempt(
    execution_id: str, body: AttemptRequest, called: Called, performs: Performs = ""
) -> AttemptResponse:
    """What the attempt has to do; nothing where the outcome is there, or the attempt is superseded."""
    report = await called.store.runs.begin_attempt(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        runner=body.runner,
        has_workflows=performs == WORKFLOWS,
    )
    if report is not ReportResult.TAKEN:
        return AttemptResponse(work=None)
    begun = await called.store.executions.get_with_agent(ExecutionId(execution_id))
    return AttemptResponse(work=await _work(begun, body.attempt, called))


@router.post("/claimed-attempts")
async def claim_and_begin(
    execution_id: str, body: ClaimingAttemptRequest, called: Called, performs: Performs = ""
) -> ClaimingAttemptResponse:
    """Whether this run holds the epoch now; if it does, its attempt begins, and this is what it has to do."""
    claimed = await called.store.runs.claim_and_begin(
        ExecutionId(execution_id), epoch=body.epoch, claimant=_claimant(body, performs), attempt=body.attempt
    )
    _note_lost(execution_id, body, claimed.answer, called)
    if claimed.before is None:
        is_overtaken = claimed.answer is ClaimAnswer.WON and claimed.report is ReportResult.STALE
        return ClaimingAttemptResponse(answer=claimed.answer, work=None, is_overtaken=is_overtaken)
    if body.attempt == 1:
        called.admission.record_claim(_waited_s(claimed.before.execution, called))
    return ClaimingAttemptResponse(answer=claimed.answer, work=await _work(claimed.before, body.attempt, called))


def _waited_s(before: Execution, called: Services) -> float:
    """For how long an execution that was claimed just now could have been; its turn in a session comes with another."""
    is_fresh = before.epoch == 1 and before.session is None
    since = before.created_at if is_fresh else before.dispatch.submitted_at
    return max(0.0, (called.clock.now() - since).total_seconds()) if since else 0.0


def _claimant(body: ClaimRequest, performs: str) -> Claimant:
    return Claimant(
        run=RunId(body.run),
        runner=body.runner,
        workflow=WorkflowId(body.workflow_id) if body.workflow_id else None,
        first_run=RunId(body.first_run) if body.first_run else None,
        has_workflows=performs == WORKFLOWS,
    )


def _note_lost(execution_id: str, body: ClaimRequest, answer: ClaimAnswer, called: Services) -> None:
    if answer is not ClaimAnswer.WON:
        called.metrics.claims_lost.inc()
    if answer is ClaimAnswer.NOT_MINE:
        log.warning("claim_not_mine", execution=execution_id, workflow=body.workflow_id, runner=body.runner)


@router.get("/attempts")
async def count_attempts(execution_id: str, called: Called) -> CountsResponse:
    """How many attempts of the run that holds it began, and how many ended at a busy model."""
    counts = await called.store.runs.count_attempts(ExecutionId(execution_id))
    return CountsResponse(
        begun=counts.begun,
        processes=counts.processes,
        model_tries=counts.model_tries,
        progressed=counts.progressed,
    )


@router.post("/postponements")
async def postpone(execution_id: str, body: PostponeRequest, called: Called) -> ReportResponse:
    """The attempt ended because its model is busy; a repeat is taken and changes nothing."""
    report = await called.store.runs.postpone(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        postponement=Postponement(cause=body.cause, delay_s=body.delay_s, busy_s=body.busy_s, broke_off=body.broke_off),
    )
    return ReportResponse(taken=report is ReportResult.TAKEN)


async def _definition(execution: Execution, agent: Agent | None, called: Services) -> AgentSpec | None:
    """What the execution goes on with; None where its agent was deleted while it waited."""
    pinned = await called.store.agent_versions.read(execution.id) if execution.is_pinned else None
    if pinned is not None or agent is None:
        return pinned
    return await called.store.agent_versions.pin(execution.id, agent) if agent.spec.document else agent.spec


async def _work(begun: WithAgent, attempt: int, called: Services) -> Work:
    """What an attempt that began has to do."""
    execution = begun.execution
    counts = FIRST if attempt == 1 else await called.store.runs.count_attempts(execution.id)
    if execution.kind is Kind.WORKFLOW:
        return await make_workflow_work(execution, counts, called)
    spec = await _definition(execution, begun.agent, called)
    if spec is None:  # the run says so, and ends
        return Work(instructions="", message=execution.message, model="deleted", agent_name=execution.agent_name)
    has_more = execution.session is not None or execution.has_conversation
    exchanges = await called.store.sessions.begin_conversation(execution.id) if has_more else ()
    wait = execution.model_wait
    return Work(
        instructions=spec.instructions,
        message=execution.asked[0].message if execution.asked else execution.message,
        model=spec.model,
        agent_name=execution.agent_name,
        spec=LoopSpec.model_validate(spec.document) if spec.document else None,
        begun=counts.begun,
        processes=counts.processes,
        model_tries=counts.model_tries,
        broken_off=counts.broken_off,
        model_busy_since=wait.since if wait else None,
        model_busy_s=counts.model_busy_s if wait else 0.0,
        has_steps=execution.has_steps,
        used=used_body(execution.usage) if execution.usage and spec.document else None,
        progressed=counts.progressed,
        conversation=exchange_bodies(exchanges),
        follow_ups=[FollowUpBody(turn=one.turn, message=one.message) for one in execution.asked[1:]],
        can_wait=True,
        generations=generations_body(execution.generations),
    )


@router.post("/messages")
async def append_message(execution_id: str, body: MessageReport, called: Called) -> ReportResponse:
    """Text of a message, as it comes; a repeat is taken and changes nothing."""
    report = await called.store.runs.append_message(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        index=body.index,
        offset=body.offset,
        role=body.role,
        text=body.text,
    )
    return ReportResponse(taken=report is ReportResult.TAKEN)


@router.post("/usage")
async def report_usage(execution_id: str, body: UsageReport, called: Called) -> ReportResponse:
    """What an attempt used that ends without an outcome; a repeat is taken and counts once."""
    report = await called.store.runs.add_usage(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        usage=body.usage.to_domain(),
    )
    return ReportResponse(taken=report is ReportResult.TAKEN)


@router.post("/outcome")
async def finish(execution_id: str, body: OutcomeReport, called: Called) -> ReportResponse:
    """How the run ended; the same word twice is taken twice and written once."""
    tail = body.tail
    report = await called.store.runs.finish(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        outcome=Outcome(
            phase=body.phase,
            output=body.output,
            error=body.error,
            error_fields=None if body.error_fields is None else dump_json(body.error_fields),
            usage=body.usage.to_domain() if body.usage else None,
        ),
        tail=ReportedText(index=tail.index, offset=tail.offset, role=tail.role, text=tail.text) if tail else None,
        steps=[ended_step(step, may_be_outcome=True) for step in body.steps],
        tasks=[task.to_domain() for task in body.tasks],
    )
    return ReportResponse(taken=report is not ReportResult.STALE)
