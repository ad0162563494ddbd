"""The steps of timers. A wait that a time ends has one, which is done then; where something else ends it, it goes."""

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from stigmer_cli.domain.identity import ExecutionId, StoreId
from stigmer_cli.domain.step import Effect, StepState
from stigmer_cli.store import transitions
from stigmer_cli.store.database import Writing
from stigmer_cli.store.statements import select_by_ids
from stigmer_cli.store.step_rows import forget
from stigmer_cli.store.tables import executions, steps

_OPEN_TIMERS = select_by_ids(
    select(steps.c.execution_id, steps.c.seq, executions.c.epoch)
    .select_from(executions)
    .join(steps, (steps.c.execution_id == executions.c.id) & (steps.c.key == executions.c.waiting_step))
    .where(
        executions.c.waiting_until.is_not(None),
        steps.c.state == StepState.BEGUN,
        steps.c.effect == Effect.NONE,
    )
)


async def forget_timers(
    writing: Writing, ids: Sequence[ExecutionId], *, epochs: Mapping[ExecutionId, int] | None = None
) -> None:
    """Forget the timers of the waits of `ids`, which end before their time; the caller has locked them.

    `epochs`: only of those that are in this epoch.
    """
    for id_, seq, epoch in (await writing.connection.execute(_OPEN_TIMERS, {"ids": list(ids)})).all():
        if epochs is None or epochs[id_] == epoch:
            await forget(writing, id_, seq)


async def wake_early(writing: Writing, store: StoreId, id_: ExecutionId, detail: str, *, epoch: int) -> None:
    """What it waited for is there, before its time or without one: it goes on after its last recorded step."""
    await forget_timers(writing, [id_])
    await writing.change(id_, transitions.wake(store, detail, epoch=epoch, now=writing.now))
