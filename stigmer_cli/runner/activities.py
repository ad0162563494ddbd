"""The activities of a run, as Temporal calls them: perform, conclude, and claim for runs of an older workflow."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog
from temporalio import activity

from stigmer_cli.api.reports import ClaimAnswer
from stigmer_cli.domain.phase import Phase
from stigmer_cli.runner.attempt import AttemptRunner, Models
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.contract import (
    ALONE_FROM,
    CLAIM,
    CLAIMS,
    CONCLUDE,
    FIRST_RUN,
    KIND,
    PERFORM,
    PHASE,
    RENEW_S,
    SENTENCES,
    FailureKind,
)
from stigmer_cli.runner.heartbeat import NotMine, run_unless, run_with_heartbeat
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.reports import ClockAndRng, Reporter
from stigmer_cli.runner.slots import Slots
from stigmer_cli.runner.workflows import Workflows
from stigmer_cli.running_version import InstallationChanged
from stigmer_cli.temporal.workflow_input import EPOCH, EXECUTION_ID, WorkflowInput
from stigmer_cli.tool_server.connection import ServerSettings


@dataclass(frozen=True)
class StopSignal:
    """The end of a worker, or of the whole runner.

    `asked`: accept nothing new, and stop waiting. `now`: hand back what is still being performed.
    """

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    now: asyncio.Event = field(default_factory=asyncio.Event)


class Unfit:
    """Whether this process cannot perform what it takes up, so that it has to end; `error` says why."""

    def __init__(self) -> None:
        self.noted = asyncio.Event()
        self.error: InstallationChanged | None = None

    def note(self, errors: ExceptionGroup[InstallationChanged]) -> None:
        """End the runner for the first of `errors`, which is logged once."""
        if self.error is None:
            error = self.error = _first_of(errors)
            structlog.get_logger().error("installation_changed", code=error.code, cause=error.message, hint=error.hint)
        self.noted.set()


@dataclass(frozen=True, kw_only=True)
class Activities:
    """What every activity needs; `runner` is the identity under which Temporal knows this worker."""

    reporter: Reporter
    models: Models
    runner: str
    stop_signal: StopSignal
    clock_and_rng: ClockAndRng
    model_retry: ModelRetry
    slots: Slots = field(default_factory=Slots)
    tool_settings: ServerSettings = field(default_factory=ServerSettings)
    workflows: Workflows | None = None
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)
    unfit: Unfit = field(default_factory=Unfit)

    @activity.defn(name=CLAIM)
    async def claim(self, workflow_input: WorkflowInput) -> bool:
        """Whether this run holds the execution's epoch now; asks until the server answers."""
        attempt = self._attempt(workflow_input)
        with self.slots.occupy(self.clock_and_rng.clock):
            won = await run_with_heartbeat(
                lambda: self._claim(attempt), clock=self.clock_and_rng.clock, ends=self.stop_signal.asked
            )
        structlog.get_logger().info("run_claimed" if won else "run_lost_the_claim", **_names(attempt))
        return won

    @activity.defn(name=PERFORM)
    async def perform(self, workflow_input: WorkflowInput) -> bool:
        """Claim and perform the execution; ends when the server has the outcome or wants none.

        Returns whether this run holds the execution's epoch.
        """
        attempt = self._attempt(workflow_input)
        with self.slots.occupy(self.clock_and_rng.clock):
            return await run_with_heartbeat(
                lambda: self._perform(attempt), clock=self.clock_and_rng.clock, ends=self.stop_signal.now
            )

    @activity.defn(name=CONCLUDE)
    async def conclude(self, workflow_input: WorkflowInput) -> None:
        """Report the end of a run that `perform` could not report; asks until the server answers."""
        attempt = self._attempt(workflow_input)
        phase, kind = Phase(str(workflow_input[PHASE])), FailureKind(str(workflow_input[KIND]))
        with self.slots.occupy(self.clock_and_rng.clock):
            await run_with_heartbeat(
                lambda: self._conclude(attempt, phase, kind),
                clock=self.clock_and_rng.clock,
                ends=self.stop_signal.asked,
            )

    async def _perform(self, attempt: Attempt) -> bool:
        """Perform it; from delivery `ALONE_FROM` on one at a time, because it may be what killed its runner."""
        clock = self.clock_and_rng.clock
        renew_at_s = clock.monotonic() + RENEW_S
        attempt_runner = AttemptRunner(
            self.reporter,
            self.models,
            self.clock_and_rng,
            model_retry=self.model_retry,
            tool_settings=self.tool_settings,
            workflows=self.workflows,
            is_leaving=lambda: self.stop_signal.asked.is_set() or clock.monotonic() > renew_at_s,
        )
        async with self.alone if await self._may_kill(attempt) else nullcontext():
            begun = await run_unless(self.stop_signal.asked, lambda: attempt_runner.begin(attempt))
            if begun.work is None:
                return begun.is_holder
            try:
                await attempt_runner.perform(attempt, begun.work)
            except* InstallationChanged as errors:
                self.unfit.note(errors)
                await self.stop_signal.now.wait()  # then the attempt is handed back, as by any runner that stops
        return True

    async def _may_kill(self, attempt: Attempt) -> bool:
        """Whether it has been handed out so often without a busy model that its runners may have died of it."""
        if attempt.number < ALONE_FROM:
            return False
        counts = await self.reporter.ask_its_own(lambda reports: reports.count_attempts(attempt.execution))
        return attempt.number_since(counts.progressed) - counts.model_tries >= ALONE_FROM

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

    def _attempt(self, workflow_input: WorkflowInput) -> Attempt:
        info = activity.info()
        return Attempt(
            execution=str(workflow_input[EXECUTION_ID]),
            epoch=int(workflow_input[EPOCH]),
            run=info.workflow_run_id or "",
            workflow=info.workflow_id or "",
            first_run=str(workflow_input.get(FIRST_RUN, "")) or info.workflow_run_id or "",
            number=info.attempt,
            runner=self.runner,
            claims=CLAIMS in workflow_input,
            time_left_s=_time_left_s(info),
        )


def _first_of(errors: ExceptionGroup[InstallationChanged]) -> InstallationChanged:
    first = errors.exceptions[0]
    return _first_of(first) if isinstance(first, ExceptionGroup) else first


def _time_left_s(info: activity.Info) -> float | None:
    """What is left for this and all later attempts as this one begins; all moments are of Temporal's clock."""
    if info.schedule_to_close_timeout is None:
        return None
    return (info.schedule_to_close_timeout - (info.started_time - info.scheduled_time)).total_seconds()


def _names(attempt: Attempt) -> dict[str, str | int]:
    return {"execution": attempt.execution, "epoch": attempt.epoch, "run": attempt.run}
