"""The tools that change something; they are offered only with `--allow-changes`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

from mcp.server.mcpserver import Context
from mcp_types import ToolAnnotations
from pydantic import Field, JsonValue

from stigmer_cli.api.reconcile import ReconcileRequest
from stigmer_cli.api.resources import EventBody, ExecutionRequest, ExecutionResource
from stigmer_cli.cli.events.emit import EventOptions, make_event
from stigmer_cli.cli.execution_reason import describe_reason
from stigmer_cli.cli.executions.create import Creation, create, make_creation
from stigmer_cli.cli.mcp.answers import CancelAnswer, EmitAnswer, ReconcileAnswer, RestartAnswer, RunAnswer
from stigmer_cli.cli.mcp.reading import (
    Ids,
    Phases,
    Reference,
    SpanOption,
    collect_reconcile,
    read_span,
    resolve_reference,
)
from stigmer_cli.cli.mcp.tool import Description, Toolbox, tool
from stigmer_cli.client import Client
from stigmer_cli.domain.execution import EventType
from stigmer_cli.errors import Unavailable
from stigmer_cli.stack.options import StackOptions
from stigmer_cli.stack.remote import refuse_elsewhere
from stigmer_cli.stack.restart import restart, restart_part
from stigmer_cli.stack.up import UpContext

EVENT_SOURCE = "/stigmer/mcp"
LABELS = {"stigmer.ai/by": "mcp"}
WAIT_MAX_S = 3600.0
AGAIN_S = 0.3

WaitS = Annotated[
    float, Field(ge=0, le=WAIT_MAX_S, description="Seconds to wait for the end; 0: return the id at once.")
]
IdempotencyKey = Annotated[
    str | None, Field(description="The same key finds the same execution, and starts no second one.")
]

RUN = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=True)
"""Adds something, and may reach out to a model."""

EMIT = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
"""Adds something, which others may act on."""

REPAIR = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
"""May end or repeat something; a second call does no more."""


class _Silent:
    """Progress of a restart that is told to nobody."""

    def part(self, name: str, state: str) -> None:
        """Ignore it."""


class ChangingTools(Toolbox):
    """What can be done to a stack."""

    @tool(Description(title="Run an agent", annotations=RUN, more="All of it: stigmer executions get ID -o json"))
    async def run_agent(
        self,
        ctx: Context,
        *,
        agent: Annotated[str, Field(description="The agent's name or id; see list_agents.")],
        message: Annotated[str, Field(min_length=1, description="The message to the agent.")],
        wait_s: WaitS = 60.0,
        idempotency_key: IdempotencyKey = None,
    ) -> RunAnswer:
        """Run an agent once and return its answer.

        The execution is durable: it goes on if the wait ends, if this call is cancelled, and if you leave. Progress
        tells its id as soon as it is accepted. Look at it later with get_execution; end it with cancel_execution.
        """
        request = ExecutionRequest(agent=agent, message=message, labels=LABELS)
        return await self._run(ctx, make_creation(request, key=idempotency_key, require_temporal=False), wait_s)

    @tool(Description(title="Run a workflow", annotations=RUN, more="All of it: stigmer executions get ID -o json"))
    async def run_workflow(
        self,
        ctx: Context,
        *,
        workflow: Annotated[str, Field(description="NAME, or NAMESPACE/NAME; see list_workflows.")],
        given: Annotated[
            dict[str, JsonValue] | None, Field(description="The input, a JSON object; without one it is empty.")
        ] = None,
        wait_s: WaitS = 60.0,
        idempotency_key: IdempotencyKey = None,
    ) -> RunAnswer:
        """Run a workflow once and return its output, as JSON text.

        The execution is durable, as one of run_agent is: it goes on if the wait ends, and if you leave.
        """
        request = ExecutionRequest(workflow=workflow, input=given or {}, labels=LABELS)
        return await self._run(ctx, make_creation(request, key=idempotency_key, require_temporal=False), wait_s)

    async def _run(self, ctx: Context, wanted: Creation, wait_s: float) -> RunAnswer:
        """Create an execution, and tell how it ended, or how far it is after `wait_s` seconds."""
        async with self.cli.client() as client:
            accepted = await create(self.cli, client, wanted, timeout_s=None)
            await ctx.report_progress(0, None, f"accepted {accepted.metadata.id}")
            try:
                async with asyncio.timeout(wait_s):
                    return _describe_run(await self._follow(client, accepted.metadata.id, ctx))
            except TimeoutError:
                return _describe_run(await client.execution(accepted.metadata.id))

    @tool(Description(title="Reconcile", annotations=REPAIR, more="Use `ids`, `phases` or `older_than`."))
    async def reconcile(
        self,
        *,
        ids: Ids = None,
        phases: Phases = None,
        older_than: SpanOption = None,
        include_in_progress: Annotated[
            bool, Field(description="Also go on with lost executions. The step whose effect is unknown is repeated.")
        ] = False,
    ) -> ReconcileAnswer:
        """Submit and resume executions that Temporal has lost, and take over outcomes that the store has missed.

        Look at preview_reconcile first. Without include_in_progress no effect that must not happen twice is repeated.
        """
        request = ReconcileRequest(
            ids=ids or [],
            phases=phases or [],
            older_than_s=read_span(older_than) or 0.0,
            include_in_progress=include_in_progress,
            asked_by="stigmer mcp",
        )
        async with self.cli.client() as client:
            return await collect_reconcile(client, request)

    @tool(Description(title="Restart", annotations=REPAIR, more="stigmer status"))
    async def restart(
        self,
        *,
        part: Annotated[str | None, Field(description="temporal, server or runner. Default: the whole stack.")] = None,
    ) -> RestartAnswer:
        """Restart one part, or the whole stack, and wait until it is ready. A stack that is stopped is started.

        Executions go on afterwards.
        """
        settings = self.cli.load_own_settings()
        refuse_elsewhere(settings, "restart")
        around = UpContext(clock=self.cli.clock, environ=self.cli.environ)
        begin = restart if part is None else lambda *args, **around: restart_part(args[0], part, *args[1:], **around)
        ready = await begin(settings, StackOptions(), progress=_Silent(), around=around)
        return RestartAnswer(started=list(ready.started), took_s=round(ready.took_s, 2))

    @tool(Description(title="Cancel an execution", annotations=REPAIR, more="stigmer executions get ID"))
    async def cancel_execution(self, *, execution: Reference) -> CancelAnswer:
        """Ask an execution to end. One that no run has claimed ends at once; one that has ended stays as it is."""
        async with self.cli.client() as client:
            found = await client.cancel_execution(await resolve_reference(client, execution))
        return CancelAnswer(id=found.metadata.id, phase=found.status.phase)

    @tool(Description(title="Emit an event", annotations=EMIT, more="stigmer events list"))
    async def emit_event(
        self,
        *,
        type: Annotated[str, Field(min_length=1, description="What the event is: com.example.order.paid.")],  # noqa: A002 - the attribute's name
        data: Annotated[JsonValue, Field(description="Its data: any JSON.")] = None,
        subject: Annotated[str | None, Field(description="What it is about.")] = None,
        id: Annotated[str | None, Field(description="An event with the same id is taken once.")] = None,  # noqa: A002 - as above
    ) -> EmitAnswer:
        """Send an event (CloudEvents). Workflows that listen for it go on."""
        options = EventOptions(type=type, source=EVENT_SOURCE, subject=subject, id=id)
        event = {**make_event(self.cli, options), **({} if data is None else {"data": data})}
        async with self.cli.client() as client:
            answer = await client.publish_events([event])
        [sent] = answer.items
        return EmitAnswer(id=sent.id, is_new=sent.is_new, going_on=answer.going_on, started=answer.started)

    async def _follow(self, client: Client, name: str, ctx: Context) -> ExecutionResource:
        """The execution once it has ended, through restarts of the server; tells each event but pieces of messages."""
        after = 0
        while True:
            try:
                events: AsyncIterator[EventBody] = client.follow(name, after=after)
                async with aclosing(events) as stream:  # type: ignore[type-var] # it is a generator
                    async for event in stream:
                        after = event.seq
                        if event.type is not EventType.MESSAGE:
                            await ctx.report_progress(after, None, f"{name}: {event.text}")
                found = await client.execution(name)
            except Unavailable:
                await self.cli.clock.sleep(AGAIN_S)
                continue
            if found.status.phase.is_terminal:
                return found


def _describe_run(found: ExecutionResource) -> RunAnswer:
    status, name = found.status, found.metadata.id
    is_done = status.phase.is_terminal
    return RunAnswer(
        id=name,
        phase=status.phase,
        is_done=is_done,
        output=status.answer,
        error=status.error_text,
        why=describe_reason(found),
        hint="" if is_done else found.stuck.hint if found.stuck else f"it goes on: get_execution with {name}",
    )
