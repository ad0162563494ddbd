"""Runners in virtual time: the real activities and the real performance, between a Temporal and a server that fail."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from stigmer_cli.api.reports import Work
from stigmer_cli.errors import Conflict
from stigmer_cli.runner.activities import Activities, StopSignal
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.heartbeat import NotMine, Postponed
from stigmer_cli.runner.journal import Journal
from stigmer_cli.runner.model.seam import ModelBusy
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.reports import ClockAndRng, Reporter, ReportFailed, ReportRefused, WrongServer
from stigmer_cli.store.store import Store
from tests.simulation.reports import RunnerLink, SimReports
from tests.simulation.steps import StepLedger, StepModel
from tests.simulation.temporal import SimTemporal
from tests.simulation.temporal_state import Task
from tests.simulation.workflow_world import ToolLedger, make_workflows

BEAT_S = 0.5
POLL_S = 0.3
CRASHES = 0.7
"""How often a runner that ends cannot say anything more."""
MODEL_RETRY = ModelRetry(for_s=900.0)


@dataclass(frozen=True)
class Effect:
    """An effect of a model outside the system."""

    execution: str
    epoch: int
    run: str
    attempt: int


@dataclass
class Ledger:
    """The record of all effects, in order, of those of steps, and of those of the calls of workflows."""

    effects: list[Effect] = field(default_factory=list)
    steps: StepLedger = field(default_factory=StepLedger)
    tools: ToolLedger = field(default_factory=ToolLedger)

    def note_attempt(self, attempt: Attempt) -> None:
        """An attempt at a workflow is performed."""
        self.effects.append(Effect(attempt.execution, attempt.epoch, attempt.run, attempt.number))

    def runs_of(self, execution: str, epoch: int) -> set[str]:
        """Which runs had an effect in an epoch."""
        return {one.run for one in self.effects if (one.execution, one.epoch) == (execution, epoch)}


class SimModel(StepModel):
    """Answers in two pieces, notes its effect, and breaks off now and then."""

    def __init__(self, ledger: Ledger, rng: random.Random) -> None:
        super().__init__(ledger.steps, rng)
        self._all = ledger

    async def stream(self, work: Work) -> AsyncGenerator[str, None]:
        execution, epoch, run, attempt = self._note_attempt(work)
        for piece in (f"{execution} {epoch} ", f"{run} {attempt}"):
            await asyncio.sleep(self._rng.uniform(0, 1.2))
            if self._rng.random() < 0.02:
                raise ModelBusy("the model broke off")
            yield piece

    async def play(self, work: Work, journal: Journal) -> str:
        """The steps."""
        self._note_attempt(work)
        return await super().play(work, journal)

    def _note_attempt(self, work: Work) -> Sequence[str]:
        execution, epoch, run, attempt = names = work.message.split()
        self._all.effects.append(Effect(execution, int(epoch), run, int(attempt)))
        return names


class SimRunner:
    """Performs many activities at once. A deaf runner ignores that its attempt is over, and reports late."""

    def __init__(self, identity: str, temporal: SimTemporal, store: Store, link: RunnerLink, ledger: Ledger) -> None:
        rng = random.Random(temporal.rng.random())
        clock_and_rng = ClockAndRng(clock=temporal.clock, rng=rng)
        self.is_deaf = rng.random() < 0.3
        self._temporal = temporal
        self._rng = rng
        self._reports = SimReports(store, link, rng)
        reporter = Reporter(self._reports, clock_and_rng)
        model = SimModel(ledger, rng)
        self._activities = Activities(
            reporter=reporter,
            models=lambda _name: model,
            runner=identity,
            stop_signal=StopSignal(),
            clock_and_rng=clock_and_rng,
            model_retry=MODEL_RETRY,
            workflows=make_workflows(reporter, clock_and_rng, ledger.tools, on_attempt=ledger.note_attempt),
        )

    def die(self) -> None:
        """From now on nothing of it reaches the server; cancel `run` as well."""
        self._reports.is_dead = True

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                task = self._temporal.poll()
                if task is None:
                    await asyncio.sleep(self._rng.uniform(POLL_S / 2, POLL_S))
                else:
                    group.create_task(self._carry_out(task))

    async def _carry_out(self, task: Task) -> None:
        verdict = "on"
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._work(task))
            while not work.done():
                await asyncio.wait([work], timeout=BEAT_S)
                heard = self._temporal.heartbeat(task)
                if not work.done() and heard in ("gone", "cancel") and not self.is_deaf:
                    verdict = heard
                    work.cancel()
                    await asyncio.wait([work])
        if verdict == "cancel" and work.cancelled():
            self._temporal.cancelled(task)

    async def _work(self, task: Task) -> None:
        attempt = Attempt(
            execution=task.run.execution,
            epoch=task.run.epoch,
            run=task.run.run_id,
            workflow=task.run.name,
            first_run=task.run.run_id,
            number=task.attempt,
            claims=True,
            runner=self._activities.runner,
        )
        try:
            match task.stage:
                case "perform":
                    await self._perform(attempt)
                case _:
                    assert task.run.last_word is not None
                    await self._activities._conclude(attempt, *task.run.last_word)
        except NotMine:
            self._temporal.failed_for_good(task)
        except Postponed as error:
            self._temporal.failed(task, delay_s=error.delay_s)
        except (Conflict, ReportFailed, ReportRefused, WrongServer):
            self._temporal.failed(task)
        else:
            self._temporal.complete(task)

    async def _perform(self, attempt: Attempt) -> bool:
        """Whether its run holds the epoch; raises the first of a group of errors."""
        try:
            return await self._activities._perform(attempt)
        except ExceptionGroup as group:
            error: Exception = group
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
        raise error


async def run_endlessly(make: Callable[[], SimRunner], rng: random.Random, lives: Callable[[], bool]) -> None:
    """Restart a runner each time it dies; once `lives` is true, it does not die any more."""
    while True:
        with suppress(TimeoutError):
            if lives():
                await make().run()
            lives_s, runner = rng.uniform(2.0, 12.0), make()
            if rng.random() < CRASHES:
                asyncio.get_running_loop().call_later(lives_s, runner.die)
            async with asyncio.timeout(lives_s):
                await runner.run()
        await asyncio.sleep(rng.uniform(0.1, 1.0))
