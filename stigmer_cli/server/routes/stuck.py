"""All open executions that are stuck. Nothing is written."""

from fastapi import APIRouter

from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.judgement.wire import stuck_groups
from stigmer_cli.server.routes.called import Called

router = APIRouter(prefix="/v1")


@router.get("/stuck")
async def overview(called: Called) -> StuckReport:
    """All open executions that are stuck, by class and phase."""
    found = await called.stuck.overview()
    return StuckReport(groups=stuck_groups(found.stuck), is_whole=found.is_whole, is_judged=found.is_judged)
