"""The tools that look and change nothing."""

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from stigmer_cli.api.query import Query
from stigmer_cli.api.reconcile import ReconcileItem, ReconcileProgress, ReconcileRequest, ReconcileSummary
from stigmer_cli.api.resources import EventBody, ExecutionResource
from stigmer_cli.cli.doctor.checks import describe_check
from stigmer_cli.cli.doctor.diagnose import diagnose_once
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.mcp.answers import (
    AgentAnswer,
    AgentsAnswer,
    DoctorAnswer,
    EventAnswer,
    ExecutionAnswer,
    ExecutionDetailAnswer,
    ExecutionsAnswer,
    ExplanationAnswer,
    LogLineAnswer,
    LogsAnswer,
    ReconcileAnswer,
    StatusAnswer,
    StuckAnswer,
    WorkflowAnswer,
    WorkflowsAnswer,
)
from stigmer_cli.cli.mcp.tool import LOOK, Description, Toolbox, tool
from stigmer_cli.cli.output import truncate_line
from stigmer_cli.cli.parameters import SPAN_MAX_S
from stigmer_cli.cli.stack.logs import describe_line
from stigmer_cli.cli.stack.status import observe_stack
from stigmer_cli.client import Client
from stigmer_cli.clock import iso
from stigmer_cli.credential import read_token
from stigmer_cli.daemon_thread import in_thread
from stigmer_cli.doctor.catalog import check_called, find_codes
from stigmer_cli.domain.execution import EventType
from stigmer_cli.domain.execution_reference import check_reference
from stigmer_cli.domain.identity import is_id
from stigmer_cli.domain.phase import Phase
from stigmer_cli.errors import NotRunning, OperationFailed, RequestError
from stigmer_cli.settings import Home
from stigmer_cli.stack.logs import NEVER, Line, have_logs, read_lines, select_parts
from stigmer_cli.stack.remote import refuse_elsewhere
from stigmer_cli.stack.status import StackState
from stigmer_cli.time_format import parse_span, span

LIST_MAX = 40
AGENTS_MAX = 100
WORKFLOWS_MAX = 100
TASKS_MAX = 100
"""How many tasks of a workflow are told: the last ones."""
EVENTS_TOLD_MAX = 500
"""How many events of an execution are told: the last ones."""
LINES_MAX = 500
LINES_SOURCE_MAX = 200_000
IDS_MAX = 200
ITEMS_MAX = 200
TEXT_MAX = 160
"""Characters of a message or a reason in a list."""

SPANS = "90s, 10m, 2h or 1d"

Reference = Annotated[
    str,
    Field(description="An execution: its id, a part of the id of at least 4 characters, @last or @last-failed."),
]
SpanOption = Annotated[str | None, Field(description="A span of time: 90s, 10m, 2h or 1d.")]
Phases = Annotated[list[Phase] | None, Field(description="Only executions in these phases.")]
Ids = Annotated[list[str] | None, Field(description="Only these executions, by full id.", max_length=IDS_MAX)]


class ReadingTools(Toolbox):
    """What can be asked about a stack, whether it runs or not."""

    @tool(Description(title="State of the stack", annotations=LOOK, more="stigmer status -o json"))
    async def status(self) -> StatusAnswer:
        """Say whether the local Stigmer stack runs: each process, its state, and why if it is not ready.

        Works while the stack is down. Begin here, or with `doctor` if something is wrong.
        """
        settings = self.cli.load_settings_or_defaults()
        token = settings.token or (None if settings.distrust else read_token(settings.home))
        page = (await observe_stack(self.cli, settings, token)).to_json()
        hint = {StackState.READY: "", StackState.BUSY: "", StackState.STOPPED: "stigmer up"}.get(
            StackState(str(page["state"])), "stigmer doctor"
        )
        return StatusAnswer.model_validate({**page, "hint": hint})

    @tool(Description(title="Find what is wrong", annotations=LOOK, more="stigmer doctor -v"))
    async def doctor(
        self,
        *,
        only: Annotated[
            list[str] | None, Field(description="Only these checks, by code (STG105) or category (Temporal).")
        ] = None,
    ) -> DoctorAnswer:
        """Examine the stack, Temporal, the store, the executions and the settings, in about 3 seconds.

        `verdict` is the first cause of all faults, and the command that repairs it. Repairs nothing itself.
        """
        codes = find_codes(only or [])
        report = await diagnose_once(self.cli, only=codes)
        body = report.to_json()
        checks = body["checks"]
        assert isinstance(checks, list)  # noqa: S101 - as the report is made
        shown = [one for one in checks if codes or one["result"] in ("fail", "warn")]
        return DoctorAnswer.model_validate({**body, "findings": shown})

    @tool(Description(title="Explain a check", annotations=LOOK, more="stigmer doctor explain CODE"))
    async def explain_check(
        self, *, code: Annotated[str, Field(description="The code of a check, such as STG105.")]
    ) -> ExplanationAnswer:
        """Say what a check of `doctor` examines, and what its failure means."""
        check = check_called(code)
        return ExplanationAnswer.model_validate({**describe_check(check), "explanation": check.explanation})

    @tool(Description(title="Agents", annotations=LOOK, more="Continue with `cursor`."))
    async def list_agents(
        self, *, cursor: Annotated[str | None, Field(description="nextCursor of an earlier call.")] = None
    ) -> AgentsAnswer:
        """List the agents that can be run, by name."""
        async with self.cli.client() as client:
            page = await client.agents(limit=AGENTS_MAX, cursor=cursor)
        agents = [
            AgentAnswer(
                name=one.metadata.slug,
                id=one.metadata.id,
                model=one.spec.model,
                description=truncate_line(one.spec.description, TEXT_MAX),
            )
            for one in page.items
        ]
        return AgentsAnswer(agents=agents, next_cursor=page.next_cursor)

    @tool(Description(title="Workflows", annotations=LOOK, more="Continue with `cursor`."))
    async def list_workflows(
        self, *, cursor: Annotated[str | None, Field(description="nextCursor of an earlier call.")] = None
    ) -> WorkflowsAnswer:
        """List the workflows that can be run, by name."""
        async with self.cli.client() as client:
            page = await client.workflows(limit=WORKFLOWS_MAX, cursor=cursor)
        found = [(one.metadata, one.spec["document"]) for one in page.items]
        workflows = [
            WorkflowAnswer(
                name=about.name,
                namespace=about.namespace,
                version=about.version,
                id=about.id,
                summary=truncate_line(str(said.get("summary", "") if isinstance(said, dict) else ""), TEXT_MAX),
            )
            for about, said in found
        ]
        return WorkflowsAnswer(workflows=workflows, next_cursor=page.next_cursor)

    @tool(Description(title="Executions", annotations=LOOK, more="Use a smaller `limit`, and `cursor`."))
    async def list_executions(
        self,
        *,
        phases: Phases = None,
        agent: Annotated[str | None, Field(description="Only executions of this agent, by name or id.")] = None,
        older_than: SpanOption = None,
        only_stuck: Annotated[bool, Field(description="Only executions that make no progress.")] = False,
        limit: Annotated[int, Field(ge=1, le=LIST_MAX)] = 20,
        cursor: Annotated[str | None, Field(description="nextCursor of an earlier call.")] = None,
    ) -> ExecutionsAnswer:
        """List executions, newest first, each with its phase and the reason for it."""
        query = Query(
            phases=phases or (),
            agent=agent,
            older_than_s=read_span(older_than),
            is_stuck=only_stuck,
            is_judged=True,
            cursor=cursor,
        )
        async with self.cli.client() as client:
            found = await client.list_executions(query, limit=limit)
        return ExecutionsAnswer(executions=[_brief(one) for one in found.items], next_cursor=found.next_cursor)

    @tool(
        Description(
            title="One execution",
            annotations=LOOK,
            more="All of it: stigmer executions get ID -o json",
            is_newest_last=True,
        )
    )
    async def get_execution(self, *, execution: Reference) -> ExecutionDetailAnswer:
        """Show one execution: phase, reason, message, answer, timeline, and what to type if it is stuck."""
        async with self.cli.client() as client:
            name = await resolve_reference(client, execution)
            found, events = await client.execution(name), await client.events(name)
        return detail_of(found, events)

    @tool(Description(title="Stuck executions", annotations=LOOK, more="stigmer executions list --stuck"))
    async def stuck_executions(self) -> StuckAnswer:
        """Group the open executions that make no progress, by class: cause, since when, and the commands that help."""
        async with self.cli.client() as client:
            found = await client.stuck_report()
        return StuckAnswer(groups=found.groups, is_whole=found.is_whole, is_judged=found.is_judged)

    @tool(
        Description(
            title="Logs",
            annotations=LOOK,
            more="Name a part, or ask with a smaller `tail` or `since`, or with `contains`.",
            is_newest_last=True,
        )
    )
    async def logs(
        self,
        *,
        parts: Annotated[
            list[str] | None, Field(description="supervisor, temporal, server or runner. Default: all.")
        ] = None,
        since: SpanOption = None,
        tail: Annotated[int, Field(ge=1, le=LINES_MAX, description="The last lines of each part.")] = 50,
        contains: Annotated[str | None, Field(description="Only lines with this text, in any case.")] = None,
    ) -> LogsAnswer:
        """Show log lines of the parts of the stack, merged by time; also after the stack was stopped."""
        settings = self.cli.load_settings_or_defaults()
        refuse_elsewhere(settings, "logs")
        names = select_parts(parts or [])
        if not have_logs(settings.home, names):
            raise NotRunning(f"there are no logs in {settings.home.logs}: nothing was ever started", hint="stigmer up")
        found = await in_thread(lambda: self._read(settings.home, names, read_span(since), tail, contains))
        return LogsAnswer(lines=[_log_line(line) for line in found])

    @tool(Description(title="Preview a reconcile", annotations=LOOK, more="Use `ids`, `phases` or `older_than`."))
    async def preview_reconcile(
        self, *, ids: Ids = None, phases: Phases = None, older_than: SpanOption = None
    ) -> ReconcileAnswer:
        """Say what a reconcile would do about executions that Temporal has lost or that are behind. Changes nothing."""
        request = ReconcileRequest(
            ids=ids or [],
            phases=phases or [],
            older_than_s=read_span(older_than) or 0.0,
            dry_run=True,
            asked_by="stigmer mcp",
        )
        async with self.cli.client() as client:
            return await collect_reconcile(client, request)

    def _read(
        self, home: Home, parts: Sequence[str], since_s: float | None, tail: int, contains: str | None
    ) -> Sequence[Line]:
        oldest = None if since_s is None else self.cli.clock.now() - timedelta(seconds=since_s)
        found = read_lines(home, parts, since=oldest, tail=None if contains else tail)
        if contains is None:
            return _keep_newest(list(found))
        matching = deque((line for line in found if contains.casefold() in line.text.casefold()), maxlen=tail)
        return _keep_newest(list(matching))


def _keep_newest(lines: Sequence[Line]) -> Sequence[Line]:
    """The last of `lines`, with `LINES_SOURCE_MAX` characters at most: more need not be searched for secrets."""
    left = LINES_SOURCE_MAX
    for number, line in enumerate(reversed(lines)):
        left -= len(line.text)
        if left < 0:
            return lines[len(lines) - max(number, 1) :]
    return lines


def read_span(text: str | None) -> float | None:
    """`text` in seconds, at most `SPAN_MAX_S`; raises RequestError."""
    try:
        seconds = None if text is None else parse_span(text)
    except ValueError as error:
        raise RequestError(str(error), hint=SPANS) from None
    if seconds is not None and seconds > SPAN_MAX_S:
        raise RequestError(f"{text} is longer than {span(SPAN_MAX_S)}", hint=SPANS)
    return seconds


async def resolve_reference(client: Client, reference: str) -> str:
    """The full id that `reference` means; raises RequestError or NotFound."""
    checked = check_reference(reference)
    return checked if is_id(checked) else (await client.resolve_execution(checked)).id


async def collect_reconcile(client: Client, request: ReconcileRequest) -> ReconcileAnswer:
    """What the server reports of a reconcile: the summary, and the first `ITEMS_MAX` items that need something."""
    items: list[ReconcileItem] = []
    summary = None
    async for found in client.reconcile(request):
        match found:
            case ReconcileItem() if len(items) < ITEMS_MAX:
                items.append(found)
            case ReconcileSummary():
                summary = found
            case ReconcileItem() | ReconcileProgress():
                pass
    if summary is None:
        raise OperationFailed("the server ended the reconcile without a summary", hint="stigmer doctor")
    return ReconcileAnswer(is_dry_run=request.dry_run, summary=summary, items=items)


def detail_of(found: ExecutionResource, events: Sequence[EventBody]) -> ExecutionDetailAnswer:
    """One execution with its timeline; the pieces of its messages are in `messages`, not in the timeline."""
    status = found.status
    return ExecutionDetailAnswer(
        id=found.metadata.id,
        agent=found.spec.runs,
        phase=status.phase,
        why=describe_reason(found),
        message=found.spec.asked,
        output=status.answer,
        error=status.error_text,
        messages=[] if status.output is not None else status.messages,
        created_at=found.metadata.created_at,
        started_at=status.started_at,
        completed_at=status.completed_at,
        attempt=status.attempt,
        runner=status.runner,
        dispatch=status.dispatch,
        attention=status.attention,
        stuck=found.stuck,
        waiting=status.waiting,
        tasks=(status.tasks or [])[-TASKS_MAX:],
        labels=found.metadata.labels,
        events=[
            EventAnswer(at=event.at, type=event.type, text=event.text)
            for event in events
            if event.type is not EventType.MESSAGE
        ][-EVENTS_TOLD_MAX:],
    )


def _brief(found: ExecutionResource) -> ExecutionAnswer:
    return ExecutionAnswer(
        id=found.metadata.id,
        agent=found.spec.runs,
        phase=found.status.phase,
        created_at=found.metadata.created_at,
        message=truncate_line(found.spec.asked, TEXT_MAX),
        why=truncate_line(describe_reason(found), TEXT_MAX),
        stuck=found.stuck,
    )


def _log_line(line: Line) -> LogLineAnswer:
    at = None if line.shown_at == NEVER else iso(line.shown_at)
    return LogLineAnswer(part=line.part, at=at, text=describe_line(line))
