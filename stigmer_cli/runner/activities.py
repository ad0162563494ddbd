"""The three activities of a run, as Temporal calls them: claim, perform, conclude."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog
from temporalio import activity

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.alive import NotMine, carried_out
from stigmer_cli.runner.chance import Chance
from stigmer_cli.runner.hands import Hands
from stigmer_cli.runner.performance import Attempt, Models, Performance
from stigmer_cli.runner.reports import Reporter
from stigmer_cli.runner.stopping import Stopping
from stigmer_cli.runner.terms import (
    ALONE_FROM,
    CLAIM,
    CONCLUDE,
    FIRST_RUN,
    KIND,
    PERFORM,
    PHASE,
    SENTENCES,
    FailureKind,
)
from stigmer_cli.temporal.order import EPOCH, EXECUTION_ID, Order


@dataclass(frozen=True, kw_only=True)
class Activities:
    """What every activity needs; `runner` is the identity under which Temporal knows this worker."""

    reporter: Reporter
    models: Models
    runner: str
    stopping: Stopping
    chance: Chance
    hands: Hands = field(default_factory=Hands)
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    @activity.defn(name=CLAIM)
    async def claim(self, order: Order) -> bool:
        """Whether this run holds the execution's epoch now; asks until the server answers."""
        attempt = self._attempt(order)
        with self.hands.at_work(self.chance.clock):
            won = await carried_out(lambda: self._claim(attempt), clock=self.chance.clock, ends=self.stopping.asked)
        structlog.get_logger().info("run_claimed" if won else "run_lost_the_claim", **_names(attempt))
        return won

    @activity.defn(name=PERFORM)
    async def perform(self, order: Order) -> None:
        """Perform the execution; ends when the server has the outcome or wants none."""
        attempt = self._attempt(order)
        with self.hands.at_work(self.chance.clock):
            await carried_out(lambda: self._perform(attempt), clock=self.chance.clock, ends=self.stopping.now)

    @activity.defn(name=CONCLUDE)
    async def conclude(self, order: Order) -> None:
        """Report the last word of a run whose performing could not; asks until the server answers."""
        attempt = self._attempt(order)
        phase, kind = Phase(str(order[PHASE])), FailureKind(str(order[KIND]))
        with self.hands.at_work(self.chance.clock):
            await carried_out(
                lambda: self._conclude(attempt, phase, kind), clock=self.chance.clock, ends=self.stopping.asked
            )

    async def _perform(self, attempt: Attempt) -> None:
        """One whose runner died twice may be what killed it: such wait for one another, and begin only then."""
        performance = Performance(self.reporter, self.models, self.chance)
        async with self.alone if attempt.number >= ALONE_FROM else nullcontext():
            await performance.perform(attempt)

    async def _claim(self, attempt: Attempt) -> bool:
        """Whether the attempt's run holds the epoch; raises NotMine."""
        answer = await self.reporter.ask(
            lambda reports: reports.claim(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                runner=attempt.runner,
                workflow=attempt.workflow,
                first_run=attempt.first_run,
            ),
            otherwise=ClaimAnswer.NOT_MINE,
        )
        if answer is ClaimAnswer.NOT_MINE:
            raise NotMine(f"this store knows no {attempt.execution} with the workflow {attempt.workflow}")
        return answer is ClaimAnswer.WON

    async def _conclude(self, attempt: Attempt, phase: Phase, kind: FailureKind) -> None:
        if kind is FailureKind.CANCELLED and not await self._claim(attempt):
            # Cancelled before its claim was answered: only who holds the epoch may end it.
            return
        taken = await self.reporter.ask(
            lambda reports: reports.finish(
                attempt.execution,
                epoch=attempt.epoch,
                run=attempt.run,
                attempt=None,
                phase=phase,
                output=None,
                error=SENTENCES[kind],
            ),
            otherwise=False,
        )
        structlog.get_logger().info("run_concluded", phase=phase, kind=kind, taken=taken, **_names(attempt))

    def _attempt(self, order: Order) -> Attempt:
        info = activity.info()
        return Attempt(
            execution=str(order[EXECUTION_ID]),
            epoch=int(order[EPOCH]),
            run=info.workflow_run_id or "",
            workflow=info.workflow_id or "",
            first_run=str(order.get(FIRST_RUN, "")) or info.workflow_run_id or "",
            number=info.attempt,
            runner=self.runner,
        )


def _names(attempt: Attempt) -> dict[str, str | int]:
    return {"execution": attempt.execution, "epoch": attempt.epoch, "run": attempt.run}
