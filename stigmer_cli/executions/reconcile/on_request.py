"""Reconciling on request: the plan, or the plan carried out, item by item."""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from stigmer_cli.api.findings import Action, Finding, ReconcileOutcome
from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import WorkflowName
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.executions.accept import Nudge
from stigmer_cli.executions.moved import find_moved
from stigmer_cli.executions.reason import find_hold
from stigmer_cli.executions.reconcile.apply import Applied, ReconcileObserver, apply
from stigmer_cli.executions.reconcile.await_submitted import PendingSubmits
from stigmer_cli.executions.reconcile.lease import hold_lease
from stigmer_cli.executions.reconcile.scan import ReconcileScope, scan
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.judgement.plan import Move, Rules
from stigmer_cli.store.store import Store

LEFT_BEHIND = frozenset({Finding.CANNOT_REPLAY, Finding.HELD, Finding.PARKED})
"""Findings of executions whose workflow may be open when they begin again."""

AHEAD_MAX = 500
"""How many resubmits may wait for the dispatcher while the next page is looked at: it must not run out of work."""


@dataclass(frozen=True, kw_only=True)
class ReconcileJob:
    """What a request to reconcile asks for."""

    scope: ReconcileScope
    rules: Rules
    is_dry_run: bool
    asked_by: str


class Reconciling:
    """Carries out a request to reconcile; the same plan and the same writes as the server's own loop."""

    def __init__(
        self, store: Store, gateway: TemporalGateway, link: TemporalLink, dispatcher: Nudge, *, clock: Clock
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._dispatcher = dispatcher
        self._clock = clock
        self.observer: ReconcileObserver | None = None
        self.withdraw: Callable[[WorkflowName], None] = lambda _: None

    def refuse_unless_connected(self) -> None:
        """Raise TemporalUnavailable, with reason and since, where nothing could be judged."""
        held = find_hold(self._link.status())
        if held:
            raise TemporalUnavailable(f"{held.detail}; nothing was judged, nothing was changed", hint="stigmer doctor")

    async def run(self, wanted: ReconcileJob) -> AsyncGenerator[Applied, None]:
        """Each execution examined, in order; a dry run writes nothing at all.

        Raises TemporalUnavailable before the first item, Conflict where another reconcile holds the lease, NotFound
        for an id that has no row.
        """
        self.refuse_unless_connected()
        if wanted.is_dry_run:
            async for moves in scan(
                self._store, self._gateway, self._link, wanted.scope, rules=wanted.rules, clock=self._clock
            ):
                acting = [move.execution for move in moves if move.action is not Action.NONE]
                moved = await find_moved(acting, self._store)
                for move in moves:
                    yield Applied(move=move, done=_planned(move, is_moved=move.execution.id in moved))
            return
        async with hold_lease(self._store, holder=wanted.asked_by, clock=self._clock) as mine:
            pending = PendingSubmits(self._store, clock=self._clock, renew=mine.renew)
            async for moves in scan(
                self._store, self._gateway, self._link, wanted.scope, rules=wanted.rules, clock=self._clock
            ):
                await mine.renew()
                applied = await apply(moves, self._store, self.observer)
                self._withdraw_left(applied)
                pending.add(applied)
                self._dispatcher.nudge()
                async for done in pending.drain(leave=AHEAD_MAX):
                    yield done
            async for done in pending.drain(leave=0):
                yield done

    def _withdraw_left(self, applied: Sequence[Applied]) -> None:
        """End the workflows that were open when their executions were started over beside them."""
        for one in applied:
            if one.done is ReconcileOutcome.RESUBMITTED and one.move.finding in LEFT_BEHIND:
                self.withdraw(one.move.execution.workflow)


def _planned(move: Move, *, is_moved: bool) -> ReconcileOutcome:
    """What would come of `move`."""
    if move.action is Action.NONE:
        return ReconcileOutcome.LEFT
    return ReconcileOutcome.CHANGED if is_moved else ReconcileOutcome.PLANNED
