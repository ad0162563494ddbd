"""What a workflow needs of the world: the seams that a runner fills, and a test in its own way.

The interpreter is deterministic: what it reads of the world it reads through `Journal.perform`, under a key that is the
same on every replay. So a new attempt goes through the document once more, takes what is recorded, and performs the
rest.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, Self

from stigmer_cli.domain.event import EventQuery
from stigmer_cli.domain.idempotency import FIRST, CallGenerations
from stigmer_cli.domain.step import Effect
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.workflow.authentication import Policy
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.task import Task

TASKS_MAX = 10_000
BRANCHES_MAX = 100
DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Which events the task at `key` listens for: those behind `after` that fit one of `queries`.

    `after` is the number of an event. None: from the first one that the execution can see, which is the first since it
    was accepted, or since `look_back_ms` milliseconds before that.
    """

    key: str
    queries: tuple[EventQuery, ...]
    after: int | None = None
    look_back_ms: int = 0


@dataclass(frozen=True, kw_only=True)
class FoundEvents:
    """Events with their numbers, in order. All up to number `upto` were looked at; `is_last`: there are no more yet."""

    events: Sequence[tuple[int, Mapping[str, Json]]]
    upto: int
    is_last: bool


@dataclass(frozen=True, kw_only=True)
class ChildRequest:
    """An execution that the task at `key` starts: of `agent` with `message`, or of `workflow` with `input`.

    `workflow` is NAMESPACE/NAME. `is_awaited`: the task waits for its end.
    """

    key: str
    agent: str = ""
    message: str = ""
    session: str | None = None
    workflow: str = ""
    version: str | None = None
    input: Json = None
    is_awaited: bool = True


@dataclass(frozen=True, kw_only=True)
class Child:
    """How far an execution is that a task waits for. `error` is a sentence; None where it completed."""

    id: str
    has_ended: bool
    output: Json = None
    error: str | None = None


class Waits(Exception):
    """The workflow has nothing to do until a time, an event, or the end of an execution: end the attempt.

    The next one begins then. `until_ms` is that time, in milliseconds since 1970; None: no time ends it. Events that it
    waits for are those of `listenings`, and executions those of `children`. A `try` does not catch it.
    """

    def __init__(
        self,
        *,
        key: str,
        until_ms: int | None = None,
        listenings: Sequence[Listening] = (),
        children: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{key} waits")
        self.key = key
        self.until_ms = until_ms
        self.listenings = tuple(listenings)
        self.children = tuple(children)

    @classmethod
    def merge(cls, waits: Sequence[Self]) -> Self:
        """What several branches wait for: the first time, an event for one of them, or an end."""
        times = [one for one in waits if one.until_ms is not None]
        first = min(times, key=lambda one: one.until_ms or 0, default=waits[0])
        listenings = [listening for one in waits for listening in one.listenings]
        children = [child for one in waits for child in one.children]
        return cls(key=first.key, until_ms=first.until_ms, listenings=listenings, children=children)

    def limit(self, until_ms: int) -> Self:
        """The same, which ends at `until_ms` at the latest."""
        sooner = until_ms if self.until_ms is None else min(self.until_ms, until_ms)
        return type(self)(key=self.key, until_ms=sooner, listenings=self.listenings, children=self.children)


class NothingYet(Exception):
    """The effect of a step has looked and found nothing: the attempt goes on, and performs the step again later."""


@dataclass(frozen=True, kw_only=True)
class TaskStep:
    """A unit of work whose result is recorded. `key` is its place in the execution, the same on each replay.

    `input` is all that its result may depend on.
    """

    key: str
    name: str
    effect: Effect
    input: Json


class Journal(Protocol):
    """The recorded steps of an execution."""

    async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
        """The step's recorded result, or what `effect` returns, once that is recorded.

        A WorkflowError that `effect` raises is recorded, and raised again with the same fields on each replay; what
        else it raises is passed on, and nothing is recorded.
        """
        ...

    async def find(self, key: str) -> Json:
        """The recorded result of the step at `key`; None if there is none."""
        ...

    async def cut_off(self, keys: Sequence[str]) -> None:
        """What was begun at or below `keys`, and is not recorded, failed: nobody goes on with it."""
        ...


@dataclass(frozen=True, kw_only=True)
class TaskEvent:
    """A task entered `phase`. `error` has the fields of the error that it raised."""

    task: Task
    key: str
    phase: TaskPhase
    error: Mapping[str, Json] | None = None


class World(Protocol):
    """What is around one attempt of an execution."""

    @property
    def journal(self) -> Journal:
        """The recorded steps."""
        ...

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        ...

    def note_time(self, ms: int) -> None:
        """Something of the execution was recorded at `ms`: it is that time now, or later."""
        ...

    def draw(self) -> float:
        """A random number from 0 to 1, without 1."""
        ...

    async def wait_until(self, key: str, until_ms: int) -> None:
        """Return once it is `until_ms`, or raise Waits."""
        ...

    async def has_passed(self, key: str, until_ms: int) -> bool:
        """Whether a wait of `key` until then is over."""
        ...

    async def read_events(self, listening: Listening) -> FoundEvents:
        """A page of the events that are there."""
        ...

    async def wait_for_events(self, listening: Listening) -> None:
        """Return once there may be more of them, or raise Waits."""
        ...

    async def start_child(self, request: ChildRequest) -> Child:
        """How far the execution is; it is accepted, unless it was before. Raises WorkflowError."""
        ...

    async def publish(self, event: Mapping[str, Json]) -> None:
        """Hand on an event (CloudEvents, JSON format). It has the same id each time that its step is performed."""
        ...

    def observe(self, event: TaskEvent) -> None:
        """Be told what a task does. On a replay what is recorded is told again."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExecutionFacts:
    """What an execution is given, and stays the same on each replay. `started_ms`: milliseconds since 1970.

    It may begin `tasks_max` tasks for each day that it lives. `generations`: which calls a person had made anew.
    """

    id: str
    started_ms: int
    runtime_version: str
    secrets: Mapping[str, Json] = field(default_factory=dict)
    tasks_max: int = TASKS_MAX
    branches_max: int = BRANCHES_MAX
    generations: CallGenerations = FIRST

    def count_days(self, now_ms: int) -> int:
        """How many days it has begun to live, at least 1."""
        return max(0, now_ms - self.started_ms) // DAY_MS + 1


@dataclass(frozen=True, kw_only=True)
class CallRequest:
    """A function that is to be called, with every expression of its arguments evaluated.

    `policy` authenticates the call, and `resource_policy` what fetches a document that describes the service. Neither
    is part of what is recorded. `effect`: what calling it twice does.
    """

    function: str
    arguments: Mapping[str, Json]
    policy: Policy | None = None
    resource_policy: Policy | None = None
    idempotency_key: str
    effect: Effect = Effect.ONCE


class Call(Protocol):
    """A function of the DSL that calls a service, such as `http`."""

    def find_effect(self, arguments: Mapping[str, Json]) -> Effect:
        """What calling it twice does."""
        ...

    async def perform(self, request: CallRequest) -> Json:
        """What the service answered, in the form that the arguments ask for. Raises WorkflowError."""
        ...


class Translation(Protocol):
    """A function of the DSL that is another one, or the same, with arguments that a document or a service tells.

    So `openapi` is `http`.
    """

    def is_needed(self, arguments: Mapping[str, Json], said: Effect | None) -> bool:
        """Whether the call cannot be made without it; `said` is what the task says of calling it twice."""
        ...

    async def translate(self, request: CallRequest) -> tuple[str, Mapping[str, Json]]:
        """The name of the other function and its arguments; what this takes may be done twice. Raises WorkflowError."""
        ...


class Subscriptions(Protocol):
    """A function of the DSL that can also subscribe to messages, as `asyncapi` does."""

    def open(self, request: CallRequest) -> AbstractAsyncContextManager[AsyncIterator[Json]]:
        """The messages that come in until the context is left. Raises WorkflowError, also while they are read."""
        ...


class Documents(Protocol):
    """Where external resources are fetched, such as functions of a catalog."""

    async def fetch_document(self, address: str, policy: Policy | None, what: str) -> Mapping[str, Json]:
        """The mapping at `address`, in JSON or YAML; `what` names it in an error. Raises WorkflowError."""
        ...

    async def fetch_text(self, address: str, policy: Policy | None, what: str) -> str:
        """The text at `address`; `what` names it in an error. Raises WorkflowError."""
        ...


@dataclass(frozen=True, kw_only=True)
class StepPlace:
    """Which step of which execution something is done for."""

    execution: str
    key: str


class Process(Protocol):
    """What a task `run` runs: a command, a script, a container."""

    async def perform(self, settings: Mapping[str, Json], place: StepPlace) -> Json:
        """`code`, `stdout` and `stderr` of the process that has ended, or of what started it. Raises WorkflowError."""
        ...


Refuse = Callable[[Mapping[str, Json]], str]
"""Why a function cannot be called with arguments as the document has them, as a sentence; empty if it can."""


@dataclass(frozen=True, kw_only=True)
class Functions:
    """The functions that can be called, by name, and what a task `run` can run.

    `detached`: what it can run without waiting for its end (`await: false`), since that outlives the runner.

    `refusals`: what can be said of a call before it is made. `has_children`: a workflow can wait for other executions.
    """

    processes: Mapping[str, Process] = field(default_factory=dict)
    detached: Mapping[str, Process] = field(default_factory=dict)
    calls: Mapping[str, Call] = field(default_factory=dict)
    translations: Mapping[str, Translation] = field(default_factory=dict)
    subscriptions: Mapping[str, Subscriptions] = field(default_factory=dict)
    resources: Documents | None = None
    refusals: Mapping[str, Refuse] = field(default_factory=dict)
    has_children: bool = False

    def __contains__(self, name: object) -> bool:
        """Whether there is a function of that name."""
        return name in self.calls or name in self.translations
