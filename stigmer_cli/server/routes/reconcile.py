"""Reconciling on request, streamed while it happens."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse

from stigmer_cli.api.findings import Action, ReconcileOutcome
from stigmer_cli.api.problem import problem_of
from stigmer_cli.api.reconcile import (
    ReconcileItem,
    ReconcileLine,
    ReconcileProgress,
    ReconcileRequest,
    ReconcileSummary,
)
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import StigmerError
from stigmer_cli.executions.reconcile.apply import OUTCOMES, Applied
from stigmer_cli.executions.reconcile.request import Wanted
from stigmer_cli.executions.reconcile.scan import Scope
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.judgement.stuck import WORTH_TELLING
from stigmer_cli.server.services import Services, services
from stigmer_cli.store.store import Store

COUNTED_AS: dict[ReconcileOutcome, ReconcileOutcome] = {
    ReconcileOutcome.CHANGED: ReconcileOutcome.LEFT,
    ReconcileOutcome.PLANNED: ReconcileOutcome.LEFT,
}
"""Which outcome a summary counts another one as; any other is counted by its own name."""

PROGRESS_EVERY = 25
"""How many executions are looked at between two lines that say how far it is."""

router = APIRouter(prefix="/v1")
Called = Annotated[Services, Depends(services)]


@router.post("/executions:reconcile")
async def reconcile(body: ReconcileRequest, called: Called) -> StreamingResponse:
    """Look at the open executions and mend what can be mended; a dry run only tells what would be done.

    503 where Temporal is not connected. A problem in the stream, before any item, where another reconcile is under way
    or an id is unknown. Then nothing was judged and nothing touched.
    """
    called.reconciling.refuse_unless_connected()
    wanted = _wanted(body)
    total = await _total(wanted.scope, called.store)
    # Answered before the first is carried out: who asked can see how far it is, and be heard when it goes away.
    return StreamingResponse(_lines(called.reconciling.run(wanted), total), media_type="application/x-ndjson")


def _wanted(body: ReconcileRequest) -> Wanted:
    scope = Scope(
        ids=[ExecutionId(name) for name in dict.fromkeys(body.ids)],
        phases=frozenset(body.phases),
        kinds=frozenset(body.kinds),
        older_than_s=body.older_than_s,
        limit=body.limit,
    )
    rules = Rules(include_in_progress=body.include_in_progress, retry_refused=bool(body.ids))
    return Wanted(scope=scope, rules=rules, is_dry_run=body.dry_run, asked_by=body.asked_by)


async def _total(scope: Scope, store: Store) -> int:
    """How many executions there are to look at, at the most: neither age nor limit is counted by."""
    if scope.ids:
        return len(scope.ids)
    counts = await store.executions.counts()
    return sum(
        count
        for (phase, kind), count in counts.items()
        if not phase.is_terminal and phase in (scope.phases or Phase) and kind in (scope.kinds or Kind)
    )


async def _lines(stream: AsyncIterator[Applied], total: int) -> AsyncIterator[str]:
    """What is done, while it is done; the summary is of what was done, also where a problem broke it off."""
    counts: Counter[str] = Counter()
    broken_off = None
    yield _line(ReconcileLine(progress=ReconcileProgress(examined=0, total=total)))
    try:
        async for applied in stream:
            yield _told(applied, counts)
            if counts["examined"] % PROGRESS_EVERY == 0:
                yield _line(ReconcileLine(progress=_so_far(counts, total)))
    except StigmerError as error:
        broken_off = ReconcileLine(problem=problem_of(error))
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()  # whoever asked may have gone: the lease is given back now, not when memory is swept
    yield _line(ReconcileLine(progress=_so_far(counts, total)))
    yield _line(ReconcileLine(summary=ReconcileSummary(**counts)))
    if broken_off:
        yield _line(broken_off)


def _so_far(counts: Counter[str], total: int) -> ReconcileProgress:
    return ReconcileProgress(examined=counts["examined"], total=max(total, counts["examined"]))


def _told(applied: Applied, counts: Counter[str]) -> str:
    """The line about one execution, counted; empty where there is nothing to tell."""
    move, done = applied.move, applied.done
    counts["examined"] += 1
    became = OUTCOMES[move.action] if done is ReconcileOutcome.PLANNED else done
    counts[COUNTED_AS.get(became, became)] += 1
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
