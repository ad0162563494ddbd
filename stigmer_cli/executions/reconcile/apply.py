"""Doing: each move as one guarded write. A row that moved meanwhile is left alone: somebody knew better."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import structlog

from stigmer_cli.domain.execution import QueueReason
from stigmer_cli.executions.reconcile.plan import Action, Move
from stigmer_cli.store.store import Store

log = structlog.get_logger()


class Done(StrEnum):
    """What became of a move; scripts may rely on these words."""

    RESUBMITTED = "resubmitted"
    REPAIRED = "repaired"
    ATTENTION = "attention"
    CHANGED = "skipped: changed"
    LEFT = "skipped"
    PLANNED = "planned"
    FAILED = "failed"


DONE: dict[Action, Done] = {
    Action.NONE: Done.LEFT,
    Action.RESUBMIT: Done.RESUBMITTED,
    Action.REPAIR: Done.REPAIRED,
    Action.MARK: Done.ATTENTION,
    Action.START_OVER: Done.RESUBMITTED,
    Action.RETRY: Done.RESUBMITTED,
}


@dataclass(frozen=True, kw_only=True)
class Applied:
    """A move and what became of it."""

    move: Move
    done: Done


async def apply(move: Move, store: Store) -> Applied:
    """Carry out one move; raises only what the store raises."""
    if move.action is Action.NONE:
        return Applied(move=move, done=Done.LEFT)
    took = await _write(move, store)
    log.info(
        "reconciled" if took else "reconcile_skipped",
        execution=move.execution.id,
        epoch=move.execution.epoch,
        finding=move.finding,
        action=move.action,
        cause=move.cause,
    )
    return Applied(move=move, done=DONE[move.action] if took else Done.CHANGED)


async def _write(move: Move, store: Store) -> bool:
    execution, rows = move.execution, store.executions
    expected = {"epoch": execution.epoch, "version": execution.version}
    match move.action:
        case Action.RESUBMIT:
            return await rows.requeue(execution.id, reason=QueueReason.ORPHANED, detail=move.cause, **expected)
        case Action.REPAIR if move.outcome is not None:
            return await rows.conclude(execution.id, outcome=move.outcome, detail=move.cause, **expected)
        case Action.MARK if move.attention is not None:
            return await rows.mark_attention(execution.id, code=move.attention, reason=move.cause, **expected)
        case Action.START_OVER:
            return await rows.start_over(execution.id, **expected)
        case Action.RETRY:
            return await rows.retry_attention(execution.id, version=execution.version)
        case Action.NONE | Action.REPAIR | Action.MARK:
            return False
        case _:
            assert_never(move.action)
