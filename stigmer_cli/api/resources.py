"""Agents and executions as resources: `apiVersion`, `kind`, `metadata`, `spec`, `status`."""

from typing import Literal

from pydantic import Field

from stigmer_cli.api.agent_spec import AgentSpecBody, ManifestSpec, agent_spec_body
from stigmer_cli.api.agent_tools import Limits
from stigmer_cli.api.steps import JournalBody, StepBody
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.api.usage import UsedBody, used_body
from stigmer_cli.api.waiting import WaitingBody, waiting_body
from stigmer_cli.api.wire import Asked, Moment, Sent
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.execution import Agent, AttentionCode, Event, EventType, Execution, QueueReason
from stigmer_cli.domain.identity import Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import NAME_PATTERN as SESSION_NAME
from stigmer_cli.domain.step import KEY_MAX

AGENT_EXECUTION_ID = "^aex-[0-7][0-9a-hjkmnp-tv-z]{25}$"
"""A ULID in lower case: 26 characters of Crockford's base 32, not above the largest that 128 bits hold."""

API_VERSION = "agentic.stigmer.ai/v1"
NAME_MAX = 200
MESSAGE_MAX = 1_000_000
LABELS_MAX = 64
TIMEOUT_MAX_S = 30 * 24 * 3600.0

Label = dict[str, str]


class ManifestMetadata(Asked):
    """What names an agent in a manifest."""

    name: str = Field(min_length=1, max_length=NAME_MAX)
    labels: Label = Field(default_factory=dict, max_length=LABELS_MAX)
    annotations: Label = Field(default_factory=dict, max_length=LABELS_MAX)


class AgentManifest(Asked):
    """One YAML document that `stigmer apply` takes."""

    api_version: Literal["agentic.stigmer.ai/v1"]
    kind: Literal["Agent"]
    metadata: ManifestMetadata
    spec: ManifestSpec = Field(default_factory=ManifestSpec)


class ApplyRequest(Asked):
    """Manifests that are applied together, all or none; `dry_run`: only say what would be done.

    It is left out unless it is true: an older server then refuses it, and never applies what is to be tried only.
    """

    items: list[AgentManifest] = Field(min_length=1, max_length=500)
    dry_run: bool = Field(default=False, exclude_if=lambda is_dry_run: not is_dry_run)


class SentMetadata(Sent):
    """What names anything that the server keeps."""

    name: str
    slug: str
    id: str
    labels: Label = {}
    annotations: Label = {}
    created_at: Moment


class AgentMetadata(SentMetadata):
    """What the server knows about an agent."""

    updated_at: Moment


class LastRun(Sent):
    """The newest execution of an agent; `at` is when it was accepted."""

    id: str
    at: Moment
    phase: Phase


class AgentStatus(Sent):
    """How many executions an agent has, and the newest of them; `last_run` is absent if there is none."""

    executions: int
    last_run: LastRun | None = Field(default=None, exclude_if=lambda last: last is None)


class AgentResource(Sent):
    """An agent; `status` only where it was asked for."""

    api_version: str = API_VERSION
    kind: str = "Agent"
    metadata: AgentMetadata
    spec: AgentSpecBody
    status: AgentStatus | None = Field(default=None, exclude_if=lambda status: status is None)


class AppliedItem(Sent):
    """What applying one manifest did: `created`, `updated` or `unchanged`; `before`: of an update, what there was."""

    verb: str
    agent: AgentResource
    before: AgentResource | None = Field(default=None, exclude_if=lambda before: before is None)


class ApplyResponse(Sent):
    """In the order of the request."""

    items: list[AppliedItem]


class AgentPage(Sent):
    """Agents by slug; `next_cursor` is what `cursor` takes for the page after."""

    items: list[AgentResource]
    next_cursor: str | None = None


class ForkBody(Asked):
    """The execution whose recorded steps a new one takes over: those that began before the step `before` (a key).

    `asks`: `before` is a turn, and the message is said before it; else it is the message of that execution.
    """

    execution: str = Field(min_length=1, max_length=NAME_MAX)
    before: str = Field(min_length=2, max_length=KEY_MAX, pattern="^/")
    asks: bool = Field(default=False, exclude_if=lambda asks: not asks)


class ExecutionRequest(Asked):
    """Run an agent, named by id or slug. `id` is the one that a new execution gets; None: the server makes it.

    `session` is the conversation that it joins. With `conversation_of` it sees of a conversation what that execution
    sees, and joins none. What is None is left out, because older servers refuse it. `limits` are this execution's own,
    each instead of the one that its agent has under that name.
    """

    id: str | None = Field(default=None, pattern=AGENT_EXECUTION_ID)
    agent: str = Field(min_length=1, max_length=NAME_MAX)
    message: str = Field(min_length=1, max_length=MESSAGE_MAX)
    timeout_s: float | None = Field(default=None, gt=0, le=TIMEOUT_MAX_S)
    labels: Label = Field(default_factory=dict, max_length=LABELS_MAX)
    fork: ForkBody | None = None
    session: str | None = Field(default=None, pattern=SESSION_NAME, exclude_if=lambda name: name is None)
    conversation_of: str | None = Field(
        default=None, pattern=AGENT_EXECUTION_ID, exclude_if=lambda execution: execution is None
    )
    limits: Limits = None


class DispatchBody(Sent):
    """`status.dispatch`: where the execution is on its way to a run, and why it waits if it does.

    A PENDING one has a `reason`, submitted or not; `since` is how long it has been queued, or submitted.
    `attempts` counts failed submits; `next_try_at` is absent if only a person can decide what happens next.
    """

    state: DispatchState
    reason: QueueReason | None = None
    detail: str = ""
    since: Moment
    attempts: int = 0
    next_try_at: Moment | None = None
    submitted_at: Moment | None = None
    workflow_id: str
    run_id: str | None = None


class AttentionBody(Sent):
    """`status.attention`: why only a person can decide."""

    code: AttentionCode
    reason: str
    since: Moment


class ModelWaitBody(Sent):
    """`status.modelWait`: the run waits for its model; `nextTryAt` is absent while the model is asked again.

    `cause` is what the last try met with, `since` is when the first one failed, and `tries` how many have failed.
    """

    cause: str
    since: Moment
    tries: int
    next_try_at: Moment | None = None


class MessageBody(Sent):
    """One message of the conversation."""

    role: str
    content: str


class ExecutionMetadata(SentMetadata):
    """What names an execution."""


class ExecutionSpec(Sent):
    """What was asked for."""

    agent_id: str
    agent_name: str
    message: str
    timeout_s: float | None = None
    session: str | None = Field(default=None, exclude_if=lambda name: name is None)


class ExecutionStatus(Sent):
    """Where it stands. `usage` is the sum over its attempts, as far as their models' providers counted.

    `steps` are the last `STEPS_SHOWN_MAX` of its `step_count` steps, in order of beginning; both are absent in a list.
    """

    phase: Phase
    epoch: int
    messages: list[MessageBody] = []
    output: str | None = None
    error: str | None = None
    usage: UsedBody | None = None
    started_at: Moment | None = None
    completed_at: Moment | None = None
    cancel_requested_at: Moment | None = None
    runner: str | None = None
    attempt: int = 0
    model_wait: ModelWaitBody | None = None
    dispatch: DispatchBody
    attention: AttentionBody | None = None
    waiting: WaitingBody | None = Field(default=None, exclude_if=lambda waiting: waiting is None)
    steps: list[StepBody] | None = Field(default=None, exclude_if=lambda steps: steps is None)
    step_count: int | None = Field(default=None, exclude_if=lambda count: count is None)


class ExecutionResource(Sent):
    """An execution: `kind` is AgentExecution or WorkflowExecution.

    `stuck` is absent if the execution makes progress, and in a list that was not limited to stuck executions.
    """

    api_version: str = API_VERSION
    kind: str
    metadata: ExecutionMetadata
    spec: ExecutionSpec
    status: ExecutionStatus
    stuck: StuckBody | None = Field(default=None, exclude_if=lambda stuck: stuck is None)


class ExecutionPage(Sent):
    """Executions, newest first; `next_cursor` is what `cursor` takes for the page after.

    `total`, only if it was asked for: how many match on all pages, and `COUNT_MAX` + 1 for more than `COUNT_MAX`.
    A list of stuck executions judges `limit` executions a page, so that a page may be empty though others follow.
    """

    items: list[ExecutionResource]
    next_cursor: str | None = None
    total: int | None = None


class EventBody(Sent):
    """One line of an execution's timeline; `seq` counts from 1 without gaps."""

    seq: int
    at: Moment
    type: EventType
    text: str
    data: dict[str, object] = {}


class EventPage(Sent):
    """A timeline, oldest first."""

    items: list[EventBody]


def agent_resource(agent: Agent) -> AgentResource:
    """`agent` as it goes over the wire."""
    return AgentResource(
        metadata=AgentMetadata(
            name=agent.name,
            slug=agent.slug,
            id=agent.id,
            labels=dict(agent.labels),
            annotations=dict(agent.annotations),
            created_at=agent.created_at,
            updated_at=agent.updated_at,
        ),
        spec=agent_spec_body(agent.spec),
    )


def event_body(event: Event) -> EventBody:
    """`event` as it goes over the wire."""
    return EventBody(seq=event.seq, at=event.at, type=event.type, text=event.text, data=dict(event.data))


KIND_NAMES: dict[Kind, str] = {Kind.AGENT: "AgentExecution", Kind.WORKFLOW: "WorkflowExecution"}


def execution_resource(
    execution: Execution, stuck: StuckBody | None = None, journal: JournalBody | None = None
) -> ExecutionResource:
    """`execution` as it goes over the wire; `stuck` says why it makes no progress, and `journal` what it did."""
    return ExecutionResource(
        kind=KIND_NAMES[execution.kind],
        metadata=ExecutionMetadata(
            name=execution.id,
            slug=execution.id,
            id=execution.id,
            labels=dict(execution.labels),
            created_at=execution.created_at,
        ),
        spec=ExecutionSpec(
            agent_id=execution.agent_id,
            agent_name=execution.agent_name,
            message=execution.message,
            timeout_s=execution.timeout_s,
            session=execution.session,
        ),
        status=_status(execution, journal),
        stuck=stuck,
    )


def _status(execution: Execution, journal: JournalBody | None) -> ExecutionStatus:
    attention, wait = execution.attention, execution.model_wait
    return ExecutionStatus(
        phase=execution.phase,
        epoch=execution.epoch,
        messages=[MessageBody(role=message.role, content=message.content) for message in execution.messages],
        output=execution.output,
        error=execution.error,
        usage=used_body(execution.usage) if execution.usage else None,
        started_at=execution.started_at,
        completed_at=execution.completed_at,
        cancel_requested_at=execution.cancel_requested_at,
        runner=execution.claimed_by,
        attempt=execution.claimed_attempt,
        model_wait=wait
        and ModelWaitBody(cause=wait.cause, since=wait.since, tries=wait.tries, next_try_at=wait.next_try_at),
        dispatch=_dispatch(execution),
        attention=attention and AttentionBody(code=attention.code, reason=attention.reason, since=attention.since),
        waiting=waiting_body(execution.waiting) if execution.waiting else None,
        steps=journal.steps if journal else None,
        step_count=journal.count if journal else None,
    )


def _dispatch(execution: Execution) -> DispatchBody:
    dispatch = execution.dispatch
    is_queued = not dispatch.is_submitted and not execution.phase.is_terminal
    is_waiting = execution.phase is Phase.PENDING
    return DispatchBody(
        state=_dispatch_state(execution),
        reason=dispatch.reason if is_waiting else None,
        detail=dispatch.detail if is_waiting else "",
        since=dispatch.submitted_at or dispatch.since,
        attempts=dispatch.attempts,
        next_try_at=dispatch.next_try_at if is_queued and execution.attention is None else None,
        submitted_at=dispatch.submitted_at,
        workflow_id=execution.workflow.id,
        run_id=dispatch.run_id,
    )


def _dispatch_state(execution: Execution) -> DispatchState:
    if execution.dispatch.is_submitted:
        return DispatchState.SUBMITTED
    return DispatchState.WITHDRAWN if execution.phase.is_terminal else DispatchState.QUEUED
