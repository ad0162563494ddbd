"""Agents, executions, their messages and events, as values."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from stigmer_cli.domain.idempotency import FIRST, CallGenerations
from stigmer_cli.domain.identity import AgentId, ExecutionId, Kind, RunId, StoreId, WorkflowName
from stigmer_cli.domain.phase import Phase
from stigmer_cli.domain.waiting import Waiting

NEXT_TRY_MAX_S = 30.0
"""No next try is set further ahead than this; a later one was written while a clock was wrong, and is due now."""


@dataclass(frozen=True, kw_only=True)
class AgentSpec:
    """What a person wrote about an agent. `model` is `echo`, or `PROVIDER:NAME`.

    `document` holds what only an agent with tools has, as it stands in the manifest; empty for any other one.
    """

    description: str = ""
    instructions: str = ""
    model: str = "echo"
    document: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent as stored; `slug` is unique."""

    id: AgentId
    name: str
    slug: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    spec: AgentSpec
    created_at: datetime
    updated_at: datetime


class QueueReason(StrEnum):
    """Why an accepted execution is not running yet; scripts may rely on these words.

    WAITING_FOR_RUNNER and STARTING are for executions that Temporal has taken; they are computed on request, and the
    first one is also stored where a runner of an older version cannot perform it. MODEL_BUSY is stored while a run
    waits for its model, and sent as `ModelWait`.
    """

    ACCEPTED = "accepted"
    TEMPORAL_CONNECTING = "temporal-connecting"
    TEMPORAL_UNREACHABLE = "temporal-unreachable"
    TEMPORAL_MISCONFIGURED = "temporal-misconfigured"
    TEMPORAL_BUSY = "temporal-busy"
    SUBMIT_FAILED = "submit-failed"
    SESSION_BUSY = "session-busy"
    ORPHANED = "orphaned"
    STARTED_OVER = "started-over"
    RESUMED = "resumed"
    WAITING_FOR_RUNNER = "waiting-for-runner"
    STARTING = "starting"
    MODEL_BUSY = "model-busy"


class AttentionCode(StrEnum):
    """Why only a person can decide about an execution; scripts may rely on these words."""

    LOST = "lost"
    SUBMIT_FAILED = "submit-failed"
    RESULT_UNKNOWN = "result-unknown"
    KEEPS_INTERRUPTED = "keeps-interrupted"
    EFFECT_UNKNOWN = "effect-unknown"
    JOURNAL_MISMATCH = "journal-mismatch"


@dataclass(frozen=True, kw_only=True)
class Attention:
    """A mark on an execution that only a person can decide about."""

    code: AttentionCode
    reason: str
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Dispatch:
    """How far an execution has come on its way to Temporal in this epoch.

    `submitted_at` is when Temporal took it (None: queued). `attempts` counts failed submits that were no connection
    error. `reason`, `detail` and `since` say why it is queued; `next_try_at` when it is tried again. `cluster` is which
    Temporal took it, as far as that is known.
    """

    reason: QueueReason = QueueReason.ACCEPTED
    detail: str = ""
    since: datetime
    attempts: int = 0
    next_try_at: datetime | None = None
    submitted_at: datetime | None = None
    run_id: RunId | None = None
    cluster: str | None = None

    @property
    def is_submitted(self) -> bool:
        """Whether Temporal has taken it."""
        return self.submitted_at is not None


class UsageBy(StrEnum):
    """What a total of usage is for: an agent and a model, or a workflow with both."""

    AGENT = "agent"
    WORKFLOW = "workflow"


@dataclass(frozen=True, kw_only=True)
class TokenUsage:
    """What the provider of `model` counted for its answers, in tokens.

    `details` are its finer counts, by the names of pydantic-ai: `cache_read_tokens` are among the input,
    `output_reasoning_tokens` among the output. `cost` is in US dollars, at the provider's list price when the model
    answered; None where the price is not known. `turns`, `tool_calls` and the `seconds` of both are those of recorded
    steps: an execution has them, a single answer has none.
    """

    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    details: Mapping[str, int] = field(default_factory=dict)
    cost: float | None = None
    turns: int = 0
    tool_calls: int = 0
    seconds: float = 0.0

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        """The sum, by the name of the model that answered last; its cost is known only where both are."""
        details = Counter(self.details)
        details.update(other.details)
        return TokenUsage(
            model=other.model or self.model,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            details=dict(details),
            cost=None if self.cost is None or other.cost is None else self.cost + other.cost,
            turns=self.turns + other.turns,
            tool_calls=self.tool_calls + other.tool_calls,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, kw_only=True)
class ModelWait:
    """A run waits for its model, which is busy, cannot be reached, or broke its answer off.

    `cause` is what the last try met with, as a sentence; `since` is when the first one failed, and `tries` how many
    have failed in this epoch. `next_try_at` is None while the model is asked again.
    """

    cause: str
    since: datetime
    tries: int
    next_try_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a conversation; `content` grows while it is streamed."""

    role: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A message of a person, which comes before turn `turn` of the model."""

    turn: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One run of an agent or a workflow, as stored. `version` grows with every write.

    `store` is the store whose names its workflow carries; None for an epoch that began before stores had ids.
    `has_steps`: its journal is not empty, as far as that was looked up.
    `session` is the one that it is an execution of; `has_conversation`: which exchanges it sees is decided.
    `asked` is its message behind those of the execution that it is a fork of; empty where it has its message only.
    `is_pinned`: it goes on with the definition that it began with, whatever becomes of its agent.
    `generations`: which of its calls were made anew on a person's word.

    That of a workflow has the id and the name of the workflow where another has those of its agent. Its `message` is
    its input, and its `output` and `error_fields` are JSON texts, too.
    """

    id: ExecutionId
    store: StoreId | None
    kind: Kind
    agent_id: AgentId
    agent_name: str
    message: str
    is_pinned: bool = False
    session: str | None = None
    has_conversation: bool = False
    asked: tuple[Asked, ...] = ()
    timeout_s: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    phase: Phase
    epoch: int
    version: int
    created_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    dispatch: Dispatch
    claimed_run: RunId | None = None
    claimed_by: str | None = None
    claimed_attempt: int = 0
    model_wait: ModelWait | None = None
    cancel_requested_at: datetime | None = None
    attention: Attention | None = None
    waiting: Waiting | None = None
    output: str | None = None
    error: str | None = None
    error_fields: str | None = None
    usage: TokenUsage | None = None
    messages: tuple[Message, ...] = ()
    has_steps: bool = False
    generations: CallGenerations = FIRST

    @property
    def workflow(self) -> WorkflowName:
        """The name under which Temporal knows this epoch."""
        return WorkflowName(kind=self.kind, execution=self.id, epoch=self.epoch, store=self.store)


class EventType(StrEnum):
    """What happened to an execution; scripts may rely on these words."""

    ACCEPTED = "accepted"
    QUEUED = "queued"
    SUBMITTED = "submitted"
    CLAIMED = "claimed"
    ATTEMPT = "attempt"
    MODEL_BUSY = "model-busy"
    MESSAGE = "message"
    CANCEL_REQUESTED = "cancel-requested"
    ORPHANED = "orphaned"
    STARTED_OVER = "started-over"
    RESUMED = "resumed"
    ATTENTION = "attention"
    UNMARKED = "unmarked"
    WAITING = "waiting"
    DECIDED = "decided"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line of an execution's timeline. `seq` counts from 1 within the execution without gaps.

    `data` holds ids and numbers; for MESSAGE it is `{"index", "offset", "role", "text"}`: `text` stands at `offset`
    of message `index`. For MODEL_BUSY it is `{"attempt", "cause", "brokeOff", "busyS", "nextTryAt"}`: `brokeOff` says
    that the answer had begun, and is withdrawn.
    """

    execution: ExecutionId
    seq: int
    at: datetime
    type: EventType
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an execution ended. `phase` is terminal; `error` is a sentence, for FAILED and CANCELLED.

    `usage` is what the attempt that ended it has used, as far as that is known. Of a workflow, `output` is JSON text,
    and `error_fields` (JSON text) is the error as the specification describes it.
    """

    phase: Phase
    output: str | None = None
    error: str | None = None
    error_fields: str | None = None
    usage: TokenUsage | None = None
