"""The server's own reconciling: on connect, on every reconnect, and on a timer."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog

from stigmer_cli.api.findings import Finding, ReconcileOutcome
from stigmer_cli.clock import Clock
from stigmer_cli.executions.reconcile.apply import Applied, ReconcileObserver, apply
from stigmer_cli.executions.reconcile.scan import ReconcileScope, scan
from stigmer_cli.executions.temporal_api import TemporalGateway, TemporalLink
from stigmer_cli.judgement.plan import Rules
from stigmer_cli.store.store import Store
from stigmer_cli.waits import first_of

EVERY_S = 60.0
SETTLE_S = 0.5
"""From a reconnect, or a request to hurry, to the pass: a connection that comes and goes begins two a second."""

EMPTY_QUEUE_MAX_S = 10.0
EMPTY_QUEUE_LOOK_S = 0.25

log = structlog.get_logger()


class Reconciler:
    """Scans all non-terminal executions, a page at a time, so that memory stays flat."""

    def __init__(
        self,
        store: Store,
        gateway: TemporalGateway,
        link: TemporalLink,
        *,
        clock: Clock,
        resubmitted: Callable[[], None],
        rules: Rules | None = None,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._link = link
        self._clock = clock
        self._resubmitted = resubmitted
        self._rules = rules or Rules()
        self._hurried = asyncio.Event()
        self.observer: ReconcileObserver | None = None

    def hurry(self) -> None:
        """The next pass is due now."""
        self._hurried.set()

    async def run(self) -> None:
        """Reconcile for ever; raises what the store raises."""
        while True:
            await self._link.wait_connected()
            generation = self._link.generation
            self._hurried.clear()
            began_s = self._clock.monotonic()
            await self._wait_for_empty_queue()
            unsettled = await self.run_once()
            await self._wait_for_next_pass(generation, began_s, self._rules.grace_s if unsettled else EVERY_S)

    async def run_once(self) -> bool:
        """One pass over everything open; whether something was too fresh, or too far away, to be judged for good.

        What was marked just now is looked at again, too: its runner may still report the result that was missing.
        """
        unsettled = False
        async for moves in scan(
            self._store, self._gateway, self._link, ReconcileScope(), rules=self._rules, clock=self._clock
        ):
            unsettled = unsettled or any(move.finding in (Finding.FRESH, Finding.UNKNOWN) for move in moves)
            applied = await apply(moves, self._store, self.observer)
            unsettled = unsettled or any(one.done is ReconcileOutcome.ATTENTION for one in applied)
            self._report(applied)
        return unsettled

    async def _wait_for_empty_queue(self) -> None:
        """Return when nothing is queued, or after `EMPTY_QUEUE_MAX_S`: describing workflows slows down starts."""
        deadline = self._clock.monotonic() + EMPTY_QUEUE_MAX_S
        while self._clock.monotonic() < deadline and await self._store.executions.queued_count():
            await self._clock.sleep(EMPTY_QUEUE_LOOK_S)

    def _report(self, applied: Sequence[Applied]) -> None:
        counts = Counter(one.done for one in applied)
        if counts[ReconcileOutcome.RESUBMITTED]:
            self._resubmitted()
        told: Mapping[str, int] = {
            str(done): number for done, number in counts.items() if done is not ReconcileOutcome.LEFT
        }
        if told:
            log.info("reconcile_pass", **told)

    async def _wait_for_next_pass(self, generation: int, began_s: float, every_s: float) -> None:
        """Return when the connection has come back, when hurried, or when `every_s` have gone by since `began_s`."""
        left_s = began_s + every_s - self._clock.monotonic()
        await first_of(
            [
                self._hurried.wait,
                lambda: self._link.wait_generation(generation),
                lambda: self._clock.sleep(max(left_s, SETTLE_S)),
            ]
        )
        if self._hurried.is_set() or self._link.generation != generation:
            await self._clock.sleep(SETTLE_S)
