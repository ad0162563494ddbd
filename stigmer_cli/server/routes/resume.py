"""Executions go on where they stopped, because a person says so."""

from fastapi import APIRouter

from stigmer_cli.api.resume import ResumeItem, ResumeOutcome, ResumeRequest, ResumeResponse
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, RequestError
from stigmer_cli.json_text import dump_json, read_json
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.services import Services
from stigmer_cli.store.resuming import Decision, Resumed

router = APIRouter(prefix="/v1")


@router.post("/executions:resume")
async def resume_executions(body: ResumeRequest, called: Called) -> ResumeResponse:
    """Have each go on in its next epoch; what it finished is not done again.

    FAILED ones go on where they failed, and those that wait for a decision past it. Any other is left as it is.
    """
    decision = Decision(
        repeat=body.repeat,
        skip=body.skip,
        result=_read_result(body.result) if body.skip is not None else body.result,
        forget_from=body.forget_from,
        limits={**(body.limits.to_document() if body.limits else {}), **dict.fromkeys(body.lifted)},
    )
    items = []
    for name in dict.fromkeys(body.ids):
        found = await _resume(called, ExecutionId(name), decision, is_dry_run=body.dry_run)
        items.append(_item(name, found))
    called.dispatcher.nudge()
    return ResumeResponse(items=items)


def _item(name: str, found: Resumed) -> ResumeItem:
    along = [str(id_) for id_ in found.along]
    return ResumeItem(id=name, phase=found.phase, outcome=found.outcome, reason=found.reason, along=along)


async def _resume(called: Services, id_: ExecutionId, decision: Decision, *, is_dry_run: bool) -> Resumed:
    """Resume it, and end the workflow that may still be open beside it."""
    try:
        before = await called.store.executions.get(id_)
    except NotFound:
        return Resumed(outcome=ResumeOutcome.MISSING, phase=None)
    found = await called.store.resuming.resume(id_, decision, is_dry_run=is_dry_run)
    was_claimed = before.phase is Phase.IN_PROGRESS and before.dispatch.is_submitted
    if found.outcome is ResumeOutcome.RESUMED and was_claimed and not is_dry_run:
        called.canceller.withdraw(before.workflow)
    return found


def _read_result(text: str) -> str:
    """The result as the journal keeps it; raises RequestError where it is no JSON."""
    try:
        return dump_json(read_json(text))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the result is no JSON: {error}", hint="--result '{\"sent\": true}'") from None
