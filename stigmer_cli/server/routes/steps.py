"""The journals of executions: what runs write about their steps, and what is read of them."""

from typing import Annotated

from fastapi import APIRouter, Query

from stigmer_cli.api.reports import ReportResponse
from stigmer_cli.api.run_report import NUMBER_MAX
from stigmer_cli.api.steps import (
    BeginStepRequest,
    BeginStepResponse,
    CutOffRequest,
    CutOffResponse,
    EndedStepBody,
    FinishStepRequest,
    StepContentsBody,
    StepDraftBody,
    StepEndBody,
    StepPage,
    contents_body,
)
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.server.routes.called import Called
from stigmer_cli.store.runs import ReportResult
from stigmer_cli.store.step_contents import RecordedPage
from stigmer_cli.store.step_rows import EndedStep, StepDraft, StepEnd
from stigmer_cli.store.steps import Begun

PAGE_MAX = 1_000

router = APIRouter(prefix="/v1/executions/{execution_id}/steps")


@router.post("/begin")
async def begin_step(execution_id: str, body: BeginStepRequest, called: Called) -> BeginStepResponse:
    """Whether the attempt is to perform the step; the same call again has the same answer."""
    begun = await called.store.steps.begin(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        draft=draft_of(body.step),
    )
    return begun_body(begun)


@router.post("/finish")
async def finish_step(execution_id: str, body: FinishStepRequest, called: Called) -> ReportResponse:
    """How a step ended; a repeat is taken and changes nothing."""
    report = await called.store.steps.finish(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        step=ended_step(EndedStepBody(step=body.step, end=body.end)),
    )
    return ReportResponse(taken=report is ReportResult.TAKEN)


@router.post("/cut-off")
async def cut_off_steps(execution_id: str, body: CutOffRequest, called: Called) -> CutOffResponse:
    """End the steps in the air that the workflow never comes to again; a repeat changes nothing."""
    left = await called.store.steps.cut_off(
        ExecutionId(execution_id),
        epoch=body.epoch,
        run=RunId(body.run),
        attempt=body.attempt,
        below=body.below,
        end=step_end(body.end),
    )
    return CutOffResponse(taken=left is not None, left=left or 0)


@router.get("")
async def list_steps(
    execution_id: str,
    called: Called,
    results: Annotated[bool | None, Query()] = None,
    after: Annotated[int, Query(ge=0, le=NUMBER_MAX)] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_MAX,
) -> StepPage:
    """One page in order of beginning; with `results` those that are recorded, with what they gave, as a replay asks."""
    if results:
        return recorded_body(await called.store.steps.read_recorded(ExecutionId(execution_id), after=after))
    found = await called.store.steps.list(ExecutionId(execution_id), after=after, limit=limit + 1)
    shown = found[:limit]
    return StepPage(items=[contents_body(step) for step in shown], next_after=shown[-1].seq if found[limit:] else None)


@router.get("/{reference:path}")
async def get_step(execution_id: str, reference: str, called: Called) -> StepContentsBody:
    """One step, by number or key, with its input and its result."""
    wanted = int(reference) if reference.isdecimal() and len(reference) < len(str(NUMBER_MAX)) else reference
    found = await called.store.steps.read_contents(ExecutionId(execution_id), wanted)
    return contents_body(found.step, input_text=found.input, result=found.result)


def draft_of(body: StepDraftBody) -> StepDraft:
    """The step in `body`, as the store takes it."""
    return StepDraft(
        key=body.key,
        kind=body.kind,
        name=body.name,
        effect=body.effect,
        nonce=body.nonce,
        input_hash=body.input_hash,
        input=body.input,
    )


def ended_step(body: EndedStepBody, *, may_be_outcome: bool = False) -> EndedStep:
    """The step in `body` that has ended, as the store takes it; `may_be_outcome`: it comes with an outcome."""
    return EndedStep(draft=draft_of(body.step), end=step_end(body.end, may_be_outcome=may_be_outcome))


def step_end(body: StepEndBody, *, may_be_outcome: bool = False) -> StepEnd:
    """How a step ended, as the store takes it; `may_be_outcome`: it comes with an outcome."""
    return StepEnd(
        state=body.state,
        result=body.result,
        error=body.error,
        usage=body.usage.to_domain() if body.usage else None,
        took_s=body.took_s,
        is_outcome=body.is_outcome and may_be_outcome,
    )


def begun_body(begun: Begun) -> BeginStepResponse:
    """What became of a `begin`, as it goes over the wire."""
    step = begun.step
    return BeginStepResponse(
        answer=begun.answer,
        state=step.state if step else None,
        result=begun.result,
        error=step.error if step else None,
        reason=begun.reason,
    )


def recorded_body(page: RecordedPage) -> StepPage:
    """Recorded steps, as they go over the wire."""
    items = [contents_body(item.step, result=item.result) for item in page.items]
    return StepPage(items=items, next_after=page.next_after)
