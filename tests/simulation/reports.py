"""The server as runs see it: its report routes, on the real tables, behind a link that may fail."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse, NumberedEvent, queries_of
from stigmer_cli.api.decisions import DecisionBody, decision_body
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.api.reports import ClaimAnswer, ClaimingAttemptResponse, CountsResponse, MessageTail, Work
from stigmer_cli.api.steps import (
    BeginStepResponse,
    CutOffRequest,
    CutOffResponse,
    EndedStepBody,
    StepDraftBody,
    StepEndBody,
    StepPage,
)
from stigmer_cli.api.tasks import TaskReportBody, TasksReport
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.domain.execution import Outcome, TokenUsage
from stigmer_cli.domain.identity import ExecutionId, Kind, RunId, WorkflowId
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import ServerUnavailable
from stigmer_cli.json_text import dump_json
from stigmer_cli.server.routes import children
from stigmer_cli.server.routes.steps import begun_body, draft_of, ended_step, recorded_body, step_end
from stigmer_cli.server.routes.waits import wait_report
from stigmer_cli.server.routes.workflow_tasks import make_workflow_work
from stigmer_cli.server.services import Services
from stigmer_cli.store.run_transitions import Postponement
from stigmer_cli.store.runs import Claimant, ReportedText, ReportResult
from stigmer_cli.store.store import Store
from stigmer_cli.workflow.runtime import TASKS_MAX
from tests.simulation.steps import SPEC

if TYPE_CHECKING:
    from tests.simulation.server import Server

R = TypeVar("R")


class ServerDied(Exception):
    """What a step raises in a server that dies there."""


@dataclass(kw_only=True)
class RunnerLink:
    """The network between the runners and the server. `server` is one that is up."""

    is_open: bool = True
    lose_request: float = 0.0
    lose_reply: float = 0.0
    late_s: float = 0.0
    server: "Callable[[], Server | None]" = lambda: None


class SimReports:
    """The server as runs see it: its report routes, on the real tables, behind a link that may fail."""

    def __init__(self, store: Store, link: RunnerLink, rng: random.Random) -> None:
        self._store = store
        self._link = link
        self._rng = rng
        self.is_dead = False
        """Whether the runner has died: nothing of it reaches the server any more."""

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
        if row.kind is Kind.WORKFLOW:
            return await make_workflow_work(row, counts, self._services())
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
        tasks: Sequence[TaskReportBody] = (),
        error_fields: Mapping[str, JsonValue] | None = None,
    ) -> bool:
        fields = None if error_fields is None else dump_json(error_fields)
        outcome = Outcome(phase=phase, output=output, error=error, error_fields=fields, usage=usage)
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
                tasks=[task.to_domain() for task in tasks],
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

    async def cut_off_steps(self, execution: str, request: CutOffRequest) -> CutOffResponse:
        left = await self._over(
            lambda: self._store.steps.cut_off(
                ExecutionId(execution),
                epoch=request.epoch,
                run=RunId(request.run),
                attempt=request.attempt,
                below=request.below,
                end=step_end(request.end),
            )
        )
        return CutOffResponse(taken=left is not None, left=left or 0)

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
        self._nudge()
        return report is not ReportResult.STALE

    async def report_tasks(self, execution: str, report: TasksReport) -> bool:
        taken = await self._over(
            lambda: self._store.tasks.report(
                ExecutionId(execution),
                epoch=report.epoch,
                run=RunId(report.run),
                attempt=report.attempt,
                reported=[task.to_domain() for task in report.tasks],
            )
        )
        return taken is ReportResult.TAKEN

    async def read_decisions(self, execution: str) -> Sequence[DecisionBody]:
        found = await self._over(lambda: self._store.waits.read_decisions(ExecutionId(execution)))
        return [decision_body(decision) for decision in found]

    async def listen(self, execution: str, request: ListenRequest) -> ListenResponse:
        queries = queries_of(request.queries)
        found = await self._over(
            lambda: self._store.cloud_events.read_for(
                ExecutionId(execution), queries, after=request.after, look_back_s=request.look_back_s
            )
        )
        events = [NumberedEvent.model_validate({"seq": seq, "event": event}) for seq, event in found.events]
        return ListenResponse(events=events, upto=found.upto, is_last=found.is_last)

    async def start_child(self, execution: str, request: ChildRequest) -> ChildResponse:
        return await self._over(lambda: children.start_child(execution, request, self._services()))

    async def publish(self, event: Mapping[str, object]) -> None:
        await self._over(lambda: self._store.cloud_events.publish([event]))
        self._nudge()

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
        return self.is_dead or not self._link.is_open or self._rng.random() < chance

    def _nudge(self) -> None:
        server = self._link.server()
        if server is not None:
            server.dispatcher.nudge()

    def _services(self) -> Services:
        """As much of a server that is up as the routes of workflows need."""
        server = self._link.server()
        if server is None:
            raise ServerUnavailable("the server cannot be reached")
        settings = SimpleNamespace(workflow_tasks_max=TASKS_MAX)
        parts = SimpleNamespace(store=self._store, acceptor=server.acceptor, clock=self._store.clock, settings=settings)
        return cast("Services", parts)


def has_steps(message: str) -> bool:
    """Whether the execution of this message is performed step by step: every second one."""
    return message[-1:] in set("13579")
