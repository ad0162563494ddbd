"""Reconciling because somebody asked: the plan, or the plan carried out, item by item."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from stigmer_cli.clock import Clock
from stigmer_cli.domain.identity import ExecutionId
from stigmer_cli.errors import TemporalUnavailable
from stigmer_cli.executions.accept import Nudge
from stigmer_cli.executions.ports import TemporalGateway, TemporalLink
from stigmer_cli.executions.reason import waiting
from stigmer_cli.executions.reconcile.apply import Applied, Done, apply
from stigmer_cli.executions.reconcile.plan import Action, Move, Rules
from stigmer_cli.executions.reconcile.turn import turn
from stigmer_cli.executions.reconcile.walk import Scope, walk
from stigmer_cli.store.store import Store

SUBMITTED_MAX_S = 30.0
"""How long a page of resubmits may take before what is left of it is reported as failed."""

LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody asked for."""

    scope: Scope
    rules: Rules
    is_dry_run: bool
    asked_by: str


class Reconciling:
    """Carries out a wish to reconcile; the same plan and the same writes as the server's own loop."""

    def __init__(
        self, store: Store, gateway: TemporalGateway, link: TemporalLink, dispatcher: Nudge, *, clock: Clock
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._dispatcher = dispatcher
        self._clock = clock

    def refuse_unless_connected(self) -> None:
        """Raise TemporalUnavailable, with reason and since, where nothing could be judged."""
        held = waiting(self._link.status())
        if held:
            raise TemporalUnavailable(f"{held.detail}; nothing was judged, nothing was touched", hint="stigmer doctor")

    async def run(self, wanted: Wanted) -> AsyncIterator[Applied]:
        """Each execution examined, in order; a dry run writes nothing at all.

        Raises TemporalUnavailable before the first item, Conflict where another reconcile holds the turn, NotFound
        for an id that has no row.
        """
        self.refuse_unless_connected()
        if wanted.is_dry_run:
            async for moves in walk(self._store, self._gateway, wanted.scope, rules=wanted.rules, clock=self._clock):
                for move in moves:
                    yield Applied(move=move, done=Done.LEFT if move.action is Action.NONE else Done.PLANNED)
            return
        async with turn(self._store, holder=wanted.asked_by, clock=self._clock) as mine:
            async for moves in walk(self._store, self._gateway, wanted.scope, rules=wanted.rules, clock=self._clock):
                await mine.renew()
                for applied in await self._carry_out(moves):
                    yield applied

    async def _carry_out(self, moves: Sequence[Move]) -> Sequence[Applied]:
        applied = [await apply(move, self._store) for move in moves]
        again = {one.move.execution.id for one in applied if one.done is Done.RESUBMITTED}
        if again:
            self._dispatcher.nudge()
            left = await self._until_submitted(again)
            applied = [replace(one, done=Done.FAILED) if one.move.execution.id in left else one for one in applied]
        return applied

    async def _until_submitted(self, names: set[ExecutionId]) -> set[ExecutionId]:
        """Those of `names` that Temporal has not taken in time."""
        left = set(names)
        deadline = self._clock.monotonic() + SUBMITTED_MAX_S
        while left and self._clock.monotonic() < deadline:
            for name in sorted(left):  # oldest first, as they are submitted
                execution = await self._store.executions.get(name)
                if execution.attention is not None:
                    return left
                if not (execution.dispatch.is_submitted or execution.phase.is_terminal):
                    await self._clock.sleep(LOOK_S)
                    break
                left.discard(name)
        return left
