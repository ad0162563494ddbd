"""Reconciling on request, streamed while it happens."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from stigmer_cli.api.problem import problem_of
from stigmer_cli.api.reconcile import ReconcileItem, ReconcileLine, ReconcileRequest, ReconcileSummary
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.reconcile.apply import Applied, Done
from stigmer_cli.executions.reconcile.plan import Action, Finding, Rules
from stigmer_cli.executions.reconcile.request import Wanted
from stigmer_cli.executions.reconcile.walk import Scope
from stigmer_cli.server.services import Services, services

WORTH_TELLING = frozenset({Finding.LOST, Finding.REFUSED, Finding.UNKNOWN})
"""Findings that a reader must see although nothing was done about them."""

COUNTED_AS: dict[Done, str] = {
    Done.RESUBMITTED: "resubmitted",
    Done.REPAIRED: "repaired",
    Done.ATTENTION: "attention",
    Done.CHANGED: "skipped",
    Done.LEFT: "skipped",
    Done.PLANNED: "skipped",
    Done.FAILED: "failed",
}
PLANNED_AS: dict[Action, str] = {
    Action.RESUBMIT: "resubmitted",
    Action.START_OVER: "resubmitted",
    Action.RETRY: "resubmitted",
    Action.REPAIR: "repaired",
    Action.MARK: "attention",
    Action.NONE: "skipped",
}

router = APIRouter(prefix="/v1")
Called = Annotated[Services, Depends(services)]


@router.post("/executions:reconcile")
async def reconcile(body: ReconcileRequest, called: Called) -> StreamingResponse:
    """Look at the open executions and mend what can be mended; a dry run only tells what would be done.

    503 where Temporal is not connected, 409 where another reconcile is under way, 404 for an unknown id: then nothing
    was judged and nothing touched.
    """
    stream = called.reconciling.run(_wanted(body))
    first = await anext(stream, None)  # what is refused is refused with a status, not inside the stream
    return StreamingResponse(_lines(first, stream), media_type="application/x-ndjson")


def _wanted(body: ReconcileRequest) -> Wanted:
    scope = Scope(
        ids=[ExecutionId(name) for name in body.ids],
        phases=frozenset(body.phases),
        kinds=frozenset(body.kinds),
        older_than_s=body.older_than_s,
        limit=body.limit,
    )
    rules = Rules(include_in_progress=body.include_in_progress, retry_refused=bool(body.ids))
    return Wanted(scope=scope, rules=rules, is_dry_run=body.dry_run, asked_by=body.asked_by)


async def _lines(first: Applied | None, rest: AsyncIterator[Applied]) -> AsyncIterator[str]:
    counts: Counter[str] = Counter()
    try:
        if first is not None:
            yield _told(first, counts)
            async for applied in rest:
                yield _told(applied, counts)
    except StigmerError as error:
        yield _line(ReconcileLine(problem=problem_of(error)))
    yield _line(ReconcileLine(summary=ReconcileSummary(**counts)))


def _told(applied: Applied, counts: Counter[str]) -> str:
    """The line about one execution, counted; empty where there is nothing to tell."""
    move, done = applied.move, applied.done
    counts["examined"] += 1
    counts[PLANNED_AS[move.action] if done is Done.PLANNED else COUNTED_AS[done]] += 1
    if move.action is Action.NONE and move.finding not in WORTH_TELLING:
        return ""
    item = ReconcileItem(
        id=move.execution.id,
        phase=move.execution.phase,
        found=move.finding,
        action=move.action,
        cause=move.cause,
        outcome=done,
    )
    return _line(ReconcileLine(item=item))


def _line(line: ReconcileLine) -> str:
    return line.model_dump_json(by_alias=True, exclude_none=True) + "\n"
