"""One attempt of an execution of a workflow, as its tasks see it: expressions, steps, the facts of the execution."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, cast

from stigmer_cli.domain.step import KEY_MAX, Effect
from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.duration import parse_duration
from stigmer_cli.workflow.error import (
    UNEXPECTED,
    ErrorType,
    LimitReached,
    WorkflowError,
    describe_unexpected,
    make_error,
)
from stigmer_cli.workflow.expression.evaluator import Evaluator, ExpressionFailed, ExpressionLimit
from stigmer_cli.workflow.expression.syntax import Unclosed, unwrap
from stigmer_cli.workflow.expression.template import fill_template
from stigmer_cli.workflow.interpreter.activity import Activity
from stigmer_cli.workflow.interpreter.scope import Scope, describe_moment
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts, Functions, Listening, TaskStep, Waits, World
from stigmer_cli.workflow.task import Task, TaskKind

HASH_CHARS = 32

LOOK_EVERY_MS = 2_000
"""How often it is looked for events while another branch is at work, so that the attempt goes on."""


@dataclass(frozen=True, kw_only=True)
class Flow:
    """What a task or a list left: its output, and where the flow goes from it.

    `directive` is `continue`, `exit`, `end`, or the name of a task of the same list; empty where `then` decides.
    `has_exited`: a list ended
    with `exit`, not with its last task. `authorization` is what a call authenticated with, for `$authorization`.
    """

    output: Json
    directive: str = ""
    has_exited: bool = False
    authorization: Json = None


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One performance of a task. `key` is its place in the execution; `input` is transformed."""

    task: Task
    key: str
    input: Json
    scope: Scope


class Performer(Protocol):
    """What a kind of task does."""

    async def __call__(self, run: "Run", visit: Visit) -> Flow:
        """Perform the task. Raises WorkflowError, and Waits."""
        ...


@dataclass(kw_only=True)
class Run:
    """One attempt. Tasks of branches share it."""

    workflow: Workflow
    facts: ExecutionFacts
    world: World
    evaluator: Evaluator
    functions: Functions
    raw_input: Json
    performers: Mapping[TaskKind, Performer]
    tasks_begun: int = 0
    missing_secrets: set[str] = field(default_factory=set)
    """Those whose absence a `try` has caught: they stay missing, since the flow went another way then."""

    activity: Activity = field(default_factory=Activity)
    note_end: Callable[[], None] = lambda: None
    """Is told that the attempt ends without an end of the workflow, before branches are cancelled for that."""

    @cached_property
    def asks_for_start_of_tasks(self) -> bool:
        """Whether an expression of the document may read `$task.startedAt`."""
        return "startedAt" in json.dumps(self.workflow.data, ensure_ascii=False)

    @property
    def use(self) -> Mapping[str, Mapping[str, Json]]:
        """The reusable parts of the document."""
        return cast("Mapping[str, Mapping[str, Json]]", self.workflow.data.get("use") or {})

    @property
    def secrets(self) -> Mapping[str, Json]:
        """The secrets that there are for this execution."""
        return {name: value for name, value in self.facts.secrets.items() if name not in self.missing_secrets}

    async def recall_missing(self, key: str) -> None:
        """Take over which secrets were missing when an earlier attempt caught that in the `try` at `key`."""
        if "secrets" in self.use:
            self.missing_secrets |= set(cast("Sequence[str]", await self.find(f"{key}/missing") or ()))

    async def note_missing(self, key: str, error: WorkflowError) -> None:
        """Record which secrets are missing, where the `try` at `key` goes on after an error that may come from that."""
        names = [name for name in cast("Sequence[str]", self.use.get("secrets") or ()) if name not in self.secrets]
        if not names or not str(error.fields.get("type")).endswith(ErrorType.AUTHORIZATION):
            return

        async def tell() -> Json:
            return names

        await self.perform(f"{key}/missing", "missing secrets", None, tell)
        self.missing_secrets |= set(names)

    def find_performer(self, kind: TaskKind) -> Performer:
        """What performs tasks of `kind`. Raises WorkflowError for a kind that this version cannot run."""
        if kind not in self.performers:
            raise make_error(ErrorType.CONFIGURATION, f"the task {kind} is not supported by this version")
        return self.performers[kind]

    async def perform(self, key: str, name: str, given: Json, effect: Callable[[], Awaitable[Json]]) -> Json:
        """A step without effects on others, such as a look at the clock."""
        return await self.perform_step(TaskStep(key=key, name=name, effect=Effect.NONE, input=given), effect)

    async def perform_step(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
        """What the journal has of the step, or gets of `effect`. The step's key may be too long.

        Raises WorkflowError, also where `effect` raises what nobody expects: that is recorded, too.
        """

        async def attempt() -> Json:
            try:
                return await effect()
            except UNEXPECTED as error:
                raise describe_unexpected(error) from error

        return await self.world.journal.perform(replace(step, key=shorten_key(step.key)), attempt)

    async def find(self, key: str) -> Json:
        """What `perform` recorded for `key` without an input; None if it has recorded nothing."""
        return await self.world.journal.find(shorten_key(key))

    async def set_time(self, key: str, name: str, length_ms: int) -> int:
        """The time in `length_ms` from now, in milliseconds since 1970, which a replay finds as it was recorded.

        The time at which it was recorded is noted: where the clock was set back since, it would be further away.
        """

        async def tell() -> Json:
            return self.world.now_ms() + length_ms

        until_ms = cast("int", await self.perform(key, name, length_ms, tell))
        self.world.note_time(until_ms - length_ms)
        return until_ms

    async def cut_off(self, keys: Sequence[str]) -> None:
        """The workflow leaves the tasks at or below `keys`, of which some may have begun and not told their end."""
        if known := [key for key in keys if len(key) <= KEY_MAX]:  # of a longer one no key of a step tells
            await self.world.journal.cut_off(known)

    async def wait_until(self, key: str, until_ms: int) -> None:
        """Return once it is `until_ms`, or raise Waits: that only when no other branch is at work."""
        if not await self.activity.wait_until(until_ms, self.world.now_ms):
            await self.world.wait_until(shorten_key(key), until_ms)

    async def wait_for_events(self, listening: Listening) -> None:
        """Return once there may be more of them, or raise Waits: that only when no other branch is at work."""
        try:
            await self.world.wait_for_events(listening)
        except Waits:
            if not await self.activity.pause(LOOK_EVERY_MS):
                raise

    def count_tasks(self, begun: int) -> None:
        """Count the tasks that an earlier attempt had begun, where this one skips some of them."""
        self.tasks_begun = max(self.tasks_begun, begun)

    async def evaluate(self, code: str, on: Json, scope: Scope) -> Json:
        """The value of a text that always is an expression. Raises WorkflowError."""
        try:
            return await self.evaluator.evaluate(unwrap(code), on, self._list_variables(code, scope))
        except (ExpressionFailed, Unclosed) as error:
            raise make_error(ErrorType.EXPRESSION, str(error)) from error
        except ExpressionLimit as error:
            raise LimitReached(make_error(ErrorType.EXPRESSION, str(error))) from error

    async def is_true(self, code: str, on: Json, scope: Scope) -> bool:
        """Whether the value of a condition is neither false nor null."""
        value = await self.evaluate(code, on, scope)
        return value is not None and value is not False

    async def fill(self, template: Json, on: Json, scope: Scope) -> Json:
        """`template` of the document, with its expressions evaluated. Raises WorkflowError."""

        async def evaluate(code: str) -> Json:
            return await self.evaluator.evaluate(code, on, self._list_variables(code, scope))

        mode = cast("Mapping[str, Json]", self.workflow.data.get("evaluate") or {}).get("mode")
        try:
            return await fill_template(template, evaluate, is_loose=mode == "loose")
        except ExpressionFailed as error:
            raise make_error(ErrorType.EXPRESSION, str(error)) from error
        except ExpressionLimit as error:
            raise LimitReached(make_error(ErrorType.EXPRESSION, str(error))) from error

    async def transform(self, template: Json, on: Json, scope: Scope) -> Json:
        """What `from` or `as` makes of `on`: a text is an expression, a mapping has expressions in it."""
        return await (
            self.evaluate(template, on, scope) if isinstance(template, str) else self.fill(template, on, scope)
        )

    async def read_duration(self, value: Json, on: Json, scope: Scope) -> int:
        """The duration in milliseconds; it may be an expression, or have expressions in it. Raises WorkflowError."""
        return self.parse_duration(await self.fill(value, on, scope))

    def parse_duration(self, value: Json) -> int:
        """The duration in milliseconds. Raises WorkflowError."""
        try:
            return parse_duration(value)
        except ValueError as error:
            raise make_error(ErrorType.CONFIGURATION, str(error)) from error

    def begin_task(self) -> None:
        """Count a task. Raises LimitReached.

        All tasks of its life count together, so that a replay passes each place that it has passed: it is later then,
        and the limit is higher.
        """
        self.tasks_begun += 1
        if self.tasks_begun <= self.facts.tasks_max:
            return
        days = self.facts.count_days(self.world.now_ms())
        if self.tasks_begun > days * self.facts.tasks_max:
            life = f" in {days:,} days" if days > 1 else ""
            reason = f"the execution has begun more than {days * self.facts.tasks_max:,} tasks{life}"
            raise LimitReached(make_error(ErrorType.RUNTIME, reason))

    def _list_variables(self, code: str, scope: Scope) -> Mapping[str, Json]:
        """The variables of the specification are made for who asks: the definition may be a mebibyte long."""
        values = dict(scope.list_values())
        if "$workflow" in code:
            values["workflow"] = {
                "id": self.facts.id,
                "definition": self.workflow.data,
                "input": self.raw_input,
                "startedAt": describe_moment(self.facts.started_ms),
            }
        if "$runtime" in code:
            values["runtime"] = {"name": "stigmer", "version": self.facts.runtime_version, "metadata": {}}
        if "$secrets" in code:
            values["secrets"] = self._list_secrets()
        return values

    def _list_secrets(self) -> Json:
        """The secrets that the document names. Raises WorkflowError for one that there is not."""
        names = cast("Sequence[str]", self.use.get("secrets") or ())
        known = self.secrets
        missing = [name for name in names if name not in known]
        if missing:
            raise make_error(ErrorType.AUTHORIZATION, f"there is no secret {missing[0]}")
        return {name: known[name] for name in names}


def shorten_key(key: str, length_max: int = KEY_MAX) -> str:
    """`key`, or for one that is too long its beginning and a hash of it."""
    if len(key) <= length_max:
        return key
    return f"{key[: length_max - HASH_CHARS - 1]}~{hashlib.sha256(key.encode()).hexdigest()[:HASH_CHARS]}"


def read_effect(task: Task) -> Effect | None:
    """What the task says itself about calling it twice: `metadata: {effects: repeatable}`."""
    said = cast("Mapping[str, Json]", task.data.get("metadata") or {}).get("effects")
    return Effect(said) if isinstance(said, str) and said in {*Effect} else None
