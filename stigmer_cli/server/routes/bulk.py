"""Changes to many executions in one request."""

from collections.abc import Sequence

from fastapi import APIRouter

from stigmer_cli.api.cancel import CancelItem, CancelOutcome, CancelRequest, CancelResponse
from stigmer_cli.api.prune import PruneItem, PruneOutcome, PruneRequest, PruneResponse
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.server.routes.called import Called
from stigmer_cli.server.services import Services

router = APIRouter(prefix="/v1")


@router.post("/executions:cancel")
async def cancel_executions(body: CancelRequest, called: Called) -> CancelResponse:
    """Ask for the end of each; one that no run has claimed ends at once, one that has ended stays as it is."""
    ids = [ExecutionId(id_) for id_ in dict.fromkeys(body.ids)]
    rows, cancelled = await called.store.executions.request_cancel_all(ids)
    _withdraw(called, [row for row in rows if row.id in cancelled])
    found = {row.id: row for row in rows}
    return CancelResponse(items=[_item(id_, found.get(id_), is_new=id_ in cancelled) for id_ in ids])


@router.post("/executions:prune")
async def prune_executions(body: PruneRequest, called: Called) -> PruneResponse:
    """Delete those that have ended, with their timelines; what has not ended is kept."""
    ids = [ExecutionId(id_) for id_ in dict.fromkeys(body.ids)]
    deleted = await called.store.pruning.delete(ids)
    outcomes = {True: PruneOutcome.DELETED, False: PruneOutcome.KEPT}
    return PruneResponse(items=[PruneItem(id=id_, outcome=outcomes[id_ in deleted]) for id_ in ids])


def _withdraw(called: Services, cancelled: Sequence[Execution]) -> None:
    for execution in cancelled:
        if execution.dispatch.is_submitted:
            called.canceller.withdraw(execution.workflow)
    called.canceller.nudge()


def _item(id_: ExecutionId, found: Execution | None, *, is_new: bool) -> CancelItem:
    if found is None:
        return CancelItem(id=id_, phase=None, outcome=CancelOutcome.MISSING)
    if is_new:
        return CancelItem(id=id_, phase=found.phase, outcome=CancelOutcome.CANCELLED)
    outcome = CancelOutcome.ENDED if found.phase.is_terminal else CancelOutcome.ASKED
    return CancelItem(id=id_, phase=found.phase, outcome=outcome)
