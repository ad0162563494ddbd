"""One attempt of an execution of a workflow, as its tasks see it: expressions, steps, the facts of the execution."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, cast

from stigmer_cli.domain.step import KEY_MAX, Effect
from stigmer_cli.json_schema import find_misfit
from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.duration import parse_duration
from stigmer_cli.workflow.error import ErrorType, make_error
from stigmer_cli.workflow.expression.evaluator import Evaluator, ExpressionFailed
from stigmer_cli.workflow.expression.syntax import Unclosed, unwrap
from stigmer_cli.workflow.expression.template import fill_template
from stigmer_cli.workflow.interpreter.scope import Scope, describe_moment
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import ExecutionFacts, Functions, TaskStep, World
from stigmer_cli.workflow.task import Task, TaskKind

HASH_CHARS = 32


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

    @cached_property
    def asks_for_start_of_tasks(self) -> bool:
        """Whether an expression of the document may read `$task.startedAt`."""
        return "startedAt" in json.dumps(self.workflow.data, ensure_ascii=False)

    @property
    def use(self) -> Mapping[str, Mapping[str, Json]]:
        """The reusable parts of the document."""
        return cast("Mapping[str, Mapping[str, Json]]", self.workflow.data.get("use") or {})

    def find_performer(self, kind: TaskKind) -> Performer:
        """What performs tasks of `kind`. Raises WorkflowError for a kind that this version cannot run."""
        if kind not in self.performers:
            raise make_error(ErrorType.CONFIGURATION, f"the task {kind} is not supported by this version")
        return self.performers[kind]

    async def perform(self, key: str, name: str, given: Json, effect: Callable[[], Awaitable[Json]]) -> Json:
        """A step without effects on others, such as a look at the clock."""
        step = TaskStep(key=shorten_key(key), name=name, effect=Effect.NONE, input=given)
        return await self.world.journal.perform(step, effect)

    async def evaluate(self, code: str, on: Json, scope: Scope) -> Json:
        """The value of a text that always is an expression. Raises WorkflowError."""
        try:
            return await self.evaluator.evaluate(unwrap(code), on, self._list_variables(code, scope))
        except (ExpressionFailed, Unclosed) as error:
            raise make_error(ErrorType.EXPRESSION, str(error)) from error

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

    async def transform(self, template: Json, on: Json, scope: Scope) -> Json:
        """What `from` or `as` makes of `on`: a text is an expression, a mapping has expressions in it."""
        return await (
            self.evaluate(template, on, scope) if isinstance(template, str) else self.fill(template, on, scope)
        )

    def parse_duration(self, value: Json) -> int:
        """The duration in milliseconds. Raises WorkflowError."""
        try:
            return parse_duration(value)
        except ValueError as error:
            raise make_error(ErrorType.CONFIGURATION, str(error)) from error

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
        missing = [name for name in names if name not in self.facts.secrets]
        if missing:
            raise make_error(ErrorType.AUTHORIZATION, f"there is no secret {missing[0]}")
        return {name: self.facts.secrets[name] for name in names}


def check_schema(holder: Json, value: Json, what: str) -> None:
    """Raises WorkflowError where `value` does not fit the schema of `holder`, if that has one."""
    schema = holder.get("schema") if isinstance(holder, Mapping) else None
    if schema is None:
        return
    document = cast("Mapping[str, Json]", schema).get("document")
    if not isinstance(document, Mapping):
        raise make_error(ErrorType.CONFIGURATION, f"the schema of the {what} is a resource, which is not supported")
    if misfit := find_misfit(value, document):
        raise make_error(ErrorType.VALIDATION, f"the {what} does not fit its schema {misfit}")


def shorten_key(key: str) -> str:
    """`key`, or for one that is too long its beginning and a hash of it."""
    if len(key) <= KEY_MAX:
        return key
    return f"{key[: KEY_MAX - HASH_CHARS - 1]}~{hashlib.sha256(key.encode()).hexdigest()[:HASH_CHARS]}"


def read_effect(task: Task) -> Effect | None:
    """What the task says itself about calling it twice: `metadata: {effects: repeatable}`."""
    said = cast("Mapping[str, Json]", task.data.get("metadata") or {}).get("effects")
    return Effect(said) if isinstance(said, str) and said in {*Effect} else None
