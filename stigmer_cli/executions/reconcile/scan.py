"""Scanning all open executions of a scope, a page at a time, so that memory stays flat however many there are."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from stigmer_cli.api.findings import Action
from stigmer_cli.clock import Clock, is_older
from stigmer_cli.domain.execution import Execution
from stigmer_cli.domain.identity import ExecutionId, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.executions.reconcile.observe import observe
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.judgement.plan import Move, Rules, plan
from stigmer_cli.store.due_rows import Aged
from stigmer_cli.store.store import Store

PAGE_MAX = 500


@dataclass(frozen=True, kw_only=True)
class ReconcileScope:
    """Which open executions are looked at; an empty field lets everything through.

    `limit` is how many moves are made at most: what needs none is passed over, so that the next call finds others.
    """

    ids: Sequence[ExecutionId] = ()
    phases: frozenset[Phase] = frozenset()
    kinds: frozenset[Kind] = frozenset()
    older_than_s: float = 0.0
    limit: int | None = None

    def matches(self, execution: Execution) -> bool:
        """Whether `execution` is open and in this scope, its age aside."""
        return (
            not execution.phase.is_terminal
            and (not self.phases or execution.phase in self.phases)
            and (not self.kinds or execution.kind in self.kinds)
        )


async def scan(
    store: Store, gateway: TemporalGateway, link: TemporalLink, scope: ReconcileScope, *, rules: Rules, clock: Clock
) -> AsyncIterator[Sequence[Move]]:
    """The plan, page by page in order of id; raises NotFound for an id that has no row."""
    left = scope.limit
    async for page in _read_pages(store, scope, clock):
        rows = [row for row in page if scope.matches(row)]
        moves = plan(await observe(rows, gateway, link, store.progress), now=clock.now(), rules=rules)
        if left is None:
            yield moves
            continue
        within = _cut_after(moves, left)
        left -= sum(move.action is not Action.NONE for move in within)
        yield within
        if left <= 0:
            return


def _cut_after(moves: Sequence[Move], left: int) -> Sequence[Move]:
    """`moves` up to and with the one that is the last of `left` that do something."""
    acting = [place for place, move in enumerate(moves) if move.action is not Action.NONE]
    return moves[: acting[left - 1] + 1] if len(acting) >= left else moves


async def _read_pages(store: Store, scope: ReconcileScope, clock: Clock) -> AsyncIterator[Sequence[Execution]]:
    now = clock.now()
    if scope.ids:
        shares = [scope.ids[first : first + PAGE_MAX] for first in range(0, len(scope.ids), PAGE_MAX)]
        for share in shares:
            await store.executions.read_by_ids(
                share
            )  # one that is wrong is told before anything is done about the others
        for share in shares:
            found = await store.executions.read_by_ids(share)
            yield [row for row in found if is_older(row.created_at, now, than_s=scope.older_than_s)]
        return
    aged, after = Aged.by(now, s=scope.older_than_s), None
    while True:
        page = await store.executions.open_after(aged=aged, after=after, limit=PAGE_MAX)
        if not page:
            return
        after = page[-1].id
        yield page
