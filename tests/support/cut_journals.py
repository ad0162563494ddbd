"""Workflows on a virtual clock, whose attempts can be cut off after any recorded step, and go on from there.

Services answer after a time that is a function of the step. What is under way when an attempt is cut off ends when it
would have ended anyway: so each continuation has to come out as the whole run did.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field

import jq

from stigmer_cli.domain.step import Effect
from stigmer_cli.domain.task import TaskPhase
from stigmer_cli.workflow.document import Workflow
from stigmer_cli.workflow.error import ErrorType, WorkflowError, make_error
from stigmer_cli.workflow.expression.child import Answer, Programs, Question, evaluate_safely
from stigmer_cli.workflow.expression.evaluator import Evaluator
from stigmer_cli.workflow.interpreter.interpret import interpret
from stigmer_cli.workflow.json_value import Json
from stigmer_cli.workflow.runtime import (
    CallRequest,
    Child,
    ChildRequest,
    ExecutionFacts,
    FoundEvents,
    Functions,
    Listening,
    TaskEvent,
    TaskStep,
    Waits,
)
from tests.support.workflows import STARTED_MS

LATENCY_MS_MAX = 9_973

PERFORMED: ContextVar[str] = ContextVar("PERFORMED")
"""The key of the step that is performed."""


class InProcessEvaluator(Evaluator):
    """Evaluates in this process: on a virtual clock no other one may be waited for."""

    _programs = Programs(jq)

    async def _ask(self, question: Question, what: str, program: bytes, given: bytes) -> tuple[Answer, bytes]:
        assert question is Question.EXPRESSION, what
        return evaluate_safely(self._programs.evaluate, program, given)


@dataclass(frozen=True, kw_only=True)
class Record:
    """A recorded step: its result, or the error in it, and when it was recorded."""

    key: str
    at_ms: int
    input: Json
    result: Json = None
    error: Mapping[str, Json] | None = None


@dataclass(kw_only=True)
class CutJournal:
    """The steps of an execution. `began` is when the effect of each step began first, which no crash undoes."""

    now_ms: Callable[[], int]
    records: list[Record] = field(default_factory=list)
    began: dict[str, int] = field(default_factory=dict)
    performed: list[str] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)

    async def perform(self, step: TaskStep, effect: Callable[[], Awaitable[Json]]) -> Json:
        if (record := self._find(step.key)) is not None:
            assert record.input == step.input, f"{step.key} has another input than before"
            if record.error is not None:
                raise WorkflowError(record.error)
            return record.result
        self.performed.append(step.key)
        self.began.setdefault(step.key, self.now_ms())
        PERFORMED.set(step.key)
        try:
            result = await effect()
        except WorkflowError as error:
            self.records.append(Record(key=step.key, at_ms=self.now_ms(), input=step.input, error=error.fields))
            raise
        self.records.append(Record(key=step.key, at_ms=self.now_ms(), input=step.input, result=result))
        return result

    async def cut_off(self, keys: Sequence[str]) -> None:
        self.cut += keys

    async def find(self, key: str) -> Json:
        record = self._find(key)
        return None if record is None else record.result

    def _find(self, key: str) -> Record | None:
        return next((record for record in reversed(self.records) if record.key == key), None)


class CutWorld:
    """What is around an attempt that begins at `begins_ms`; `is_patient`: it waits itself, and raises no Waits."""

    def __init__(self, begins_ms: int, journal: CutJournal | None = None, *, is_patient: bool = True) -> None:
        self._begins_ms = begins_ms
        self.is_patient = is_patient
        self.journal = journal or CutJournal(now_ms=self.now_ms)
        self.journal.now_ms = self.now_ms
        self.running: list[str] = []
        """The keys of the tasks that ran."""

    def now_ms(self) -> int:
        return self._begins_ms + round(asyncio.get_running_loop().time() * 1_000)

    def note_time(self, ms: int) -> None:
        assert ms <= self.now_ms(), "no clock is set"

    def draw(self) -> float:
        return 0.5

    async def wait_until(self, key: str, until_ms: int) -> None:
        if not self.is_patient:
            raise Waits(key=key, until_ms=until_ms)
        await asyncio.sleep((until_ms - self.now_ms()) / 1_000)

    async def has_passed(self, key: str, until_ms: int) -> bool:  # noqa: ARG002
        return until_ms <= self.now_ms()

    async def read_events(self, listening: Listening) -> FoundEvents:
        raise NotImplementedError(listening)

    async def wait_for_events(self, listening: Listening) -> None:
        raise NotImplementedError(listening)

    async def start_child(self, request: ChildRequest) -> Child:
        raise NotImplementedError(request)

    async def publish(self, event: Mapping[str, Json]) -> None:
        pass

    def observe(self, event: TaskEvent) -> None:
        if event.phase is TaskPhase.RUNNING:
            self.running.append(event.key)


class TimedService:
    """Answers with what it was given, after a time of its own; refuses what has `fails: true`."""

    def __init__(self, world: CutWorld) -> None:
        self._world = world

    def find_effect(self, _arguments: Mapping[str, Json], /) -> Effect:
        return Effect.ONCE

    async def perform(self, request: CallRequest) -> Json:
        step = PERFORMED.get()
        latency_ms = request.arguments.get("takes_ms", _draw_latency_ms(step))
        assert isinstance(latency_ms, int)
        until_ms = self._world.journal.began[step] + latency_ms
        await asyncio.sleep(max(0.0, (until_ms - self._world.now_ms()) / 1_000))
        if request.arguments.get("fails"):
            raise make_error(ErrorType.COMMUNICATION, f"{step} is refused")
        return {"from": step, "was": request.arguments.get("was")}


def _draw_latency_ms(key: str) -> int:
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % LATENCY_MS_MAX


Outcome = tuple[str, Json]


async def run_attempt(workflow: Workflow, world: CutWorld) -> Outcome:
    """How the attempt ends: `output`, `error`, or `waits` until a time."""
    functions = Functions(calls={"agent": TimedService(world)})
    facts = ExecutionFacts(id="wex-1", started_ms=STARTED_MS, runtime_version="1.0")
    try:
        output = await interpret(
            workflow, {"n": 0}, facts=facts, world=world, functions=functions, evaluator=InProcessEvaluator()
        )
    except WorkflowError as error:
        return "error", dict(error.fields)
    except Waits as waits:
        return "waits", waits.until_ms
    return "output", output


def cut_after(journal: CutJournal, count: int) -> CutWorld:
    """The world of the attempt that begins when the one that wrote `journal` is cut off after `count` records."""
    kept = journal.records[:count]
    now_ms = kept[-1].at_ms
    began = {key: ms for key, ms in journal.began.items() if ms <= now_ms}
    return CutWorld(now_ms, CutJournal(now_ms=lambda: now_ms, records=kept, began=began))
