"""Moves of one execution in one line each, through the writes that the product uses."""

from stigmer_cli.domain.execution import AttentionCode, QueueReason
from stigmer_cli.domain.identity import ExecutionId, RunId
from stigmer_cli.domain.phase import MOVES, Phase
from stigmer_cli.store import transitions
from stigmer_cli.store.executions import Decided, Taken
from stigmer_cli.store.store import Store


def may_move(old: Phase, new: Phase) -> bool:
    """Whether an execution may go from `old` to `new`."""
    return new in MOVES[old]


async def mark_submitted(
    store: Store, execution: ExecutionId, *, epoch: int, run_id: RunId, cluster: str, already: bool
) -> bool:
    """Note that Temporal took it; returns whether it is submitted in `epoch`."""
    mark = Taken(id=execution, epoch=epoch, run_id=run_id, cluster=cluster, already=already)
    return execution in await store.executions.mark_all_submitted([mark])


async def mark_attention(
    store: Store, execution: ExecutionId, *, epoch: int, version: int | None, code: AttentionCode, reason: str
) -> bool:
    """Mark that only a person can decide; `version` None: in any version. Returns whether the mark is new."""
    return await _move(
        store, execution, lambda now: transitions.mark(code, reason, epoch=epoch, version=version, now=now)
    )


async def requeue(
    store: Store, execution: ExecutionId, *, epoch: int, version: int, reason: QueueReason, detail: str
) -> bool:
    """Put an orphan back into the queue; returns whether the row was as expected."""
    return await _move(
        store,
        execution,
        lambda now: transitions.requeue(store.id, reason, detail, epoch=epoch, version=version, now=now),
    )


async def start_over(store: Store, execution: ExecutionId, *, epoch: int, version: int) -> bool:
    """Begin a lost one again in the next epoch; returns whether the row was as expected."""
    return await _move(
        store, execution, lambda now: transitions.start_over(store.id, epoch=epoch, version=version, now=now)
    )


async def resume(store: Store, execution: ExecutionId, *, epoch: int, version: int, resumes: int = 1) -> bool:
    """Go on with an interrupted one in the next epoch, at once; returns whether the row was as expected."""
    return await _move(
        store,
        execution,
        lambda now: transitions.resume(
            store.id, "forgotten", resumes=resumes, delay_s=0.0, epoch=epoch, version=version, now=now
        ),
    )


async def retry_attention(store: Store, execution: ExecutionId, *, version: int) -> bool:
    """Submit again what needs attention because submits failed; returns whether the row was as expected."""
    return await _move(store, execution, lambda now: transitions.retry(version=version, now=now))


async def _move(store: Store, execution: ExecutionId, decide: Decided) -> bool:
    return execution in await store.executions.transition_all({execution: decide})
