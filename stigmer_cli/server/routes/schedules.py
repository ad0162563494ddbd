"""Schedules: list, pause, resume."""

from collections.abc import Sequence

import structlog
from fastapi import APIRouter

from stigmer_cli.api.schedules import PauseScheduleRequest, ScheduleItem, ScheduleList
from stigmer_cli.server.routes.called import Called
from stigmer_cli.store.schedules import ScheduleState

router = APIRouter(prefix="/v1")

log = structlog.get_logger()


@router.get("/schedules")
async def list_schedules(called: Called) -> ScheduleList:
    """What has workflows run by themselves, and when next."""
    return _list(await called.store.schedules.list())


@router.post("/schedules:pause")
async def pause_schedules(body: PauseScheduleRequest, called: Called) -> ScheduleList:
    """Pause the triggers of a workflow, or have them go on."""
    found = await called.store.workflows.get(body.workflow)
    items = _list(await called.store.schedules.pause(found.id, is_paused=body.is_paused))
    log.info("schedule_paused" if body.is_paused else "schedule_resumed", workflow=found.full_name)
    return items


def _list(states: Sequence[ScheduleState]) -> ScheduleList:
    return ScheduleList(
        items=[
            ScheduleItem(
                workflow=one.workflow,
                trigger=one.schedule.trigger,
                text=one.schedule.text,
                is_paused=one.is_paused,
                next_at=one.next_at,
                last_at=one.last_at,
                last_execution=one.last_execution,
                missed=one.missed,
                problem=one.problem,
            )
            for one in states
        ]
    )
