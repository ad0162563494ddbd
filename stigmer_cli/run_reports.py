"""What a run asks of the server and tells it, over HTTP: the runner's side of `server/routes/reports.py`."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from stigmer_cli.api.children import ChildRequest, ChildResponse
from stigmer_cli.api.cloud_events import ListenRequest, ListenResponse
from stigmer_cli.api.decisions import DecisionBody
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.api.reports import (
    AttemptRequest,
    AttemptResponse,
    ClaimAnswer,
    ClaimingAttemptRequest,
    ClaimingAttemptResponse,
    ClaimRequest,
    ClaimResponse,
    CountsResponse,
    MessageReport,
    MessageTail,
    OutcomeReport,
    PostponeRequest,
    ReportResponse,
    UsageReport,
    Work,
)
from stigmer_cli.api.steps import (
    BeginStepRequest,
    BeginStepResponse,
    CutOffRequest,
    CutOffResponse,
    EndedStepBody,
    FinishStepRequest,
    StepDraftBody,
    StepEndBody,
    StepPage,
)
from stigmer_cli.api.tasks import TaskReportBody, TasksReport
from stigmer_cli.api.usage import usage_body
from stigmer_cli.api.waiting import WaitRequest
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import TokenUsage
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotFound, OperationFailed
from stigmer_cli.json_text import dump_json
from stigmer_cli.secret_values import DELIVERED

NO_SUCH_ROUTE = frozenset({"Not Found", "Method Not Allowed"})
"""What every server says of a path, or of a method on it, that it does not have; of an execution it says its id."""


class RunReports:
    """The reports of runs, sent by `client`. Each raises what its calls raise: StigmerError, of which kind it tells."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def identity(self, load: RunnerLoad | None = None) -> Identity:
        """Who the server is, and which task queues its runners poll; tells it `load`."""
        return await self._client.identity(load)

    async def resolve_secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `names` that there are."""
        return await self._client.resolve_secrets(names)

    async def count_attempts(self, execution: str) -> CountsResponse:
        """How many attempts of the run that holds it began, and how many ended at a busy model."""
        return await self._client.count_attempts(execution)

    async def claim(
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str
    ) -> ClaimAnswer:
        """Whether `run`, of `workflow` and of the chain that `first_run` began, holds this epoch now."""
        body = ClaimRequest(epoch=epoch, run=run, runner=runner, workflow_id=workflow, first_run=first_run)
        return (await self._client.report(execution, "claim", body, ClaimResponse)).reason

    async def claim_and_begin(  # noqa: PLR0913 - one parameter a field of the wire
        self, execution: str, *, epoch: int, run: str, runner: str, workflow: str, first_run: str, attempt: int
    ) -> ClaimingAttemptResponse:
        """Whether `run` holds this epoch now; if it does, its attempt begins, with what it has to do."""
        body = ClaimingAttemptRequest(
            epoch=epoch, run=run, runner=runner, workflow_id=workflow, first_run=first_run, attempt=attempt
        )
        return await self._client.report(execution, "claimed-attempts", body, ClaimingAttemptResponse)

    async def begin_attempt(self, execution: str, *, epoch: int, run: str, attempt: int, runner: str) -> Work | None:
        """What the attempt has to do; None where nothing is left to do."""
        body = AttemptRequest(epoch=epoch, run=run, attempt=attempt, runner=runner)
        return (await self._client.report(execution, "attempts", body, AttemptResponse)).work

    async def append_message(  # noqa: PLR0913 - one parameter a field of the wire
        self, execution: str, *, epoch: int, run: str, attempt: int, index: int, offset: int, role: str, text: str
    ) -> bool:
        """Report that `text` stands at `offset` of message `index`; False where the attempt is superseded."""
        body = MessageReport(epoch=epoch, run=run, attempt=attempt, index=index, offset=offset, role=role, text=text)
        return (await self._client.report(execution, "messages", body, ReportResponse, is_exact=True)).taken

    async def postpone(  # noqa: PLR0913 - one parameter a field of the wire
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
        """Report that the attempt ended at a busy model, and when the next one follows; False where it is superseded.

        `busy_s` is for how long the model will have been busy by then.
        """
        body = PostponeRequest(
            epoch=epoch, run=run, attempt=attempt, cause=cause, delay_s=delay_s, busy_s=busy_s, broke_off=broke_off
        )
        return (await self._client.report(execution, "postponements", body, ReportResponse)).taken

    async def add_usage(self, execution: str, *, epoch: int, run: str, attempt: int, usage: TokenUsage) -> bool:
        """Report what an attempt used that ends without an outcome; False where the report does not count."""
        body = UsageReport(epoch=epoch, run=run, attempt=attempt, usage=usage_body(usage))
        return (await self._client.report(execution, "usage", body, ReportResponse)).taken

    async def finish(  # noqa: PLR0913 - one parameter a field of the wire
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
        """Report how the run ended, what it said last, and steps not recorded yet; False where it does not count.

        Of a workflow, `tasks` are those that changed last, and `error_fields` those of the error that it ended with.
        """
        fields = {"epoch": epoch, "run": run, "attempt": attempt, "phase": phase, "output": output, "error": error}
        body = OutcomeReport.model_validate(
            {
                **fields,
                "usage": usage and usage_body(usage),
                "tail": tail,
                "steps": steps,
                "tasks": tasks,
                "error_fields": error_fields,
            }
        )
        return (await self._client.report(execution, "outcome", body, ReportResponse)).taken

    async def report_tasks(self, execution: str, report: TasksReport) -> bool:
        """Report what tasks of a workflow do; False where the attempt is superseded."""
        return (await self._client.report(execution, "tasks", report, ReportResponse)).taken

    async def begin_step(
        self, execution: str, *, epoch: int, run: str, attempt: int, step: StepDraftBody
    ) -> BeginStepResponse:
        """Whether the attempt is to perform `step`, and if not, why, or what was recorded."""
        body = BeginStepRequest(epoch=epoch, run=run, attempt=attempt, step=step)
        return await self._client.report(execution, "steps/begin", body, BeginStepResponse)

    async def finish_step(
        self, execution: str, *, epoch: int, run: str, attempt: int, step: StepDraftBody, end: StepEndBody
    ) -> bool:
        """Record how `step` ended; False where the attempt is superseded."""
        body = FinishStepRequest(epoch=epoch, run=run, attempt=attempt, step=step, end=end)
        return (await self._client.report(execution, "steps/finish", body, ReportResponse)).taken

    async def cut_off_steps(self, execution: str, request: CutOffRequest) -> CutOffResponse:
        """End the steps in the air that the workflow never comes to again. An older server leaves them as they are."""
        try:
            return await self._client.report(execution, "steps/cut-off", request, CutOffResponse)
        except (NotFound, OperationFailed) as error:
            if error.message not in NO_SUCH_ROUTE:
                raise
            return CutOffResponse(taken=True, left=0)

    async def wait(self, execution: str, request: WaitRequest) -> bool:
        """Report that the execution has to wait; False where the report does not count."""
        return (await self._client.report(execution, "wait", request, ReportResponse)).taken

    async def listen(self, execution: str, request: ListenRequest) -> ListenResponse:
        """A page of the events that a task of the execution may take."""
        return await self._client.report(execution, "listen", request, ListenResponse)

    async def start_child(self, execution: str, request: ChildRequest) -> ChildResponse:
        """How far the execution is that a step waits for; it is accepted, unless it was before."""
        return await self._client.report(execution, "children", request, ChildResponse)

    async def publish(self, event: Mapping[str, object]) -> None:
        """Publish an event, without the values of secrets; one that is there already is not taken a second time."""
        whole = json.loads(DELIVERED.redact_json(dump_json(dict(event))))
        await self._client.publish_events([whole])

    async def read_decisions(self, execution: str) -> Sequence[DecisionBody]:
        """What persons decided about calls of its tools."""
        return await self._client.decisions(execution)

    async def read_recorded_steps(self, execution: str, *, after: int) -> StepPage:
        """One page of the steps that are recorded, after number `after`, with their results."""
        return await self._client.steps(execution, after=after, has_results=True)
