"""Agents and executions as resources: `apiVersion`, `kind`, `metadata`, `spec`, `status`."""

from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from stigmer_cli.api.agent_spec import AgentSpecBody, ManifestSpec, agent_spec_body
from stigmer_cli.api.agent_tools import Limits
from stigmer_cli.api.plain_text import sentence_of, text_of, text_of_input
from stigmer_cli.api.steps import StepBody
from stigmer_cli.api.stuck import StuckBody
from stigmer_cli.api.tasks import TaskBody
from stigmer_cli.api.usage import UsedBody
from stigmer_cli.api.waiting import WaitingBody
from stigmer_cli.api.wire import Asked, Moment, PlainJson, Sent
from stigmer_cli.domain.dispatch_state import DispatchState
from stigmer_cli.domain.execution import Agent, AttentionCode, Event, EventType, QueueReason
from stigmer_cli.domain.identity import PREFIXES, Kind
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.session import NAME_PATTERN as SESSION_NAME
from stigmer_cli.domain.step import KEY_MAX

AGENT_EXECUTION_ID = "^aex-[0-7][0-9a-hjkmnp-tv-z]{25}$"
EXECUTION_ID = AGENT_EXECUTION_ID.replace("aex", "(aex|wex)")
"""A ULID in lower case: 26 characters of Crockford's base 32, not above the largest that 128 bits hold."""

API_VERSION = "agentic.stigmer.ai/v1"
NAME_MAX = 200
MESSAGE_MAX = 1_000_000
LABELS_MAX = 64
TIMEOUT_MAX_S = 30 * 24 * 3600.0

Label = dict[str, str]


def _is_empty(text: str) -> bool:
    return not text


def _is_no_input(given: JsonValue) -> bool:
    return given == {}


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
    """Run an agent, named by id or slug, or a workflow, by id, NAME or NAMESPACE/NAME.

    A workflow takes `input` (at most 8 MiB as JSON) where an agent takes `message`; it has no session, no limits, and
    no other message in a fork. `id` is the one that a new execution gets; None: the server makes it.

    `session` is the conversation that it joins. With `conversation_of` it sees of a conversation what that execution
    sees, and joins none. What is None is left out, because older servers refuse it. `limits` are this execution's own,
    each instead of the one that its agent has under that name.
    """

    id: str | None = Field(default=None, pattern=EXECUTION_ID)
    workflow: str = Field(default="", max_length=NAME_MAX, exclude_if=_is_empty)
    agent: str = Field(default="", max_length=NAME_MAX, exclude_if=_is_empty, validate_default=True)
    message: str = Field(default="", max_length=MESSAGE_MAX, exclude_if=_is_empty, validate_default=True)
    input: PlainJson = Field(default_factory=dict, exclude_if=_is_no_input)
    timeout_s: float | None = Field(default=None, gt=0, le=TIMEOUT_MAX_S)
    labels: Label = Field(default_factory=dict, max_length=LABELS_MAX)
    fork: ForkBody | None = None
    session: str | None = Field(default=None, pattern=SESSION_NAME, exclude_if=lambda name: name is None)
    conversation_of: str | None = Field(
        default=None, pattern=AGENT_EXECUTION_ID, exclude_if=lambda execution: execution is None
    )
    limits: Limits = None

    @field_validator("agent", "message")
    @classmethod
    def _is_needed(cls, text: str, info: ValidationInfo) -> str:
        if not text and not info.data.get("workflow"):
            raise PydanticCustomError("missing", "Field required")
        return text

    @model_validator(mode="after")
    def _names_what_runs(self) -> Self:
        prefix = PREFIXES[Kind.WORKFLOW if self.workflow else Kind.AGENT]
        if self.id is not None and not self.id.startswith(prefix):
            raise ValueError(f"the id of this execution begins with {prefix}-")
        if self.workflow:
            said = ("agent", "message", "session", "conversation_of", "limits")
            wrong = [name for name in said if getattr(self, name)]
            if wrong:
                raise ValueError(f"a workflow is run with its input alone: {', '.join(wrong)} cannot be given")
        elif self.input != {}:
            raise ValueError("an agent takes a message, and no input")
        return self


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
    """What was asked for: an agent with a message, or a workflow with an input.

    A list leaves a long input out, and says so with `input_omitted`.
    """

    agent_id: str = Field(default="", exclude_if=_is_empty)
    agent_name: str = Field(default="", exclude_if=_is_empty)
    message: str = Field(default="", exclude_if=_is_empty)
    workflow_id: str = Field(default="", exclude_if=_is_empty)
    workflow_name: str = Field(default="", exclude_if=_is_empty)
    input: PlainJson = Field(default=None, exclude_if=lambda value: value is None)
    input_omitted: bool = Field(default=False, exclude_if=lambda is_omitted: not is_omitted)
    timeout_s: float | None = None
    session: str | None = Field(default=None, exclude_if=lambda name: name is None)

    @property
    def runs(self) -> str:
        """The name of the agent or the workflow."""
        return self.workflow_name or self.agent_name

    @property
    def asked(self) -> str:
        """What it was asked, as a person reads it: the message, or the input as JSON."""
        given = text_of_input(self.input, is_omitted=self.input_omitted)
        return (self.message or given) if not self.workflow_id else given


class ExecutionStatus(Sent):
    """Where it stands. `usage` is the sum over its attempts, as far as their models' providers counted.

    `steps` are the last `STEPS_SHOWN_MAX` of its `step_count` steps, in order of beginning; both are absent in a list.

    Of a workflow, `output` is JSON as it is, `error` the error as the specification describes it, and `tasks` are the
    last `TASKS_SHOWN_MAX` of `task_count` tasks, in the order in which they began; a list has no tasks, and leaves a
    long output out (`output_omitted`).
    """

    phase: Phase
    epoch: int
    messages: list[MessageBody] = []
    output: PlainJson = None
    output_omitted: bool = Field(default=False, exclude_if=lambda is_omitted: not is_omitted)
    error: str | dict[str, JsonValue] | None = None
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
    tasks: list[TaskBody] | None = Field(default=None, exclude_if=lambda tasks: tasks is None)
    task_count: int | None = Field(default=None, exclude_if=lambda count: count is None)

    @property
    def answer(self) -> str | None:
        """The output as a person reads it: text as it is, JSON of a workflow as text; None: there is none."""
        return None if self.output is None else text_of(self.output)

    @property
    def error_text(self) -> str | None:
        """The error as a sentence; None: there is none."""
        return sentence_of(self.error)


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


EVENTS_MAX = 10_000
"""Events of one page of a timeline."""


class EventPage(Sent):
    """Up to `EVENTS_MAX` events of a timeline, oldest first."""

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
