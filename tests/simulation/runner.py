"""Runners in virtual time: the real activities and the real performance, between a Temporal and a server that fail."""

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse, NumberedEvent, queries_of
from stigmer_cli.api.decisions import DecisionBody, decision_body
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.api.reports import ClaimAnswer, ClaimingAttemptResponse, CountsResponse, MessageTail, Work
from stigmer_cli.api.steps import BeginStepResponse, EndedStepBody, StepDraftBody, StepEndBody, StepPage
from stigmer_cli.api.tasks import TaskReportBody, TasksReport
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.domain.execution import Outcome, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, RunId, WorkflowId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import Conflict, ServerUnavailable
from stigmer_cli.runner.activities import Activities, StopSignal
from stigmer_cli.runner.attempt_identity import Attempt
from stigmer_cli.runner.heartbeat import ModelPostponed, NotMine
from stigmer_cli.runner.journal import Journal
from stigmer_cli.runner.model.seam import ModelBusy
from stigmer_cli.runner.model_retry import ModelRetry
from stigmer_cli.runner.reports import ClockAndRng, Reporter, ReportRefused, WrongServer
from stigmer_cli.server.routes.steps import begun_body, draft_of, ended_step, recorded_body
from stigmer_cli.server.routes.waits import wait_report
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import Claimant, ReportedText, ReportResult
from stigmer_cli.store.store import Store
from tests.simulation.steps import SPEC, StepLedger, StepModel
from tests.simulation.temporal import SimTemporal
from tests.simulation.temporal_state import Task

R = TypeVar("R")
BEAT_S = 0.5
POLL_S = 0.3
MODEL_RETRY = ModelRetry(for_s=900.0)


class ServerDied(Exception):
    """What a step raises in a server that dies there."""


@dataclass(frozen=True)
class Effect:
    """An effect of a model outside the system."""

    execution: str
    epoch: int
    run: str
    attempt: int


@dataclass
class Ledger:
    """The record of all effects, in order, and of those of steps."""

    effects: list[Effect] = field(default_factory=list)
    steps: StepLedger = field(default_factory=StepLedger)

    def runs_of(self, execution: str, epoch: int) -> set[str]:
        """Which runs had an effect in an epoch."""
        return {one.run for one in self.effects if (one.execution, one.epoch) == (execution, epoch)}


@dataclass(kw_only=True)
class RunnerLink:
    """The network between the runners and the server."""

    is_open: bool = True
    lose_request: float = 0.0
    lose_reply: float = 0.0
    late_s: float = 0.0


class SimReports:
    """The server as runs see it: its report routes, on the real tables, behind a link that may fail."""

    def __init__(self, store: Store, link: RunnerLink, rng: random.Random) -> None:
        self._store = store
        self._link = link
        self._rng = rng

    async def resolve_secrets(self, _names: Sequence[str]) -> Mapping[str, str]:
        return {}

    async def identity(self, _load: RunnerLoad | None = None) -> Identity:
        raise NotImplementedError("the runners of a simulation know their queue")

    async def claim(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str
    ) -> ClaimAnswer:
        claimant = Claimant(run=RunId(run), runner=runner, workflow=WorkflowId(workflow), first_run=RunId(first_run))
        return ClaimAnswer(
            await self._over(lambda: self._store.runs.claim(ExecutionId(execution), epoch=epoch, claimant=claimant))
        )

    async def claim_and_begin(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str, attempt: int
    ) -> ClaimingAttemptResponse:
        claimant = Claimant(run=RunId(run), runner=runner, workflow=WorkflowId(workflow), first_run=RunId(first_run))
        claimed = await self._over(
            lambda: self._store.runs.claim_and_begin(
                ExecutionId(execution), epoch=epoch, claimant=claimant, attempt=attempt
            )
        )
        work = await self._work(execution, epoch, run, attempt) if claimed.before else None
        return ClaimingAttemptResponse(answer=claimed.answer, work=work)

    async def begin_attempt(self, execution: str, *, epoch: int, run: str, attempt: int, runner: str) -> Work | None:
        report = await self._over(
            lambda: self._store.runs.begin_attempt(
                ExecutionId(execution), epoch=epoch, run=RunId(run), attempt=attempt, runner=runner
            )
        )
        return await self._work(execution, epoch, run, attempt) if report is ReportResult.TAKEN else None

    async def _work(self, execution: str, epoch: int, run: str, attempt: int) -> Work:
        message = f"{execution} {epoch} {run} {attempt}"
        counts = await self._store.runs.count_attempts(ExecutionId(execution))
        row = await self._store.executions.get(ExecutionId(execution))
        wait = row.model_wait
        return Work(
            instructions="",
            message=message,
            model="simulated",
            agent_name="greeter",
            begun=counts.begun,
            model_tries=counts.model_tries,
            broken_off=counts.broken_off,
            model_busy_since=wait.since if wait else None,
            model_busy_s=counts.model_busy_s if wait else 0.0,
            has_steps=row.has_steps,
            progressed=counts.progressed,
            spec=SPEC if has_steps(row.message) else None,
        )

    async def count_attempts(self, execution: str) -> CountsResponse:
        counts = await self._over(lambda: self._store.runs.count_attempts(ExecutionId(execution)))
        return CountsResponse(
            begun=counts.begun,
            processes=counts.processes,
            model_tries=counts.model_tries,
            progressed=counts.progressed,
        )

    async def postpone(
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int,
        cause: str,
        delay_s: float,
        busy_s: float,
        broke_off: bool,
    ) -> bool:
        postponement = Postponement(cause=cause, delay_s=delay_s, busy_s=busy_s, broke_off=broke_off)
        report = await self._over(
            lambda: self._store.runs.postpone(
                ExecutionId(execution), epoch=epoch, run=RunId(run), attempt=attempt, postponement=postponement
            )
        )
        return report is ReportResult.TAKEN

    async def append_message(
        self, execution: str, *, epoch: int, run: str, attempt: int, index: int, offset: int, role: str, text: str
    ) -> bool:
        report = await self._over(
            lambda: self._store.runs.append_message(
                ExecutionId(execution),
                epoch=epoch,
                run=RunId(run),
                attempt=attempt,
                index=index,
                offset=offset,
                role=role,
                text=text,
            )
        )
        return report is ReportResult.TAKEN

    async def finish(
        self,
        execution: str,
        *,
        epoch: int,
        run: str,
        attempt: int | None,
        phase: Phase,
        output: str | None,
        error: str | None,
        usage: TokenUsage | None = None,
        tail: MessageTail | None = None,
        steps: Sequence[EndedStepBody] = (),
        tasks: Sequence[TaskReportBody] = (),  # noqa: ARG002 - judged elsewhere
        error_fields: Mapping[str, JsonValue] | None = None,  # noqa: ARG002 - as above
    ) -> bool:
        outcome = Outcome(phase=phase, output=output, error=error, usage=usage)
        piece = ReportedText(index=tail.index, offset=tail.offset, role=tail.role, text=tail.text) if tail else None
        report = await self._over(
            lambda: self._store.runs.finish(
                ExecutionId(execution),
                epoch=epoch,
                run=RunId(run),
                attempt=attempt,
                outcome=outcome,
                tail=piece,
                steps=[ended_step(step, may_be_outcome=True) for step in steps],
            )
        )
        return report is not ReportResult.STALE

    async def add_usage(self, execution: str, *, epoch: int, run: str, attempt: int, usage: TokenUsage) -> bool:
        report = await self._over(
            lambda: self._store.runs.add_usage(
                ExecutionId(execution), epoch=epoch, run=RunId(run), attempt=attempt, usage=usage
            )
        )
        return report is ReportResult.TAKEN

    async def begin_step(
        self, execution: str, *, epoch: int, run: str, attempt: int, step: StepDraftBody
    ) -> BeginStepResponse:
        begun = await self._over(
            lambda: self._store.steps.begin(
                ExecutionId(execution), epoch=epoch, run=RunId(run), attempt=attempt, draft=draft_of(step)
            )
        )
        return begun_body(begun)

    async def finish_step(
        self, execution: str, *, epoch: int, run: str, attempt: int, step: StepDraftBody, end: StepEndBody
    ) -> bool:
        ended = ended_step(EndedStepBody(step=step, end=end))
        report = await self._over(
            lambda: self._store.steps.finish(
                ExecutionId(execution), epoch=epoch, run=RunId(run), attempt=attempt, step=ended
            )
        )
        return report is ReportResult.TAKEN

    async def wait(self, execution: str, request: WaitRequest) -> bool:
        report = await self._over(
            lambda: self._store.waits.report(
                ExecutionId(execution),
                epoch=request.epoch,
                run=RunId(request.run),
                attempt=request.attempt,
                wait=wait_report(request),
            )
        )
        return report is not ReportResult.STALE

    async def report_tasks(self, execution: str, report: TasksReport) -> bool:
        raise NotImplementedError("no simulated execution is one of a workflow")

    async def read_decisions(self, execution: str) -> Sequence[DecisionBody]:
        found = await self._over(lambda: self._store.waits.read_decisions(ExecutionId(execution)))
        return [decision_body(decision) for decision in found]

    async def listen(self, execution: str, request: ListenRequest) -> ListenResponse:
        queries = queries_of(request.queries)
        found = await self._over(
            lambda: self._store.cloud_events.read_for(ExecutionId(execution), queries, after=request.after)
        )
        events = [NumberedEvent.model_validate({"seq": seq, "event": event}) for seq, event in found.events]
        return ListenResponse(events=events, upto=found.upto, is_last=found.is_last)

    async def start_child(self, execution: str, request: ChildRequest) -> ChildResponse:
        return ChildResponse(refused=f"{request.key} of {execution} waits for no other execution here")

    async def publish(self, event: Mapping[str, object]) -> None:
        await self._over(lambda: self._store.cloud_events.publish([event]))

    async def read_recorded_steps(self, execution: str, *, after: int) -> StepPage:
        page = await self._over(lambda: self._store.steps.read_recorded(ExecutionId(execution), after=after))
        return recorded_body(page)

    async def _over(self, call: Callable[[], Awaitable[R]]) -> R:
        link = self._link
        await asyncio.sleep(self._rng.uniform(0, 0.002) + self._rng.uniform(0, link.late_s))
        if self._is_cut(link.lose_request):
            raise ServerUnavailable("the server cannot be reached")
        try:
            answer = await call()
        except ServerDied as error:
            raise ServerUnavailable("the server died over it") from error
        if self._is_cut(link.lose_reply):
            raise ServerUnavailable("the answer never came")
        return answer

    def _is_cut(self, chance: float) -> bool:
        return not self._link.is_open or self._rng.random() < chance


def has_steps(message: str) -> bool:
    """Whether the execution of this message is performed step by step: every second one."""
    return message[-1:] in set("13579")


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
        reporter = Reporter(SimReports(store, link, rng), clock_and_rng)
        model = SimModel(ledger, rng)
        self._activities = Activities(
            reporter=reporter,
            models=lambda _name: model,
            runner=identity,
            stop_signal=StopSignal(),
            clock_and_rng=clock_and_rng,
            model_retry=MODEL_RETRY,
        )

    async def run(self) -> None:
        """Work until cancelled, which is a crash."""
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
        except ModelPostponed as error:
            self._temporal.failed(task, delay_s=error.delay_s)
        except (Conflict, ReportRefused, WrongServer):
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
            async with asyncio.timeout(rng.uniform(2.0, 12.0)):
                await make().run()
        await asyncio.sleep(rng.uniform(0.1, 1.0))
