"""Reconciling on request, streamed while it happens."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator

from fastapi import APIRouter
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
from stigmer_cli.executions.reconcile.on_request import ReconcileJob
from stigmer_cli.executions.reconcile.scan import ReconcileScope
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.judgement.stuck import WORTH_TELLING
from stigmer_cli.server.line_stream import send_lines
from stigmer_cli.server.routes.called import Called
from stigmer_cli.store.store import Store

COUNTED_AS: dict[ReconcileOutcome, ReconcileOutcome] = {
    ReconcileOutcome.CHANGED: ReconcileOutcome.LEFT,
    ReconcileOutcome.PLANNED: ReconcileOutcome.LEFT,
}
"""Which outcome a summary counts another one as; any other is counted by its own name."""

PROGRESS_EVERY = 25
"""How many executions are looked at between two lines that say how far it is."""

router = APIRouter(prefix="/v1")


@router.post("/executions:reconcile")
async def reconcile(body: ReconcileRequest, called: Called) -> StreamingResponse:
    """Look at the open executions and repair what can be repaired; a dry run only says what would be done.

    503 where Temporal is not connected. A problem in the stream, before any item, where another reconcile is under way
    or an id is unknown. Then nothing was judged and nothing was changed.
    """
    called.reconciling.refuse_unless_connected()
    wanted = _make_job(body)
    total = await _count_at_most(wanted.scope, called.store)
    # Answered before the first is carried out: the client sees the progress, and the server sees when it disconnects.
    return send_lines(_stream_lines(called.reconciling.run(wanted), total))


def _make_job(body: ReconcileRequest) -> ReconcileJob:
    scope = ReconcileScope(
        ids=[ExecutionId(name) for name in dict.fromkeys(body.ids)],
        phases=frozenset(body.phases),
        kinds=frozenset(body.kinds),
        older_than_s=body.older_than_s,
        limit=body.limit,
    )
    rules = Rules(include_in_progress=body.include_in_progress, retry_refused=bool(body.ids))
    return ReconcileJob(scope=scope, rules=rules, is_dry_run=body.dry_run, asked_by=body.asked_by)


async def _count_at_most(scope: ReconcileScope, store: Store) -> int:
    """How many executions there are to look at, at the most: neither age nor limit is counted by."""
    if scope.ids:
        return len(scope.ids)
    counts = await store.executions.count_by_phase()
    return sum(
        count
        for (phase, kind), count in counts.items()
        if not phase.is_terminal and phase in (scope.phases or Phase) and kind in (scope.kinds or Kind)
    )


async def _stream_lines(stream: AsyncIterator[Applied], total: int) -> AsyncIterator[str]:
    """What is done, while it is done; the summary is of what was done, also where a problem broke it off."""
    counts: Counter[str] = Counter()
    broken_off = None
    yield _render(ReconcileLine(progress=ReconcileProgress(examined=0, total=total)))
    try:
        async for applied in stream:
            yield _count_and_render(applied, counts)
            if counts["examined"] % PROGRESS_EVERY == 0:
                yield _render(ReconcileLine(progress=_make_progress(counts, total)))
    except StigmerError as error:
        broken_off = ReconcileLine(problem=problem_of(error))
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()  # the client may have gone: return the lease now, not at garbage collection
    yield _render(ReconcileLine(progress=_make_progress(counts, total)))
    yield _render(ReconcileLine(summary=ReconcileSummary(**counts)))
    if broken_off:
        yield _render(broken_off)


def _make_progress(counts: Counter[str], total: int) -> ReconcileProgress:
    return ReconcileProgress(examined=counts["examined"], total=max(total, counts["examined"]))


def _count_and_render(applied: Applied, counts: Counter[str]) -> str:
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
    return _render(ReconcileLine(item=item))


def _render(line: ReconcileLine) -> str:
    return line.model_dump_json(by_alias=True, exclude_none=True) + "\n"
