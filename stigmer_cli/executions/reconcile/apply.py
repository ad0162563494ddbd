"""Applying a plan: each move is one guarded write, many in a commit. A row that moved meanwhile is left alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, assert_never

import structlog

from stigmer_cli.api.findings import Action, ReconcileOutcome
from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.domain.identity import StoreId
from stigmer_cli.judgement.plan import Move, resume_delay_s
from stigmer_cli.store import transitions
from stigmer_cli.store.database import Transition
from stigmer_cli.store.executions import Decided
from stigmer_cli.store.store import Store

log = structlog.get_logger()


OUTCOMES: dict[Action, ReconcileOutcome] = {
    Action.NONE: ReconcileOutcome.LEFT,
    Action.RESUBMIT: ReconcileOutcome.RESUBMITTED,
    Action.REPAIR: ReconcileOutcome.REPAIRED,
    Action.MARK: ReconcileOutcome.ATTENTION,
    Action.UNMARK: ReconcileOutcome.REPAIRED,
    Action.START_OVER: ReconcileOutcome.RESUBMITTED,
    Action.RESUME: ReconcileOutcome.RESUBMITTED,
    Action.RETRY: ReconcileOutcome.RESUBMITTED,
}


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A move and what became of it."""

    move: Move
    done: ReconcileOutcome


class ReconcileObserver(Protocol):
    """Who counts what reconciling did."""

    def record_reconciled(self, applied: Applied) -> None:
        """A move was carried out, or skipped because its row had moved."""


async def apply(planned: Sequence[Move], store: Store, observer: ReconcileObserver | None = None) -> Sequence[Applied]:
    """Carry out a plan, in its order, in one commit; raises only what the store raises.

    `planned` names no execution twice.
    """
    writes = {move.execution.id: write for move in planned if (write := _make_write(move, store.id)) is not None}
    repeating = {move.execution.id for move in planned if move.action is Action.START_OVER}
    made = await store.executions.transition_all(writes, repeating=repeating) if writes else set()
    applied = [_log_applied(move, took=move.execution.id in made) for move in planned]
    for one in applied:
        if observer and one.done is not ReconcileOutcome.LEFT:
            observer.record_reconciled(one)
    return applied


def _log_applied(move: Move, *, took: bool) -> Applied:
    if move.action is Action.NONE:
        return Applied(move=move, done=ReconcileOutcome.LEFT)
    log.info(
        "reconciled" if took else "reconcile_skipped",
        execution=move.execution.id,
        epoch=move.execution.epoch,
        finding=move.finding,
        action=move.action,
        cause=move.cause,
    )
    return Applied(move=move, done=OUTCOMES[move.action] if took else ReconcileOutcome.CHANGED)


def _make_write(move: Move, store: StoreId) -> Decided | None:
    """The guarded write of `move`; None if nothing is to be written."""
    execution, cause = move.execution, move.cause
    expected = {"epoch": execution.epoch, "version": execution.version}
    match move.action:
        case Action.REPAIR if (outcome := move.outcome) is not None:
            return lambda now: transitions.conclude(outcome, cause, **expected, now=now)
        case Action.MARK if (code := move.attention) is not None:
            return lambda now: transitions.mark(code, cause, **expected, now=now)
        case Action.UNMARK:
            return lambda _now: transitions.unmark(cause, **expected)
        case Action.RESUBMIT | Action.START_OVER | Action.RESUME | Action.RETRY:
            return lambda now: _make_requeue(move, store, now)
        case Action.NONE | Action.REPAIR | Action.MARK:
            return None
        case _:
            assert_never(move.action)


def _make_requeue(move: Move, store: StoreId, now: datetime) -> Transition:
    """The guarded write that puts an execution into the queue again."""
    execution = move.execution
    expected = {"epoch": execution.epoch, "version": execution.version}
    if move.action is Action.START_OVER:
        return transitions.start_over(store, **expected, now=now)
    if move.action is Action.RESUME:
        delay_s = resume_delay_s(move.resumes)
        return transitions.resume(store, move.cause, resumes=move.resumes, delay_s=delay_s, **expected, now=now)
    if move.action is Action.RETRY:
        return transitions.retry(version=execution.version, now=now)
    if move.failures:
        return transitions.requeue_next(store, move.cause, failures=move.failures, **expected, now=now)
    return transitions.requeue(store, QueueReason.ORPHANED, move.cause, **expected, now=now)
