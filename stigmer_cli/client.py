"""Typed HTTP client of the server, for commands and for the runner."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from stigmer_cli.api.cancel import CancelItem, CancelRequest, CancelResponse
from stigmer_cli.api.cloud_events import EVENTS_PATH, EventList, PublishResponse
from stigmer_cli.api.decisions import DecideItem, DecideRequest, DecideResponse, DecisionBody, DecisionList
from stigmer_cli.api.execution_names import ExecutionName
from stigmer_cli.api.health import Health, Readiness
from stigmer_cli.api.identity import Identity, RunnerLoad
from stigmer_cli.api.listing import ExecutionListing
from stigmer_cli.api.problem import error_of
from stigmer_cli.api.prune import PruneItem, PruneRequest, PruneResponse
from stigmer_cli.api.query import Query
from stigmer_cli.api.reconcile import (
    ReconcileItem,
    ReconcileLine,
    ReconcileProgress,
    ReconcileRequest,
    ReconcileSummary,
)
from stigmer_cli.api.reports import PERFORMS_HEADER, WORKFLOWS, CountsResponse
from stigmer_cli.api.resources import (
    EVENTS_MAX,
    AgentManifest,
    AgentPage,
    AgentResource,
    AppliedItem,
    ApplyRequest,
    ApplyResponse,
    EventBody,
    EventPage,
    ExecutionPage,
    ExecutionRequest,
    ExecutionResource,
)
from stigmer_cli.api.resume import ResumeItem, ResumeRequest, ResumeResponse
from stigmer_cli.api.schedules import PauseScheduleRequest, ScheduleList
from stigmer_cli.api.secrets import (
    ResolveRequest,
    ResolveResponse,
    RotateResponse,
    SecretItem,
    SecretList,
    SecretRequest,
)
from stigmer_cli.api.sessions import DeletedSession, SessionBody, SessionPage
from stigmer_cli.api.steps import StepContentsBody, StepPage
from stigmer_cli.api.stuck import StuckReport
from stigmer_cli.api.tasks import TaskPage
from stigmer_cli.api.ui import UiLink, UiLinkRequest
from stigmer_cli.api.usage_report import UsageAnswer, usage_parameters
from stigmer_cli.api.workflows import (
    ApplyWorkflowsRequest,
    ApplyWorkflowsResponse,
    WorkflowManifest,
    WorkflowPage,
    WorkflowResource,
)
from stigmer_cli.domain.execution import UsageBy
from stigmer_cli.errors import OperationFailed, ServerUnavailable
from stigmer_cli.http_calls import CONNECT_MAX_S, HttpCalls
from stigmer_cli.json_text import dump_json
from stigmer_cli.secret_values import DELIVERED

PAGE_MAX = 200
RECONCILE_SILENCE_MAX_S = 120.0
STREAM_SILENCE_MAX_S = 15.0
"""The server sends an empty line at least every 5 s while nothing happens; longer silence means that it is gone."""

NAMES_OF_REPORTS = frozenset({"nonce", "inputHash", "argumentsHash", "run", "firstRun", "runner", "workflowId"})
"""What a report says of itself; a part of it may read like a secret by accident."""

B = TypeVar("B", bound=BaseModel)


class Client(HttpCalls):
    """Each call of the server, typed."""

    # -- the server itself

    async def ready(self) -> bool:
        """Whether the server accepts executions; False also where it cannot be reached."""
        try:
            return (await self._get("/readyz", Readiness)).ready
        except (ServerUnavailable, OperationFailed):
            return False

    async def identity(self, load: RunnerLoad | None = None) -> Identity:
        """Who the server is, and which task queues its runners poll; a runner tells it `load`."""
        return await self._get("/v1/identity", Identity, load.model_dump() if load else None)

    async def health(self) -> Health:
        """Every part as the server sees it."""
        return await self._get("/v1/health", Health)

    async def make_ui_link(self, path: str = "/ui/") -> UiLink:
        """A link that opens the web UI at `path`, once; raises NotFound where the stack has none."""
        return await self._post("/v1/ui/links", UiLinkRequest(path=path), UiLink)

    # -- agents

    async def apply(self, manifests: Sequence[AgentManifest], *, is_dry_run: bool = False) -> Sequence[AppliedItem]:
        """Create or update agents, all or none, in the order given; `is_dry_run`: only say what would be done."""
        body = ApplyRequest(items=list(manifests), dry_run=is_dry_run)
        return (await self._post("/v1/agents:apply", body, ApplyResponse)).items

    async def agents(self, *, limit: int = 100, cursor: str | None = None, has_status: bool = False) -> AgentPage:
        """One page of agents by slug; `has_status`: with what each has run."""
        query = {"limit": limit, "cursor": cursor, "status": "true" if has_status else None}
        return await self._get("/v1/agents", AgentPage, query)

    async def agent(self, id_or_slug: str) -> AgentResource:
        """One agent; raises NotFound."""
        return await self._get(f"/v1/agents/{_segment(id_or_slug)}", AgentResource)

    async def delete_agent(self, id_or_slug: str) -> AgentResource:
        """Delete an agent and return what it was; raises NotFound, or Conflict while it has work."""
        return await self._parse(await self._send("DELETE", f"/v1/agents/{_segment(id_or_slug)}"), AgentResource)

    # -- events

    async def publish_events(self, events: Sequence[Mapping[str, object]]) -> PublishResponse:
        """Publish events (CloudEvents 1.0); those that are there already are not taken a second time."""
        content = dump_json(list(events)).encode()
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        sent = await self._send("POST", EVENTS_PATH, content=content, headers=headers)
        return await self._parse(sent, PublishResponse)

    async def events_kept(self, *, limit: int, before: int | None = None, type_: str | None = None) -> EventList:
        """One page of the events that are kept, newest first."""
        return await self._get(EVENTS_PATH, EventList, {"limit": limit, "before": before, "type": type_})

    # -- workflows

    async def apply_workflows(
        self, workflows: Sequence[WorkflowManifest], agents: Sequence[AgentManifest], *, is_dry_run: bool = False
    ) -> ApplyWorkflowsResponse:
        """Create or update workflows, and agents with them, all or none; `is_dry_run`: only say what would be done."""
        body = ApplyWorkflowsRequest(items=list(workflows), agents=list(agents), dry_run=is_dry_run)
        return await self._post("/v1/workflows:apply", body, ApplyWorkflowsResponse)

    async def workflows(
        self, *, limit: int = 100, cursor: str | None = None, has_status: bool = False, is_brief: bool = False
    ) -> WorkflowPage:
        """One page of workflows by name; `has_status`: with what each has run, `is_brief`: without their documents.

        A server of an older version sends them all the same.
        """
        query = {
            "limit": limit,
            "cursor": cursor,
            "status": "true" if has_status else None,
            "brief": "true" if is_brief else None,
        }
        return await self._get("/v1/workflows", WorkflowPage, query)

    async def workflow(self, name: str) -> WorkflowResource:
        """The workflow with this id, NAME or NAMESPACE/NAME; raises NotFound, and Conflict for an ambiguous one."""
        return await self._get(f"/v1/workflows/{quote(name)}", WorkflowResource)

    async def delete_workflow(self, name: str) -> WorkflowResource:
        """Delete a workflow and return what it was; raises NotFound, or Conflict while it has work."""
        return await self._parse(await self._send("DELETE", f"/v1/workflows/{quote(name)}"), WorkflowResource)

    async def tasks(self, execution_id: str, *, after: int = 0) -> TaskPage:
        """One page of the tasks of a workflow's execution after number `after`."""
        return await self._get(f"/v1/executions/{_segment(execution_id)}/tasks", TaskPage, {"after": after})

    # -- schedules

    async def schedules(self) -> ScheduleList:
        """What has workflows run by themselves, and when next."""
        return await self._get("/v1/schedules", ScheduleList)

    async def pause_schedules(self, workflow: str, *, is_paused: bool) -> ScheduleList:
        """Pause what has a workflow run by itself, or have it go on; raises NotFound."""
        body = PauseScheduleRequest(workflow=workflow, is_paused=is_paused)
        return await self._post("/v1/schedules:pause", body, ScheduleList)

    # -- executions

    async def stuck_report(self) -> StuckReport:
        """What of all that is open does not get on, by class and phase."""
        return await self._get("/v1/stuck", StuckReport)

    async def create_execution(
        self, request: ExecutionRequest, *, idempotency_key: str, require_temporal: bool
    ) -> ExecutionResource:
        """Accept an execution; the same key finds the same one again.

        Raises TemporalUnavailable, with nothing written, where `require_temporal` or the server's policy asks for it.
        """
        query = {"require": "temporal" if require_temporal else None}
        headers = {"Idempotency-Key": idempotency_key}
        return await self._post("/v1/executions", request, ExecutionResource, query, headers)

    async def executions(self, query: Query) -> ExecutionPage:
        """One page, newest first."""
        return await self._get("/v1/executions", ExecutionPage, query.parameters())

    async def list_executions(self, query: Query, *, limit: int | None) -> ExecutionListing:
        """Up to `limit` executions (None: all) behind `query.cursor`, newest first, over all pages needed."""
        items: list[ExecutionResource] = []
        cursor, total = query.cursor, None
        while limit is None or len(items) < limit:
            size = PAGE_MAX if query.is_stuck or limit is None else min(PAGE_MAX, limit - len(items))
            is_counted = query.is_counted and total is None
            page = await self.executions(replace(query, limit=size, cursor=cursor, is_counted=is_counted))
            items.extend(item for item in page.items if item.stuck is not None or not query.is_stuck)
            cursor, total = page.next_cursor, page.total if total is None else total
            if cursor is None:
                break
        is_cut = limit is not None and len(items) > limit
        return ExecutionListing(
            items=items[:limit],
            next_cursor=None if is_cut else cursor,
            is_truncated=is_cut or bool(cursor),
            total=total,
        )

    async def execution(self, execution_id: str) -> ExecutionResource:
        """One execution with its messages; raises NotFound."""
        return await self._get(f"/v1/executions/{_segment(execution_id)}", ExecutionResource)

    async def steps(self, execution_id: str, *, after: int = 0, has_results: bool = False) -> StepPage:
        """One page of its steps after number `after`; `has_results`: only recorded ones, with what they gave."""
        query = {"after": after, "results": "true" if has_results else None}
        return await self._get(f"/v1/executions/{_segment(execution_id)}/steps", StepPage, query)

    async def step(self, execution_id: str, reference: str) -> StepContentsBody:
        """One of its steps, by number or key, with its input and its result; raises NotFound."""
        path = f"/v1/executions/{_segment(execution_id)}/steps/{_segment(reference)}"
        return await self._get(path, StepContentsBody)

    async def resolve_execution(self, reference: str) -> ExecutionName:
        """The one that `reference` means; raises RequestError where it fits several, and NotFound."""
        return await self._get("/v1/executions:resolve", ExecutionName, {"ref": reference})

    async def cancel_execution(self, execution_id: str) -> ExecutionResource:
        """Ask for its end; a terminal one is returned as it is."""
        path = f"/v1/executions/{_segment(execution_id)}/cancel"
        return await self._parse(await self._send("POST", path), ExecutionResource)

    async def cancel_executions(self, ids: Sequence[str]) -> Sequence[CancelItem]:
        """Ask for the end of each of `ids`, up to `api.cancel.CANCEL_MAX`."""
        return (await self._post("/v1/executions:cancel", CancelRequest(ids=list(ids)), CancelResponse)).items

    async def resume_executions(self, request: ResumeRequest) -> Sequence[ResumeItem]:
        """Have executions go on where they stopped; raises NotFound or Conflict for a step that is named wrongly."""
        return (await self._post("/v1/executions:resume", request, ResumeResponse)).items

    async def decide(self, request: DecideRequest) -> Sequence[DecideItem]:
        """Record what a person decided about calls of tools that wait."""
        return (await self._post("/v1/executions:decide", request, DecideResponse)).items

    async def decisions(self, execution_id: str) -> Sequence[DecisionBody]:
        """What was asked about its calls, and what was decided, oldest first."""
        return (await self._get(f"/v1/executions/{_segment(execution_id)}/decisions", DecisionList)).items

    async def prune_executions(self, ids: Sequence[str]) -> Sequence[PruneItem]:
        """Delete those of `ids`, up to `api.prune.PRUNE_MAX`, that have ended."""
        return (await self._post("/v1/executions:prune", PruneRequest(ids=list(ids)), PruneResponse)).items

    async def usage(
        self, *, since: datetime | None, until: datetime | None, agent: str | None, by: UsageBy = UsageBy.AGENT
    ) -> UsageAnswer:
        """What models used for executions accepted in that span; raises NotFound for an unknown agent."""
        return await self._get("/v1/usage", UsageAnswer, usage_parameters(since, until, agent, by))

    # -- sessions

    async def sessions(self, *, limit: int, cursor: str | None = None) -> SessionPage:
        """One page of sessions, the one that was used last first."""
        return await self._get("/v1/sessions", SessionPage, {"limit": limit, "cursor": cursor})

    async def session(self, name: str) -> SessionBody:
        """One session; raises NotFound."""
        return await self._get(f"/v1/sessions/{_segment(name)}", SessionBody)

    async def delete_session(self, name: str) -> DeletedSession:
        """Delete a session with its executions; raises NotFound, or Conflict while one of them has not ended."""
        return await self._parse(await self._send("DELETE", f"/v1/sessions/{_segment(name)}"), DeletedSession)

    # -- secrets

    async def set_secret(self, name: str, value: str) -> SecretItem:
        """Keep `value` under `name`; raises RequestError for one that cannot be kept, which has no value in it."""
        return await self._post("/v1/secrets", SecretRequest(name=name, value=value), SecretItem)

    async def secrets(self) -> SecretList:
        """All secrets, without their values."""
        return await self._get("/v1/secrets", SecretList)

    async def secret(self, name: str) -> SecretItem:
        """One secret, without its value; raises NotFound."""
        return await self._get(f"/v1/secrets/{_segment(name)}", SecretItem)

    async def delete_secret(self, name: str) -> SecretItem:
        """Delete a secret; raises NotFound."""
        return await self._parse(await self._send("DELETE", f"/v1/secrets/{_segment(name)}"), SecretItem)

    async def rotate_secrets_key(self) -> RotateResponse:
        """Have all secrets encrypted with a new key; raises ConfigError, MachineError or Conflict."""
        return await self._parse(await self._send("POST", "/v1/secrets:rotateKey"), RotateResponse)

    async def resolve_secrets(self, names: Sequence[str]) -> Mapping[str, str]:
        """The values of those of `names` that there are; raises ConfigError where the server's key is not theirs."""
        return (await self._post("/v1/secrets:resolve", ResolveRequest(names=list(names)), ResolveResponse)).values

    # -- timelines, reconcile, reports

    async def events(self, execution_id: str) -> Sequence[EventBody]:
        """Its whole timeline, oldest first, page by page."""
        path = f"/v1/executions/{_segment(execution_id)}/events"
        found: list[EventBody] = []
        while True:
            page = await self._get(path, EventPage, {"after": found[-1].seq if found else 0})
            found += page.items
            if len(page.items) < EVENTS_MAX:
                return found

    async def follow(self, execution_id: str, *, after: int = 0) -> AsyncIterator[EventBody]:
        """Its events after number `after`, as they come, until the terminal one has been given.

        Raises ServerUnavailable when the stream breaks; continue with the last `seq` as `after`.
        """
        path = f"/v1/executions/{_segment(execution_id)}/stream"
        timeout = httpx.Timeout(STREAM_SILENCE_MAX_S, connect=CONNECT_MAX_S)
        async for line in self._lines("GET", path, timeout, params={"after": after}):
            yield EventBody.model_validate_json(line)

    async def reconcile(
        self, request: ReconcileRequest
    ) -> AsyncIterator[ReconcileItem | ReconcileProgress | ReconcileSummary]:
        """What comes of a reconcile, item by item, how far it is in between, and the summary at the end.

        Raises TemporalUnavailable or Conflict before anything is told; what breaks it off is raised after the summary
        of what was done. None is kept, so that memory stays flat.
        """
        content = request.model_dump_json(by_alias=True).encode()
        headers = {"Content-Type": "application/json"}
        timeout = httpx.Timeout(RECONCILE_SILENCE_MAX_S, connect=CONNECT_MAX_S)
        async for line in self._lines("POST", "/v1/executions:reconcile", timeout, content=content, headers=headers):
            found = ReconcileLine.model_validate_json(line)
            if found.problem is not None:
                raise error_of(found.problem)
            told = found.item or found.progress or found.summary
            if told is not None:
                yield told

    async def report(self, execution: str, what: str, body: BaseModel, kind: type[B], *, is_exact: bool = False) -> B:
        """Send what a run reports about an execution, and return the answer; `run_reports.py` has each report.

        The values of secrets that this process had are taken out, except with `is_exact`: of a text whose place in a
        longer one counts they have been taken out before.
        """
        content = body.model_dump_json(by_alias=True)
        content = content if is_exact else DELIVERED.redact_report(content, ours=NAMES_OF_REPORTS)
        path = f"/v1/executions/{_segment(execution)}/{what}"
        headers = {"Content-Type": "application/json", PERFORMS_HEADER: WORKFLOWS}
        return await self._parse(await self._send("POST", path, content=content.encode(), headers=headers), kind)

    async def count_attempts(self, execution: str) -> CountsResponse:
        """How many attempts of the run that holds it began, and how many ended at a busy model."""
        return await self._get(f"/v1/executions/{_segment(execution)}/attempts", CountsResponse)


def _segment(text: str) -> str:
    """`text` as one segment of a path, whatever it holds."""
    return quote(text, safe="")
