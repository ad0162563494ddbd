"""What does not get on: of the executions that are named, and of all that are open. Nothing is written."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends

from stigmer_cli.api.stuck import StuckGroup, StuckItem, StuckItems, StuckReport, StuckRequest
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.executions.stuck import Stuck
from stigmer_cli.executions.stuck_watch import IDS_MAX
from stigmer_cli.server.services import Services, services

router = APIRouter(prefix="/v1")
Called = Annotated[Services, Depends(services)]


@router.post("/executions:stuck")
async def find_stuck(body: StuckRequest, called: Called) -> StuckItems:
    """Those of the named that do not get on, each with class, cause and what to type; 404 for an unknown id."""
    found = await called.stuck.named([ExecutionId(name) for name in dict.fromkeys(body.ids)])
    return StuckItems(items=[_item(one) for one in found])


@router.get("/stuck")
async def overview(called: Called) -> StuckReport:
    """What of all that is open does not get on, by class and phase."""
    found = await called.stuck.overview()
    return StuckReport(groups=_groups(found.stuck), is_whole=found.is_whole)


def _item(one: Stuck) -> StuckItem:
    return StuckItem(id=one.execution.id, phase=one.execution.phase, kind=one.kind, cause=one.cause, hint=one.way_out)


def _groups(found: Sequence[Stuck]) -> list[StuckGroup]:
    by_class: dict[tuple[str, str], list[Stuck]] = {}
    for one in sorted(found, key=lambda one: one.execution.created_at):
        by_class.setdefault((one.kind, one.execution.phase), []).append(one)
    return [
        StuckGroup(
            kind=alike[0].kind,
            phase=alike[0].execution.phase,
            count=len(alike),
            ids=[one.execution.id for one in alike[:IDS_MAX]],
            oldest_at=alike[0].execution.created_at,
            cause=alike[0].cause,
        )
        for alike in by_class.values()
    ]
